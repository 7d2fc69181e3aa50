"""Answers: what one person says about one task, and how it is read from the page and the API.

Everything is given in the order in which the samples were shown, so that neither a page nor a payload needs
to name a sample.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

LONGEST_COMMENT = 2000
LONGEST_TEXT = 20_000
MOST_SAMPLES = 9  # one digit key each
MUCH = 3
"""The strongest grade of a pair: seven steps, from -MUCH to MUCH."""
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What JSON can spell and PostgreSQL cannot keep: NUL, and half of a character."""


class AnswerError(ValueError):
    """An answer that cannot be stored; `str()` is one line that says what is missing or wrong."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one person said about one task; every sequence is in the order shown, numbers begin at 1."""

    ranks: tuple[int, ...] = ()
    """Rank: 1 is best, equal ranks are ties."""
    scores: tuple[int, ...] = ()
    """Score: 1 is worst, the project's scale is best."""
    grade: int | None = None
    """Pair: from -3 (the first is much better) by 0 (about the same) to 3 (the second is much better)."""
    best: int | None = None
    """Best: the number of the sample that was picked."""
    text: str = ""
    """Rewrite: the answer as the person would have it, without the space that joins it to the prompt."""
    edited: int | None = None
    """Rewrite: the number of the sample it was made from; none if it was written from nothing."""
    criteria: tuple[Mapping[str, int], ...] = field(default=())
    """Score: for each sample a score per criterion. Pair: one object, a grade per criterion."""
    all_bad: bool = False
    """None of the samples is worth choosing: kept, but gives no comparison."""
    flagged: bool = False
    comment: str = ""
    seconds: float | None = None
    """Time spent on the task, as the page saw it: in sight, and in use."""

    @property
    def judges(self) -> bool:
        """Whether anything is said of the samples beside that all are bad."""
        return bool(self.ranks or self.scores or self.criteria or self.text) or (
            self.grade is not None or self.best is not None or self.edited is not None
        )

    def as_json(self) -> dict[str, Any]:
        """What `parse_answer` reads back, without what was not said."""
        said = {name: value for name, value in asdict(self).items() if value not in (None, (), "")}
        # Not by equality alone: a grade of 0 is said, and equals False.
        return {name: value for name, value in said.items() if value is not False}


class Verdict(NamedTuple):
    """One sample's part of an answer, as it is stored: its rank, its score or its grade."""

    rank: int | None = None
    """1 is best."""
    score: int | None = None
    """1 is worst."""
    grade: int | None = None
    """How much better than the other of a pair it is, from -3 to 3."""
    criteria: Mapping[str, int] = {}


def parse_answer(data: Any) -> Answer:
    """An Answer from decoded JSON (the page's and the API's); raises AnswerError naming the field."""
    if not isinstance(data, Mapping):
        raise AnswerError("answer: a JSON object is wanted.")
    if unknown := sorted(set(map(str, data)) - {item.name for item in fields(Answer)}):
        raise AnswerError(f"{unknown[0]}: not a field of an answer.")
    return Answer(
        ranks=_whole_numbers("ranks", data.get("ranks")),
        scores=_whole_numbers("scores", data.get("scores")),
        grade=_whole_number("grade", data.get("grade")),
        best=_whole_number("best", data.get("best")),
        text=_text("text", data.get("text"), longest=LONGEST_TEXT),
        edited=_whole_number("edited", data.get("edited")),
        criteria=_criteria(data.get("criteria")),
        all_bad=_truth("all_bad", data.get("all_bad")),
        flagged=_truth("flagged", data.get("flagged")),
        comment=_text("comment", data.get("comment"), longest=LONGEST_COMMENT),
        seconds=_seconds(data.get("seconds")),
    )


def check_within(name: str, value: int, lowest: int, highest: int) -> None:
    """Raise AnswerError unless the value is one of the steps."""
    if not lowest <= value <= highest:
        raise AnswerError(f"{name}: {value} is not within {lowest} to {highest}.")


def check_only(answer: Answer, *wanted: str) -> None:
    """Raise AnswerError if the answer says what other kinds of feedback ask for."""
    for name in ("ranks", "scores", "grade", "best", "text", "edited", "criteria"):
        if name not in wanted and getattr(answer, name) not in (None, (), ""):
            raise AnswerError(f"{name}: this project asks for {' and '.join(wanted)}.")


def check_criteria(given: Mapping[str, int], wanted: Sequence[str], lowest: int, highest: int) -> None:
    """Raise AnswerError unless each criterion has a value, and nothing else has."""
    if set(given) != set(wanted):
        raise AnswerError(f"criteria: a value for exactly these is wanted: {', '.join(wanted) or 'none'}.")
    for value in given.values():
        check_within("criteria", value, lowest, highest)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole_number(name: str, value: Any) -> int | None:
    if value is not None and not _is_whole(value):
        raise AnswerError(f"{name}: a whole number is wanted.")
    return None if value is None else int(value)


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
        raise AnswerError("criteria: a list of objects is wanted.")
    for given in value:
        if not isinstance(given, Mapping) or not all(map(_is_whole, given.values())):
            raise AnswerError("criteria: each is an object of whole numbers.")
    return tuple(dict(given) for given in value)


def _truth(name: str, value: Any) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise AnswerError(f"{name}: true or false is wanted.")
    return value


def _text(name: str, value: Any, *, longest: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or UNSTORABLE.search(value):
        raise AnswerError(f"{name}: plain text is wanted.")
    text = value.strip()
    if len(text) > longest:
        raise AnswerError(f"{name}: {len(text)} characters, but at most {longest} are kept.")
    return text


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 86_400:
        raise AnswerError("seconds: a number from 0 to 86400 is wanted.")
    return float(value)
