"""Kinds of feedback: what is asked, which answers are valid, and which comparisons they give.

Answers are given in the order in which the samples were shown, so that neither a page nor a payload needs
to name a sample. Plain Python: models, pages and the API all use these classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import combinations
from typing import Any, ClassVar, NamedTuple, Protocol

LONGEST_COMMENT = 2000
MOST_SAMPLES = 9  # one digit key each


class AnswerError(ValueError):
    """An answer that cannot be stored; `str()` is one line that says what is missing or wrong."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one person said about one task; every sequence is in the order shown."""

    ranks: tuple[int, ...] = ()
    """Rank feedback: 1 is best, equal ranks are ties."""
    scores: tuple[int, ...] = ()
    """Score feedback: 1 is worst, the project's scale is best."""
    criteria: tuple[Mapping[str, int], ...] = field(default=())
    """Score feedback: for each sample a score per criterion."""
    all_bad: bool = False
    """None of the samples is worth choosing: kept, but gives no comparison."""
    flagged: bool = False
    comment: str = ""
    seconds: float | None = None
    """Time spent on the task, as the page saw it."""


class Verdict(NamedTuple):
    """One sample's part of an answer, as it is stored."""

    rank: int | None = None
    score: int | None = None
    criteria: Mapping[str, int] = {}


class Feedback(Protocol):
    """One kind of feedback."""

    name: ClassVar[str]
    fewest_samples: ClassVar[int]

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """The answer sample by sample, in the order shown; raises AnswerError."""
        ...

    def worth(self, verdict: Verdict) -> int:
        """A number that is higher for the better of two verdicts and equal for a tie."""
        ...


class Rank:
    """Order all samples, ties allowed. Two samples make a pairwise comparison."""

    name: ClassVar[str] = "rank"
    fewest_samples: ClassVar[int] = 2

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """Ranks made dense: (1, 3, 3) is stored as (1, 2, 2)."""
        if answer.scores or answer.criteria:
            raise AnswerError("scores: this project asks for ranks.")
        if len(answer.ranks) != samples:
            raise AnswerError(f"ranks: {len(answer.ranks)} given, but {samples} samples were shown.")
        for rank in answer.ranks:
            _check_within("ranks", rank, samples)
        dense = {rank: place for place, rank in enumerate(sorted(set(answer.ranks)), start=1)}
        return [Verdict(rank=dense[rank]) for rank in answer.ranks]

    def worth(self, verdict: Verdict) -> int:
        """The lower the rank, the better."""
        assert verdict.rank is not None
        return -verdict.rank


@dataclass(frozen=True)
class Score:
    """A Likert score for each sample: overall, and one for each criterion."""

    scale: int = 5
    criteria: tuple[str, ...] = ()

    name: ClassVar[str] = "score"
    fewest_samples: ClassVar[int] = 1

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """Every sample has an overall score and a score for each criterion."""
        if answer.ranks:
            raise AnswerError("ranks: this project asks for scores.")
        if len(answer.scores) != samples:
            raise AnswerError(f"scores: {len(answer.scores)} given, but {samples} samples were shown.")
        criteria = answer.criteria or ({},) * samples
        if len(criteria) != samples:
            raise AnswerError(f"criteria: {len(criteria)} given, but {samples} samples were shown.")
        for score, given in zip(answer.scores, criteria, strict=True):
            _check_within("scores", score, self.scale)
            if set(given) != set(self.criteria):
                wanted = ", ".join(self.criteria) or "none"
                raise AnswerError(f"criteria: each sample needs a score for exactly these: {wanted}.")
            for value in given.values():
                _check_within("criteria", value, self.scale)
        return [
            Verdict(score=score, criteria=dict(given))
            for score, given in zip(answer.scores, criteria, strict=True)
        ]

    def worth(self, verdict: Verdict) -> int:
        """The overall score."""
        assert verdict.score is not None
        return verdict.score


def parse_answer(data: Any) -> Answer:
    """An Answer from decoded JSON (the page's and the API's); raises AnswerError naming the field."""
    if not isinstance(data, Mapping):
        raise AnswerError("answer: a JSON object is wanted.")
    if unknown := sorted(set(map(str, data)) - {item.name for item in fields(Answer)}):
        raise AnswerError(f"{unknown[0]}: not a field of an answer.")
    return Answer(
        ranks=_whole_numbers("ranks", data.get("ranks")),
        scores=_whole_numbers("scores", data.get("scores")),
        criteria=_criteria(data.get("criteria")),
        all_bad=_truth("all_bad", data.get("all_bad")),
        flagged=_truth("flagged", data.get("flagged")),
        comment=_comment(data.get("comment")),
        seconds=_seconds(data.get("seconds")),
    )


def compare(kind: Feedback, verdicts: Sequence[Verdict]) -> Iterator[tuple[int, int, bool]]:
    """All pairs of one answer as (index of the better, index of the worse, tie)."""
    worths = [kind.worth(verdict) for verdict in verdicts]
    for first, second in combinations(range(len(worths)), 2):
        if worths[second] > worths[first]:
            yield second, first, False
        else:
            yield first, second, worths[first] == worths[second]


def _check_within(name: str, value: int, highest: int) -> None:
    if not 1 <= value <= highest:
        raise AnswerError(f"{name}: {value} is not within 1 to {highest}.")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole_numbers(name: str, value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(map(_is_whole, value)):
        raise AnswerError(f"{name}: a list of whole numbers is wanted, one for each sample.")
    return tuple(value)


def _criteria(value: Any) -> tuple[Mapping[str, int], ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise AnswerError("criteria: a list is wanted, one object for each sample.")
    for given in value:
        if not isinstance(given, Mapping) or not all(map(_is_whole, given.values())):
            raise AnswerError("criteria: each sample's are an object of whole numbers.")
    return tuple(dict(given) for given in value)


def _truth(name: str, value: Any) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise AnswerError(f"{name}: true or false is wanted.")
    return value


def _comment(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or "\x00" in value:
        raise AnswerError("comment: plain text is wanted.")
    if len(value) > LONGEST_COMMENT:
        raise AnswerError(f"comment: {len(value)} characters, but at most {LONGEST_COMMENT} are kept.")
    return value.strip()


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 86_400:
        raise AnswerError("seconds: a number from 0 to 86400 is wanted.")
    return float(value)
