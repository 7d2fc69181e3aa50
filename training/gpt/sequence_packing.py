"""Texts side by side without a pad, each beginning that several of them share read once.

A causal model's state at a token depends on nothing but the text up to it. So the samples of one prompt need
its states only once, in the gradient too, and so do the two completions of a comparison.

N rows (texts) of at most T tokens, M different beginnings among all of them, W states wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class PackedLayout:
    """Where the M packed tokens stand when they attend to each other: in N rows of T places."""

    rows: Tensor  # [N x T] which packed token stands at each place; past the end of a row, any
    shape: tuple[int, int]  # (N, T)
    places: Tensor  # [M or W] among the N x T, those whose outcome is kept
    kept: Tensor | None  # [W] the packed tokens whose outcome is kept; None: all, in their order

    def unpack(self, packed: Tensor) -> Tensor:
        """Packed queries, keys or values [1, M, H, head width] as rows [N, T, H, head width]."""
        _, _, heads, width = packed.shape
        # Whole tokens are moved at once: much faster than smaller pieces, backwards too.
        return packed.view(-1, heads * width).index_select(0, self.rows).view(*self.shape, heads, width)

    def repack(self, rows: Tensor) -> Tensor:
        """What rows [N, T, D] made of the tokens that are kept. [1, M or W, D]"""
        return rows.flatten(0, 1).index_select(0, self.places)[None]

    def select(self, packed: Tensor) -> Tensor:
        """Packed tokens [1, M, D], those that are kept. [1, M or W, D]"""
        return packed if self.kept is None else packed.index_select(1, self.kept)


@dataclass(frozen=True)
class PackedSequences:
    """N rows of ids, packed."""

    tokens: Tensor  # [1, M] the last token of each different beginning
    positions: Tensor  # [M] how many tokens stand before it: its position
    layout: PackedLayout  # for all blocks but the last
    last_block_layout: PackedLayout  # for the last block, of which only what is wanted has to be known


def pack_sequences(
    rows: Sequence[Sequence[int]], first: Sequence[int], *, device: torch.device
) -> PackedSequences:
    """Pack rows of ids, each of at least one. Wanted are a row's states from its place number ``first`` on.

    The states wanted come one row after the other, in the rows' order.
    """
    texts = [list(row) for row in rows]
    longest = max(map(len, texts))
    packed = np.zeros((len(texts), longest), dtype=np.int64)
    tokens: list[int] = []
    positions, places = [], []
    before: int | None = None
    # In this order, what a row shares with any other it shares with its neighbour.
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
    """How many ids two rows have in common before they part."""
    shortest = min(len(left), len(right))
    return next((place for place in range(shortest) if left[place] != right[place]), shortest)
