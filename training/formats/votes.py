"""Votes as annotation tools write them in words: left, Response 2, both bad, thumbs up."""

import re
from collections.abc import Sequence
from typing import Any

from training.formats.records import RecordJudgement
from training.formats.text_rows import normalise_name

FIRST, SECOND = {"left", "first", "one"}, {"right", "second", "two"}
TIES = {"tie", "equal", "same", "both", "both_good", "draw", "about_the_same", "no_preference", "undecided"}
ALL_BAD = {"neither", "none", "both_bad", "all_bad", "tie_bothbad", "bothbad", "tie_(bothbad)"}
GOOD = {
    "good", "yes", "true", "accept", "accepted", "approve", "approved", "correct", "helpful",
    "acceptable", "thumbs_up", "positive", "like", "👍", "pass",
}  # fmt: skip
BAD = {
    "bad", "no", "false", "reject", "rejected", "disapprove", "incorrect", "wrong", "unhelpful",
    "unacceptable", "thumbs_down", "negative", "dislike", "👎", "fail",
}  # fmt: skip
_NUMBERED = re.compile(
    r"(?:answer|response|option|sample|model|completion|output|choice|text|item|candidate|assistant)?"
    r"_?(\d{1,2}|[a-i])(?:_is_better|_wins|_better)?"
)
_SUFFIX = re.compile(r".*?_?(\d{1,2}|(?<=_)[a-i])")


def vote(word: Any, names: Sequence[str]) -> RecordJudgement | None:
    """The judgement that a word is about samples of these names; None if it says nothing about them."""
    if not isinstance(word, str):
        return None
    text = normalise_name(word)
    count = len(names)
    if count == 1 and text in GOOD | BAD:
        return RecordJudgement(kind="label", scores=(float(text in GOOD),), scale=(0.0, 1.0))
    if count < 2:
        return None
    if text in TIES | ALL_BAD:
        return RecordJudgement(
            kind="pair" if count == 2 else "rank", ranks=(1,) * count, all_bad=text in ALL_BAD
        )
    best = _position(text, [normalise_name(name) for name in names])
    if best is None or not 0 <= best < count:
        return None
    ranks = tuple(1 if position == best else 2 for position in range(count))
    return RecordJudgement(kind="pair" if count == 2 else "best", ranks=ranks)


def _position(text: str, names: Sequence[str]) -> int | None:
    """Which sample a word names, from 0: by its whole name, by the end of its name, or by its place."""
    if text in names:
        return names.index(text)
    if text in FIRST:
        return 0
    if text in SECOND and len(names) == 2:
        return 1
    if not (found := _NUMBERED.fullmatch(text)):
        return None
    ends = [end[1] if (end := _SUFFIX.fullmatch(name)) else "" for name in names]
    if found[1] in ends:
        return ends.index(found[1])
    return None if found[1].isdigit() and any(ends) else _place(found[1])


def _place(mark: str) -> int:
    return int(mark) - 1 if mark.isdigit() else ord(mark) - ord("a")


def order(given: Sequence[Any], names: Sequence[str]) -> RecordJudgement | None:
    """The ranking that a list of names is, the best first; those that are missing come last, together."""
    places = {
        normalise_name(name): place
        for place, name in enumerate(given, start=1)
        if isinstance(name, str | int)
    }
    own = [normalise_name(name) for name in names]
    if len(places) != len(given) or not places or not places.keys() <= set(own):
        return None
    ranks = tuple(places.get(name, len(places) + 1) for name in own)
    return RecordJudgement(kind="pair" if len(own) == 2 else "rank", ranks=ranks)
