"""The order in which a model reads its corpus: a function of the seed and of nothing else.

Window number n of the endless order can be found without walking there, so a training that goes on after a
kill, or one process of several, reads on where it should and keeps no state for it.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.gpt.corpus.shards import TokenizedSplit, Tokens

_SCANNED_AT_ONCE = 1 << 24  # tokens


class Windows:
    """All windows of ``context`` tokens of a split, in an endless order that ``seed`` decides.

    Where every document fits in a context, each window starts at a document, so that the model sees whole
    texts from their first token, as it does when it writes. Else the corpus is cut into windows at a new
    place in every epoch. Memory does not grow with the corpus, but for 8 bytes per document where documents
    are short. The split must hold at least ``context + 1`` tokens.
    """

    def __init__(self, split: TokenizedSplit, *, context: int, eos_id: int, seed: int) -> None:
        self.tokens = split.tokens
        self.context = context
        self.seed = seed
        self.room = len(split.tokens) - context  # places where a window can start
        self.documents = _starts_of_short(split.tokens, context, eos_id)
        self.per_epoch = (
            max(1, self.room // context)
            if self.documents is None
            else int(np.searchsorted(self.documents, self.room))
        )

    def read(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets [count, context] of the windows number ``first`` and after it."""
        starts = np.concatenate(
            [
                self._starts(epoch, np.arange(max(first, begin), min(first + count, begin + self.per_epoch)))
                for epoch in range(first // self.per_epoch, (first + count - 1) // self.per_epoch + 1)
                for begin in [epoch * self.per_epoch]
            ]
        )
        places = starts[:, None] + np.arange(self.context + 1)
        windows = torch.from_numpy(self.tokens[places].astype(np.int64))
        return windows[:, :-1], windows[:, 1:]

    def _starts(self, epoch: int, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        keys = np.random.SeedSequence((self.seed, epoch)).generate_state(7, np.uint64).astype(np.uint64)
        places = shuffled(numbers % self.per_epoch, self.per_epoch, keys[:6])
        if self.documents is not None:
            return self.documents[places]
        spare = self.room - (self.per_epoch - 1) * self.context
        return places * self.context + int(keys[6] % np.uint64(spare))


def shuffled(
    numbers: npt.NDArray[np.int64], count: int, keys: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """Where ``numbers`` go under a permutation of ``range(count)`` that ``keys`` decide; it is never stored.

    A Feistel network with a round per key permutes the next power of four; what falls outside the range is
    sent through again until it is inside (Black and Rogaway 2002, "cycle walking").
    """
    half = np.uint64(max(1, -(-(count - 1).bit_length() // 2)))
    mask = (np.uint64(1) << half) - np.uint64(1)
    places = numbers.astype(np.uint64)
    outside = np.ones(len(places), dtype=bool)
    while outside.any():
        left, right = places[outside] >> half, places[outside] & mask
        for key in keys:
            left, right = right, left ^ (_mixed(right ^ key) & mask)
        places[outside] = left << half | right
        outside = places >= count
    return places.astype(np.int64)


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scatter 64 bits (the finaliser of splitmix64; Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _starts_of_short(tokens: Tokens, context: int, eos_id: int) -> npt.NDArray[np.int64] | None:
    """Where each document starts (at the end mark before it); None if one is longer than ``context``."""
    found: list[npt.NDArray[np.int64]] = []
    last = 0
    for first in range(0, len(tokens), _SCANNED_AT_ONCE):
        ends = first + np.flatnonzero(tokens[first : first + _SCANNED_AT_ONCE] == eos_id)
        if (np.diff(ends, prepend=last) > context).any():
            return None
        found.append(ends)
        last = int(ends[-1]) if len(ends) else last
    starts = np.concatenate(found)
    if not len(starts) or len(tokens) - last > context or starts[0] + context >= len(tokens):
        return None
    return starts
