from itertools import islice

import numpy as np
import torch

from training.gpt.batches import batches
from training.gpt.corpus import TokenizedSplit

END = 0


def split_of_lengths(*lengths: int) -> TokenizedSplit:
    """Documents 1, 2, 3, ...: each its own number, ``lengths[i]`` times."""
    tokens = [END]
    for number, length in enumerate(lengths, 1):
        tokens += [number] * length + [END]
    return TokenizedSplit(tokens=np.array(tokens, dtype=np.uint16), documents=len(lengths), text_bytes=1)


def first(split: TokenizedSplit, count: int, *, context: int = 8, seed: int = 0) -> list[torch.Tensor]:
    stream = batches(split, context=context, batch_size=4, eos_id=END, seed=seed)
    return [inputs for inputs, _ in islice(stream, count)]


def test_targets_are_the_next_tokens() -> None:
    split = split_of_lengths(3, 4, 5, 6, 7)
    for inputs, targets in islice(batches(split, context=8, batch_size=4, eos_id=END, seed=0), 5):
        assert inputs.shape == targets.shape == (4, 8)
        assert inputs.dtype == torch.int64
        assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_windows_start_at_documents_where_documents_are_short() -> None:
    split = split_of_lengths(*[5] * 40)
    windows = torch.cat(first(split, 10))
    assert (windows[:, 0] == END).all()
    # One epoch starts once at each document that has a window's room after it.
    starts = windows[:, 1].tolist()
    assert sorted(starts[:39]) == list(range(1, 40))


def test_long_documents_are_read_everywhere() -> None:
    split = split_of_lengths(300)
    split.tokens[:] = np.arange(302)
    windows = torch.cat(first(split, 40))
    assert len(set(windows.flatten().tolist())) > 290
    assert len(set(windows[:, 0].tolist())) > 37, "each epoch should cut at other places"


def test_a_corpus_of_exactly_one_window_is_enough() -> None:
    assert torch.equal(first(split_of_lengths(7), 1)[0], torch.tensor([[0, 1, 1, 1, 1, 1, 1, 1]] * 4))


def test_the_seed_decides_the_order() -> None:
    split = split_of_lengths(*[5] * 40)
    assert torch.equal(torch.cat(first(split, 5)), torch.cat(first(split, 5)))
    assert not torch.equal(torch.cat(first(split, 5)), torch.cat(first(split, 5, seed=1)))
