"""Answers to tasks, and parsing them from the page and the API.

Everything is in the order in which the samples were shown, so that neither pages nor payloads need sample
ids.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from labeling.text_limits import MAX_COMMENT_LENGTH, MAX_TEXT_LENGTH

MAX_GRADE = 3
"""Grades of a pair have seven steps, from -MAX_GRADE to MAX_GRADE."""
UNSTORABLE_CHARACTERS = re.compile("[\x00\ud800-\udfff]")
"""Characters that JSON allows and PostgreSQL cannot store: NUL and lone surrogates."""


class AnswerError(ValueError):
    """An answer that is not valid; the message names the field and says what is missing or wrong."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One person's answer to a task; sequences are in the order shown, sample numbers begin at 1."""

    ranks: tuple[int, ...] = ()
    """Rank: 1 is best, equal ranks are ties."""
    scores: tuple[int, ...] = ()
    """Score: 1 is worst, the project's scale is best."""
    grade: int | None = None
    """Pair: from -3 (the first is much better) by 0 (about the same) to 3 (the second is much better)."""
    best: int | None = None
    """Best: the number of the best sample."""
    text: str = ""
    """Rewrite: the text, without the white space between prompt and completion."""
    edited: int | None = None
    """Rewrite: the number of the sample that was edited; None if written from scratch."""
    criteria: tuple[Mapping[str, int], ...] = field(default=())
    """Score: for each sample a score per criterion. Pair: one object, a grade per criterion."""
    all_bad: bool = False
    """None of the samples is acceptable: stored, but gives no comparison."""
    flagged: bool = False
    comment: str = ""
    seconds: float | None = None
    """Active time: while the page was visible and in use."""

    @property
    def has_judgements(self) -> bool:
        """Whether the answer judges the samples, apart from `all_bad`."""
        return bool(self.ranks or self.scores or self.criteria or self.text) or (
            self.grade is not None or self.best is not None or self.edited is not None
        )

    def as_json(self) -> dict[str, Any]:
        """A JSON object for `parse_answer`, without empty fields."""
        given = {name: value for name, value in asdict(self).items() if value not in (None, (), "")}
        # By identity: a grade of 0 equals False.
        return {name: value for name, value in given.items() if value is not False}


class Verdict(NamedTuple):
    """One sample's part of an answer, as stored in a judgement: a rank, a score or a grade."""

    rank: int | None = None
    """1 is best."""
    score: int | None = None
    """1 is worst."""
    grade: int | None = None
    """How much better it is than the other sample of the pair, from -3 to 3."""
    criteria: Mapping[str, int] = {}


def parse_answer(data: Any) -> Answer:
    """Parse an answer from decoded JSON, of the page or the API; raises AnswerError naming the field."""
    if not isinstance(data, Mapping):
        raise AnswerError("answer: must be a JSON object.")
    if unknown := sorted(set(map(str, data)) - {item.name for item in fields(Answer)}):
        raise AnswerError(f"{unknown[0]}: unknown field.")
    return Answer(
        ranks=_parse_integers("ranks", data.get("ranks")),
        scores=_parse_integers("scores", data.get("scores")),
        grade=_parse_integer("grade", data.get("grade")),
        best=_parse_integer("best", data.get("best")),
        text=_parse_text("text", data.get("text"), max_length=MAX_TEXT_LENGTH),
        edited=_parse_integer("edited", data.get("edited")),
        criteria=_parse_criteria(data.get("criteria")),
        all_bad=_parse_boolean("all_bad", data.get("all_bad")),
        flagged=_parse_boolean("flagged", data.get("flagged")),
        comment=_parse_text("comment", data.get("comment"), max_length=MAX_COMMENT_LENGTH),
        seconds=_parse_seconds(data.get("seconds")),
    )


def check_range(name: str, value: int, lowest: int, highest: int) -> None:
    """Raise AnswerError unless the value is in the range."""
    if not lowest <= value <= highest:
        raise AnswerError(f"{name}: {value} is not between {lowest} and {highest}.")


def check_only_fields(answer: Answer, *wanted: str) -> None:
    """Raise AnswerError if the answer has fields of other kinds of feedback."""
    for name in ("ranks", "scores", "grade", "best", "text", "edited", "criteria"):
        if name not in wanted and getattr(answer, name) not in (None, (), ""):
            raise AnswerError(f"{name}: this project asks for {' and '.join(wanted)}.")


def check_criteria(given: Mapping[str, int], wanted: Sequence[str], lowest: int, highest: int) -> None:
    """Raise AnswerError unless exactly the wanted criteria have values in the range."""
    if set(given) != set(wanted):
        raise AnswerError(f"criteria: must have exactly these: {', '.join(wanted) or 'none'}.")
    for value in given.values():
        check_range("criteria", value, lowest, highest)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _parse_integer(name: str, value: Any) -> int | None:
    if value is not None and not _is_integer(value):
        raise AnswerError(f"{name}: must be a whole number.")
    return None if value is None else int(value)


def _parse_integers(name: str, value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(map(_is_integer, value)):
        raise AnswerError(f"{name}: must be a list of whole numbers, one for each sample.")
    return tuple(value)


def _parse_criteria(value: Any) -> tuple[Mapping[str, int], ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise AnswerError("criteria: must be a list of objects.")
    for given in value:
        if not isinstance(given, Mapping) or not all(map(_is_integer, given.values())):
            raise AnswerError("criteria: each must be an object of whole numbers.")
    return tuple(dict(given) for given in value)


def _parse_boolean(name: str, value: Any) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise AnswerError(f"{name}: must be true or false.")
    return value


def _parse_text(name: str, value: Any, *, max_length: int) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or UNSTORABLE_CHARACTERS.search(value):
        raise AnswerError(f"{name}: must be plain text.")
    text = value.strip()
    if len(text) > max_length:
        raise AnswerError(f"{name}: {len(text):,} characters; at most {max_length:,} are allowed.")
    return text


def _parse_seconds(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 86_400:
        raise AnswerError("seconds: must be a number from 0 to 86400.")
    return float(value)
