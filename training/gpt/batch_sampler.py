"""The order in which a model reads its corpus, as a function of the seed and nothing else.

Window number n of the endless order is found without reading those before it. So a resumed training, or one
of several processes, continues at the right place and needs no stored state.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.gpt.corpus.shards import TokenizedSplit, Tokens
from training.gpt.random_seeds import permute

_SCAN_TOKENS = 1 << 24  # read at once to find the documents


class BatchSampler:
    """All windows of ``context`` tokens of a split, in an endless order that ``seed`` decides.

    Where every document fits in a context, each window starts at a document, so that the model sees texts
    from their first token, as in generation. Otherwise the corpus is cut into windows at a new offset in
    every epoch. Memory does not grow with the corpus, except by 8 bytes per document where documents are
    short. The split must hold at least ``context + 1`` tokens.
    """

    def __init__(self, split: TokenizedSplit, *, context: int, eos_id: int, seed: int) -> None:
        self.tokens = split.tokens
        self.context = context
        self.seed = seed
        self.max_start = len(split.tokens) - context  # windows start before this token
        self.document_starts = _short_document_starts(split.tokens, context, eos_id)
        self.windows_per_epoch = (
            max(1, self.max_start // context)
            if self.document_starts is None
            else int(np.searchsorted(self.document_starts, self.max_start))
        )

    def read(self, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets [count, context] of ``count`` windows from window number ``first`` on."""
        size = self.windows_per_epoch
        starts = np.concatenate(
            [
                self._starts(
                    epoch, np.arange(max(first, epoch * size), min(first + count, (epoch + 1) * size))
                )
                for epoch in range(first // size, (first + count - 1) // size + 1)
            ]
        )
        indices = starts[:, None] + np.arange(self.context + 1)
        windows = torch.from_numpy(self.tokens[indices].astype(np.int64))
        return windows[:, :-1], windows[:, 1:]

    def _starts(self, epoch: int, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The first token of windows of one epoch."""
        size = self.windows_per_epoch
        shuffled = permute(numbers % size, size, self.seed, epoch)
        if self.document_starts is not None:
            return self.document_starts[shuffled]
        # The seventh word: the permutation is made of the six before it.
        offset = np.random.SeedSequence((self.seed, epoch)).generate_state(7, np.uint64)[6]
        return shuffled * self.context + int(offset) % (self.max_start - (size - 1) * self.context)


def _short_document_starts(tokens: Tokens, context: int, eos_id: int) -> npt.NDArray[np.int64] | None:
    """Where each document starts (at the end token before it); None if one is longer than ``context``."""
    blocks: list[npt.NDArray[np.int64]] = []
    last = 0
    for first in range(0, len(tokens), _SCAN_TOKENS):
        ends = first + np.flatnonzero(tokens[first : first + _SCAN_TOKENS] == eos_id)
        if (np.diff(ends, prepend=last) > context).any():
            return None
        blocks.append(ends)
        last = int(ends[-1]) if len(ends) else last
    starts = np.concatenate(blocks)
    if not len(starts) or len(tokens) - last > context or starts[0] + context >= len(tokens):
        return None
    return starts
