"""A diff of two texts, by lines and by words within changed lines."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

CONTEXT_LINES = 2
"""Unchanged lines shown before and after a change."""
MIN_SIMILARITY = 0.4
"""Below this similarity (0 to 1), a changed line counts as one line removed and another added."""
MAX_LINE_PAIRS = 2500
"""Beyond this many pairs to compare, changed lines are not matched."""

# Chinese and Japanese have no spaces: each character counts as a word.
WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|\s|.", re.DOTALL
)


class DiffSpan(NamedTuple):
    """Text that is in both versions, only in the earlier or only in the later one."""

    kind: Literal["equal", "removed", "added"]
    text: str


@dataclass(frozen=True)
class DiffHunk:
    """Consecutive lines: unchanged, or one change, after `skipped` unchanged lines that are not shown."""

    spans: list[DiffSpan]
    skipped: int = 0

    @property
    def is_change(self) -> bool:
        return any(span.kind != "equal" for span in self.spans)


def diff_texts(earlier: str, later: str) -> list[DiffHunk]:
    """The changes from one text to the other, with context lines; none if they are equal."""
    before, after = earlier.splitlines(), later.splitlines()
    groups = SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(CONTEXT_LINES)
    hunks = []
    reached = 0
    for group in groups:
        skipped_lines = group[0][1] - reached
        if skipped_lines == 1:  # the line itself takes no more room than a note that it is skipped
            hunks.append(DiffHunk([DiffSpan("equal", before[reached])]))
            skipped_lines = 0
        for tag, first, last, start, end in group:
            old, new = before[first:last], after[start:end]
            match tag:
                case "equal":
                    spans = [DiffSpan("equal", "\n".join(old))]
                case "delete":
                    spans = [DiffSpan("removed", "\n".join(old))]
                case "insert":
                    spans = [DiffSpan("added", "\n".join(new))]
                case _:
                    spans = _diff_changed_lines(old, new)
            hunks.append(DiffHunk(spans, skipped=skipped_lines))
            skipped_lines = 0
        reached = group[-1][2]
    return hunks


def _diff_changed_lines(earlier: list[str], later: list[str]) -> list[DiffSpan]:
    """Lines that were replaced: similar ones word by word, the others as removed and added."""
    lines: list[list[DiffSpan]] = []
    old = new = 0
    for first, second in [*_match_similar_lines(earlier, later), (len(earlier), len(later))]:
        lines += [[DiffSpan("removed", line)] for line in earlier[old:first]]
        lines += [[DiffSpan("added", line)] for line in later[new:second]]
        if first < len(earlier):
            lines.append(_diff_words(earlier[first], later[second]))
        old, new = first + 1, second + 1
    spans = [span for line in lines for span in (DiffSpan("equal", "\n"), *line)]
    return spans[1:]


def _match_similar_lines(earlier: list[str], later: list[str]) -> list[tuple[int, int]]:
    """Pairs of line numbers that match without crossing, found from the most similar pair down."""
    if len(earlier) * len(later) > MAX_LINE_PAIRS:
        return []
    matcher = SequenceMatcher(autojunk=False)
    similarity = {}
    for second, line in enumerate(later):
        matcher.set_seq2(WORD.findall(line))
        for first, other in enumerate(earlier):
            matcher.set_seq1(WORD.findall(other))
            if matcher.quick_ratio() >= MIN_SIMILARITY and (ratio := matcher.ratio()) >= MIN_SIMILARITY:
                similarity[first, second] = ratio
    kept: list[tuple[int, int]] = []
    for first, second in sorted(similarity, key=lambda pair: -similarity[pair]):
        if all((first - a) * (second - b) > 0 for a, b in kept):
            kept.append((first, second))
    return sorted(kept)


def _diff_words(earlier: str, later: str) -> list[DiffSpan]:
    """The spans of a changed line."""
    before, after = WORD.findall(earlier), WORD.findall(later)
    spans: list[DiffSpan] = []
    for tag, first, last, start, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            spans.append(DiffSpan("equal", "".join(before[first:last])))
            continue
        if first < last:
            spans.append(DiffSpan("removed", "".join(before[first:last])))
        if start < end:
            spans.append(DiffSpan("added", "".join(after[start:end])))
    return _merge_spans(spans)


def _merge_spans(spans: list[DiffSpan]) -> list[DiffSpan]:
    """Merge changes that only a space separates, which reads better."""
    kept: list[DiffSpan] = []
    removed = added = ""
    between = {number for number in range(1, len(spans) - 1) if spans[number] == DiffSpan("equal", " ")}
    for number, span in enumerate(spans):
        if span.kind == "equal" and number not in between:
            kept += (
                [DiffSpan("removed", removed)] * bool(removed)
                + [DiffSpan("added", added)] * bool(added)
                + [span]
            )
            removed = added = ""
            continue
        removed += span.text * (span.kind != "added")
        added += span.text * (span.kind != "removed")
    return kept + _change(removed, added)


def _change(removed: str, added: str) -> list[DiffSpan]:
    return [DiffSpan("removed", removed)] * bool(removed) + [DiffSpan("added", added)] * bool(added)
