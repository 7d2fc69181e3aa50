"""The order in which a model reads its corpus."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.gpt.corpus import TokenizedSplit


def batches(
    split: TokenizedSplit, *, context: int, batch_size: int, eos_id: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of inputs and targets [batch_size, context], in an order that ``seed`` decides.

    Where every document fits in a context, each window starts at a document, so that the model sees whole
    texts from their first token, as it does when it writes. Else the corpus is cut into windows at a new
    place in every epoch.
    """
    rng = np.random.default_rng(seed)
    starts = _endless(split, context, eos_id, rng)
    offsets = np.arange(context + 1)
    while True:
        places = np.fromiter((next(starts) for _ in range(batch_size)), dtype=np.int64, count=batch_size)
        windows = torch.from_numpy(split.tokens[places[:, None] + offsets].astype(np.int64))
        yield windows[:, :-1], windows[:, 1:]


def _endless(split: TokenizedSplit, context: int, eos_id: int, rng: np.random.Generator) -> Iterator[int]:
    last = len(split.tokens) - context - 1  # the last place where a window fits
    ends = np.flatnonzero(split.tokens == eos_id)
    short = bool((np.diff(ends, append=len(split.tokens)) <= context).all())
    documents = ends[ends <= last]
    while True:
        epoch: npt.NDArray[np.int64]
        epoch = documents if short else np.arange(rng.integers(min(context, last + 1)), last + 1, context)
        yield from rng.permutation(epoch).tolist()
