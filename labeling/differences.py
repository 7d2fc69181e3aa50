"""What changed between two texts, line by line and within lines word by word."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

AROUND = 2
"""Unchanged lines shown on either side of a change."""
ALIKE = 0.4
"""Below this likeness, a passage is shown as taken out and written anew: words in common are chance."""
MOST_WORDS = 4000
"""Longer passages are not compared word by word, which takes the square of their length."""

# Chinese and Japanese write no spaces: there each character is a word of its own.
WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|\s|.", re.DOTALL
)


class Piece(NamedTuple):
    """Some text that is in both, only in the earlier ("gone") or only in the later ("new")."""

    kind: Literal["same", "gone", "new"]
    text: str


@dataclass(frozen=True)
class Passage:
    """Lines that follow each other: all unchanged, or one change; `skipped` unchanged lines come before."""

    pieces: list[Piece]
    skipped: int = 0

    @property
    def changed(self) -> bool:
        return any(piece.kind != "same" for piece in self.pieces)


def differences(earlier: str, later: str) -> list[Passage]:
    """The changes from one text to the other, each with a line around it; none if they are equal."""
    before, after = earlier.splitlines(), later.splitlines()
    groups = SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(AROUND)
    passages = []
    reached = 0
    for group in groups:
        for number, (tag, first, last, start, end) in enumerate(group):
            old, new = "\n".join(before[first:last]), "\n".join(after[start:end])
            if tag == "equal":
                pieces = [Piece("same", old)]
            elif tag == "replace":
                pieces = _by_words(old, new)
            else:
                pieces = [Piece("gone", old)] if tag == "delete" else [Piece("new", new)]
            passages.append(Passage(pieces, skipped=first - reached if number == 0 else 0))
        reached = group[-1][2]
    return passages


def _by_words(earlier: str, later: str) -> list[Piece]:
    """A passage that was rewritten: what stayed of it, what went and what came."""
    before, after = WORD.findall(earlier), WORD.findall(later)
    whole = [Piece("gone", earlier), Piece("new", f"\n{later}")]
    if max(len(before), len(after)) > MOST_WORDS:
        return whole
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < ALIKE:
        return whole
    pieces: list[Piece] = []
    for tag, first, last, start, end in matcher.get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(before[first:last])))
            continue
        if first < last:
            pieces.append(Piece("gone", "".join(before[first:last])))
        if start < end:
            pieces.append(Piece("new", "".join(after[start:end])))
    return _joined(pieces)


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Changes with nothing but a space between them are one change, which reads better."""
    kept: list[Piece] = []
    gone = new = ""
    between = {number for number in range(1, len(pieces) - 1) if pieces[number] == Piece("same", " ")}
    for number, piece in enumerate(pieces):
        if piece.kind == "same" and number not in between:
            kept += [Piece("gone", gone)] * bool(gone) + [Piece("new", new)] * bool(new) + [piece]
            gone = new = ""
            continue
        gone += piece.text * (piece.kind != "new")
        new += piece.text * (piece.kind != "gone")
    return kept + [Piece("gone", gone)] * bool(gone) + [Piece("new", new)] * bool(new)
