"""A key-value cache whose rows have their own lengths, and join and leave between steps."""

import torch
from torch import Tensor

from training.gpt.model import GPT, KVCache

_COLUMNS_AT_ONCE = 64


class SlotCache(KVCache):
    """Keys and values of sequences of different lengths, R of them now.

    Row r holds its tokens in columns 0 to ``lengths[r]`` - 1. A new row takes the next free slot and disturbs
    no other; where one leaves, the last row moves into its slot. Each forward pass appends one token a row.
    """

    def __init__(self, model: GPT) -> None:
        super().__init__(model, rows=0, capacity=0)
        self.context = model.config.context
        self.lengths: list[int] = []
        self._rows = self._places = torch.zeros(0, dtype=torch.long, device=model.device)  # [R] both

    def join(self, cache: KVCache, row: int, length: int) -> None:
        """Append a row: the last ``length`` tokens of row ``row`` of ``cache``, as ``prefill`` read them."""
        slot = len(self.lengths)
        self.lengths.append(length)
        self._reserve()
        columns = slice(cache.length - length, cache.length)
        self.keys[:, slot, :, :length] = cache.keys[:, row, :, columns]
        self.values[:, slot, :, :length] = cache.values[:, row, :, columns]

    def leave(self, slot: int) -> None:
        """Drop the row in ``slot``; the last row takes its place."""
        length = self.lengths.pop()
        if slot < len(self.lengths):
            self.lengths[slot] = length
            for stored in (self.keys, self.values):
                stored[:, slot, :, :length] = stored[:, len(self.lengths), :, :length]
        if not self.lengths:  # idle: hold no memory
            self.keys, self.values = self._resized(self.keys, 0, 0), self._resized(self.values, 0, 0)
        self.length = max(self.lengths, default=0)

    def places_and_mask(self, length: int) -> tuple[Tensor, Tensor | None]:
        """The position of each row's next token, [R, 1], and which keys it attends to, [R, 1, 1, S]."""
        if length != 1:
            raise ValueError(f"{length} tokens a row: rows of different lengths are read one token at a time")
        device = self.keys.device
        self._rows = torch.arange(len(self.lengths), device=device)
        self._places = torch.tensor(self.lengths, device=device)
        keys = torch.arange(self.length + 1, device=device)
        return self._places[:, None], (keys <= self._places[:, None])[:, None, None]

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append a token to each row, [R, kv heads, 1, head width]; return all S columns of this layer."""
        self.keys[layer, self._rows, :, self._places] = keys[:, :, 0]
        self.values[layer, self._rows, :, self._places] = values[:, :, 0]
        rows, end = len(self.lengths), self.length + 1
        return self.keys[layer, :rows, :, :end], self.values[layer, :rows, :, :end]

    def advance(self, length: int) -> None:
        """Count one more token in each row."""
        self.lengths = [each + length for each in self.lengths]
        self.length += length
        self._reserve()

    def _reserve(self) -> None:
        """Make room for every row and its next token, in steps, so that few of them copy."""
        self.length = max(self.lengths)
        _, rows, _, columns, _ = self.keys.shape
        if len(self.lengths) <= rows and self.length < columns:
            return
        rows = max(rows, 1 << (len(self.lengths) - 1).bit_length())
        if self.length >= columns:
            columns = min(self.context, max(self.length + _COLUMNS_AT_ONCE, columns * 3 // 2)) + 1
        self.keys, self.values = (
            self._resized(self.keys, rows, columns),
            self._resized(self.values, rows, columns),
        )

    @staticmethod
    def _resized(stored: Tensor, rows: int, columns: int) -> Tensor:
        layers, old_rows, heads, old_columns, width = stored.shape
        # Zeros, not whatever is there: a masked weight of 0 times NaN would be NaN.
        resized = stored.new_zeros((layers, rows, heads, columns, width))
        kept = min(rows, old_rows), min(columns, old_columns)
        resized[:, : kept[0], :, : kept[1]] = stored[:, : kept[0], :, : kept[1]]
        return resized
