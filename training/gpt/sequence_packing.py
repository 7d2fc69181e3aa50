"""Sequence packing: sequences without padding, with the prefixes that several of them share computed once.

A causal model's state at a token depends only on the text up to it. So the samples of one prompt need its
states only once, in the gradient too, and so do the two completions of a comparison.

N rows (texts) of at most T tokens, M distinct prefixes among all of them, W states wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class PackedLayout:
    """Where the M packed tokens go for attention: into N rows of T places."""

    rows: Tensor  # [N x T] the packed token at each place; arbitrary past the end of a row
    shape: tuple[int, int]  # (N, T)
    places: Tensor  # [M or W] the places among the N x T whose output is kept
    kept: Tensor | None  # [W] the packed tokens whose output is kept; None: all, in order

    def unpack(self, packed: Tensor) -> Tensor:
        """Packed queries, keys or values [1, M, H, head width] as rows [N, T, H, head width]."""
        _, _, heads, width = packed.shape
        # Moves full tokens, which is much faster than smaller pieces, in the backward pass too.
        return packed.view(-1, heads * width).index_select(0, self.rows).view(*self.shape, heads, width)

    def repack(self, rows: Tensor) -> Tensor:
        """Rows [N, T, D] back to the packed tokens that are kept. [1, M or W, D]"""
        return rows.flatten(0, 1).index_select(0, self.places)[None]

    def select(self, packed: Tensor) -> Tensor:
        """Those of the packed tokens [1, M, D] that are kept. [1, M or W, D]"""
        return packed if self.kept is None else packed.index_select(1, self.kept)


@dataclass(frozen=True)
class PackedSequences:
    """N rows of ids, packed."""

    tokens: Tensor  # [1, M] the last token of each distinct prefix
    positions: Tensor  # [M] the position of each token in its row
    layout: PackedLayout  # for all blocks but the last
    last_block_layout: PackedLayout  # for the last block, which computes only the states wanted


def pack_sequences(
    rows: Sequence[Sequence[int]], first: Sequence[int], *, device: torch.device
) -> PackedSequences:
    """Pack rows of ids, each of at least one id; wanted are each row's states from its index ``first`` on.

    The states wanted come row by row, in the order of the rows.
    """
    texts = [list(row) for row in rows]
    longest = max(map(len, texts))
    packed = np.zeros((len(texts), longest), dtype=np.int64)
    tokens: list[int] = []
    positions, places = [], []
    before: int | None = None
    # In sorted order, each row shares its longest common prefix with a neighbour.
    for row in sorted(range(len(texts)), key=texts.__getitem__):
        ids, shared = texts[row], 0
        if before is not None:
            shared = _common_prefix_length(texts[before], ids)
            packed[row, :shared] = packed[before, :shared]
        packed[row, shared : len(ids)] = np.arange(len(tokens), len(tokens) + len(ids) - shared)
        tokens += ids[shared:]
        positions.append(np.arange(shared, len(ids)))
        places.append(row * longest + positions[-1])
        before = row
    wanted = np.concatenate(
        [row * longest + np.arange(start, len(texts[row])) for row, start in enumerate(first)]
    )
    flat, shape = torch.from_numpy(packed).flatten().to(device), (len(texts), longest)
    last_block_layout = torch.from_numpy(wanted).to(device)
    return PackedSequences(
        tokens=torch.tensor(tokens, device=device)[None],
        positions=torch.from_numpy(np.concatenate(positions)).to(device),
        layout=PackedLayout(flat, shape, torch.from_numpy(np.concatenate(places)).to(device), None),
        last_block_layout=PackedLayout(flat, shape, last_block_layout, flat[last_block_layout]),
    )


def _common_prefix_length(left: Sequence[int], right: Sequence[int]) -> int:
    """The length of the common prefix of two rows."""
    shortest = min(len(left), len(right))
    return next((place for place in range(shortest) if left[place] != right[place]), shortest)
