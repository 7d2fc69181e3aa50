"""What changed between two texts, line by line and within lines word by word."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

AROUND = 2
"""Unchanged lines shown on either side of a change."""
ALIKE = 0.4
"""Less alike, a line was taken out and another written: the words they share are chance."""
MOST_PAIRS = 2500
"""Of more, lines are not paired: every one of them would be compared with every other."""

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
        left_out = group[0][1] - reached
        if left_out == 1:  # the line itself is no longer than the word that it was left out
            passages.append(Passage([Piece("same", before[reached])]))
            left_out = 0
        for tag, first, last, start, end in group:
            old, new = before[first:last], after[start:end]
            match tag:
                case "equal":
                    pieces = [Piece("same", "\n".join(old))]
                case "delete":
                    pieces = [Piece("gone", "\n".join(old))]
                case "insert":
                    pieces = [Piece("new", "\n".join(new))]
                case _:
                    pieces = _rewritten(old, new)
            passages.append(Passage(pieces, skipped=left_out))
            left_out = 0
        reached = group[-1][2]
    return passages


def _rewritten(earlier: list[str], later: list[str]) -> list[Piece]:
    """Lines that gave way to others: those that are alike word by word, the others as gone and new."""
    lines: list[list[Piece]] = []
    old = new = 0
    for first, second in [*_alike(earlier, later), (len(earlier), len(later))]:
        lines += [[Piece("gone", line)] for line in earlier[old:first]]
        lines += [[Piece("new", line)] for line in later[new:second]]
        if first < len(earlier):
            lines.append(_by_words(earlier[first], later[second]))
        old, new = first + 1, second + 1
    pieces = [piece for line in lines for piece in (Piece("same", "\n"), *line)]
    return pieces[1:]


def _alike(earlier: list[str], later: list[str]) -> list[tuple[int, int]]:
    """Which lines became which, in order, the most alike first: nothing is crossed."""
    if len(earlier) * len(later) > MOST_PAIRS:
        return []
    matcher = SequenceMatcher(autojunk=False)
    likeness = {}
    for second, line in enumerate(later):
        matcher.set_seq2(WORD.findall(line))
        for first, other in enumerate(earlier):
            matcher.set_seq1(WORD.findall(other))
            if matcher.quick_ratio() >= ALIKE and (ratio := matcher.ratio()) >= ALIKE:
                likeness[first, second] = ratio
    kept: list[tuple[int, int]] = []
    for first, second in sorted(likeness, key=lambda pair: -likeness[pair]):
        if all((first - a) * (second - b) > 0 for a, b in kept):
            kept.append((first, second))
    return sorted(kept)


def _by_words(earlier: str, later: str) -> list[Piece]:
    """A line that was changed: what stayed of it, what went and what came."""
    before, after = WORD.findall(earlier), WORD.findall(later)
    pieces: list[Piece] = []
    for tag, first, last, start, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
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
