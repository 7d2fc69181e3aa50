"""Splitting a corpus into training, validation and test documents."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from fractions import Fraction
from hashlib import blake2b
from itertools import accumulate
from typing import Literal, NamedTuple

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")

Shares = tuple[Fraction, Fraction, Fraction]
"""How much of a corpus is for training, validation and test; they add up to 1."""

MAX_EXACTLY_SPLIT = 1000
"""Up to this many documents, shares are met exactly; beyond, each document's hash decides."""


class DocumentPart(NamedTuple):
    """A text to be assigned to a split: a document, or a piece of a long one."""

    text: str
    key: int  # of the full document
    split: SplitName | None  # in which it was published
    ends: bool  # whether it is its document's last piece


def document_key(text: str, seed: int) -> int:
    """A 64-bit hash of a text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8, key=str(seed).encode()).digest())


class HashSplitter:
    """Splits by a hash of the content: equal documents are always in the same split, in any order.

    ``keys`` are those of all distinct documents if there are few (else None): the smallest are for training.
    A split with a share above 0 gets at least one document if there are enough.
    """

    def __init__(self, shares: Shares, keys: Iterable[int] | None = None) -> None:
        if keys is None:
            self._ends = [int(end * 2**64) for end in list(accumulate(shares))[:2]]
            return
        ranked = sorted(keys)
        count = len(ranked)
        validation, test = (max(round(share * count), int(share > 0)) for share in shares[1:])
        test_from = max(count - test, min(2, count))
        validation_from = max(test_from - validation, min(1, count))
        ranked.append(2**64)
        self._ends = [ranked[validation_from], ranked[test_from]]

    def split_of(self, key: int) -> SplitName:
        """The split of the document with this key."""
        return SPLITS[bisect_right(self._ends, key)]

    def __call__(self, parts: Iterable[DocumentPart]) -> Iterator[tuple[SplitName, DocumentPart]]:
        """Each part with its split: the published one, if there is one."""
        for part in parts:
            yield part.split or self.split_of(part.key), part


class PositionSplitter:
    """Splits by position: the corpus is one text, cut to the character."""

    def __init__(self, shares: Shares, *, characters: int) -> None:
        self._ends = [int(end * characters) for end in accumulate(shares)]

    def __call__(self, parts: Iterable[DocumentPart]) -> Iterator[tuple[SplitName, DocumentPart]]:
        """Each part with its split; a part across a boundary is cut in two."""
        place, number = 0, 0
        for part in parts:
            rest = part.text
            while rest:
                while place >= self._ends[number]:
                    number += 1
                taken = rest[: self._ends[number] - place]
                rest = rest[len(taken) :]
                place += len(taken)
                yield SPLITS[number], part._replace(text=taken, ends=part.ends and not rest)
