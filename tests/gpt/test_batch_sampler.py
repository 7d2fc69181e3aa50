import numpy as np
import pytest
import torch

from training.gpt import batch_sampler
from training.gpt.batch_sampler import BatchSampler
from training.gpt.corpus.shards import TokenizedSplit

END = 0


def split_of_lengths(*lengths: int) -> TokenizedSplit:
    """Documents 1, 2, 3, ...: each its own number, ``lengths[i]`` times."""
    tokens = [END]
    for number, length in enumerate(lengths, 1):
        tokens += [number] * length + [END]
    return TokenizedSplit(tokens=np.array(tokens, dtype=np.uint16), documents=len(lengths), text_bytes=1)


def first(split: TokenizedSplit, count: int, *, context: int = 8, seed: int = 0) -> torch.Tensor:
    """The inputs of the first ``count`` windows."""
    return BatchSampler(split, context=context, eos_id=END, seed=seed).read(0, count)[0]


def test_targets_are_the_next_tokens() -> None:
    inputs, targets = BatchSampler(split_of_lengths(3, 4, 5, 6, 7), context=8, eos_id=END, seed=0).read(0, 20)
    assert inputs.shape == targets.shape == (20, 8)
    assert inputs.dtype == torch.int64
    assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_windows_start_at_documents_where_documents_are_short() -> None:
    split = split_of_lengths(*[5] * 40)
    windows = first(split, 80)
    assert (windows[:, 0] == END).all()
    # One epoch starts once at each document that has a window's room after it; the next in another order.
    starts = windows[:, 1].tolist()
    assert sorted(starts[:39]) == list(range(1, 40))
    assert sorted(starts[39:78]) == list(range(1, 40))
    assert starts[:39] != starts[39:78]


def test_long_documents_are_read_everywhere() -> None:
    split = split_of_lengths(300)
    split.tokens[:] = np.arange(302)
    split.tokens[0] = split.tokens[-1] = END
    windows = first(split, 160)
    assert len(set(windows.flatten().tolist())) > 290
    assert len(set(windows[:, 0].tolist())) > 37, "each epoch should cut at other places"
    epoch = windows[: 302 // 8 - 1].flatten().tolist()
    assert len(set(epoch)) == len(epoch), "an epoch should read nothing twice"


def test_a_corpus_of_exactly_one_window_is_enough() -> None:
    assert torch.equal(first(split_of_lengths(7), 4), torch.tensor([[0, 1, 1, 1, 1, 1, 1, 1]] * 4))


def test_the_seed_decides_the_order() -> None:
    split = split_of_lengths(*[5] * 40)
    assert torch.equal(first(split, 20), first(split, 20))
    assert not torch.equal(first(split, 20), first(split, 20, seed=1))


@pytest.mark.parametrize("lengths", [[5] * 40, [300]])
def test_any_stretch_of_the_order_can_be_read_alone(lengths: list[int]) -> None:
    windows = BatchSampler(split_of_lengths(*lengths), context=8, eos_id=END, seed=3)
    whole = windows.read(0, 120)[0]
    pieces = [windows.read(start, 7)[0] for start in range(0, 120, 7)]
    assert torch.equal(torch.cat(pieces)[:120], whole)


@pytest.mark.parametrize("last", [8, 9])
def test_documents_are_found_in_whatever_pieces_a_corpus_is_scanned(
    monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    split = split_of_lengths(5, 6, 7, 3, last - 1, 4)
    for piece in (1, 3, 1000):
        monkeypatch.setattr(batch_sampler, "_SCAN_TOKENS", piece)
        documents = BatchSampler(split, context=8, eos_id=END, seed=0).document_starts
        assert (documents is None) == (last > 8)
