import math

import numpy as np
import pytest
import torch

from tests.gpt.tiny_models import tiny_model
from training.gpt.corpus.shards import TokenizedSplit
from training.gpt.errors import InputError
from training.gpt.evaluation import evaluate
from training.gpt.model import GPT

END, BEGIN, CONTEXT = 0, 22, 32
LENGTHS = [5, 31, 32, 33, 1, 200, 0, 64, 70]  # of documents, around the context and its multiples


def documents_of(*lengths: int, begin: int = END) -> list[list[int]]:
    """Random tokens, with the one that begins a text and the one that ends it."""
    rng = np.random.default_rng(0)
    return [[begin, *rng.integers(1, BEGIN, size=length).tolist(), END] for length in lengths]


def split_of(*lengths: int, begin: int = END) -> TokenizedSplit:
    """The same documents, as shards hold them: where one token ends and begins, it stands there once."""
    first, *others = documents_of(*lengths, begin=begin)
    tokens = first + [token for each in others for token in (each[1:] if begin == END else each)]
    return TokenizedSplit(
        tokens=np.array(tokens, dtype=np.uint16), documents=len(lengths), text_bytes=3 * sum(lengths)
    )


def slow(model: GPT, documents: list[list[int]], stride: int) -> dict[str, float]:
    """One token at a time, each with the history that its window gives it."""
    losses, right = [], []
    for document in documents:
        for place in range(1, len(document)):
            beyond = max(0, place - CONTEXT)
            start = -(-beyond // stride) * stride
            with torch.inference_mode():
                logprobs = model(torch.tensor([document[start:place]]))[0, -1].log_softmax(-1)
            losses.append(-float(logprobs[document[place]]))
            right.append(int(logprobs.argmax()) == document[place])
            history = place - start
            assert history >= min(place, CONTEXT - stride + 1)
    return {"loss": sum(losses) / len(losses), "accuracy": sum(right) / len(right), "tokens": len(losses)}


@pytest.mark.parametrize("begin", [END, BEGIN])
def test_conversations_hold_the_marks_between_documents(begin: int) -> None:
    documents = documents_of(*LENGTHS, begin=begin)
    starts, tokens = [], documents[0][:1]
    for document in documents:
        for place in range(3, len(document) - 1, 7):
            document[place] = begin if place % 2 else END
        if begin != END and document is not documents[0]:
            tokens.append(begin)
        starts.append(len(tokens) - 1)
        tokens += document[1:]
    split = TokenizedSplit(
        np.array(tokens, dtype=np.uint16), len(documents), 3 * sum(LENGTHS), np.array(starts, dtype=np.uint64)
    )
    model = tiny_model()
    found, expected = evaluate(model, split, eos_id=END), slow(model, documents, CONTEXT)
    assert found["tokens"] == expected["tokens"]
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)


@pytest.mark.parametrize("begin", [END, BEGIN])
@pytest.mark.parametrize("stride", [32, 16, 5])
def test_the_figures_equal_those_of_a_slow_loop(stride: int, begin: int) -> None:
    model, split = tiny_model(), split_of(*LENGTHS, begin=begin)
    documents = documents_of(*LENGTHS, begin=begin)
    found = evaluate(model, split, eos_id=END, stride=stride)
    expected = slow(model, documents, stride)
    assert found["tokens"] == expected["tokens"] == sum(LENGTHS) + len(LENGTHS)
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert found["accuracy"] == pytest.approx(expected["accuracy"])
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    total = found["loss"] * found["tokens"] / math.log(2)
    assert found["bits_per_byte"] == pytest.approx(total / (3 * sum(LENGTHS)))


def test_no_stride_means_windows_that_do_not_overlap() -> None:
    model, split = tiny_model(), split_of(500)
    assert evaluate(model, split, eos_id=END) == evaluate(model, split, eos_id=END, stride=CONTEXT)
    assert evaluate(model, split, eos_id=END) != evaluate(model, split, eos_id=END, stride=CONTEXT // 2)


def test_many_documents_give_what_each_gives_alone() -> None:
    """More windows than are read at once, so that they come in several batches of several lengths."""
    lengths = np.random.default_rng(3).integers(1, 40, size=400).tolist()
    model, split = tiny_model(), split_of(*lengths)
    found = evaluate(model, split, eos_id=END)
    alone = [
        evaluate(model, TokenizedSplit(np.array(each, dtype=np.uint16), 1, 1), eos_id=END)
        for each in documents_of(*lengths)
    ]
    assert found["tokens"] == sum(each["tokens"] for each in alone) == sum(lengths) + 400
    total = sum(each["loss"] * each["tokens"] for each in alone)
    assert found["loss"] == pytest.approx(total / found["tokens"], rel=1e-5)


def test_a_part_can_be_read() -> None:
    model, split = tiny_model(), split_of(60, 10, 500)
    found = evaluate(model, split, eos_id=END, max_tokens=100)
    documents = documents_of(60, 10, 500)
    documents[2] = documents[2][: 100 - 61 - 11 + 1]
    assert found["tokens"] == 100
    assert found["loss"] == pytest.approx(slow(model, documents, CONTEXT)["loss"], rel=1e-5)
    share = 100 / (570 + 3)
    assert found["bits_per_byte"] == pytest.approx(
        found["loss"] * 100 / math.log(2) / (share * split.text_bytes)
    )


def test_a_large_vocabulary_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, split = tiny_model(), split_of(*LENGTHS)
    whole = evaluate(model, split, eos_id=END)
    monkeypatch.setattr("training.gpt.evaluation._MAX_LOGITS", 23 * 7)
    monkeypatch.setattr("training.gpt.evaluation._BATCH_TOKENS", 64)
    monkeypatch.setattr("training.gpt.evaluation._SORTED_WINDOWS", 3)
    monkeypatch.setattr("training.gpt.evaluation._SCAN_TOKENS", 10)
    assert evaluate(model, split, eos_id=END) == pytest.approx(whole, rel=1e-5)


def test_dropout_is_off_while_reading_and_back_on_after() -> None:
    model = tiny_model(dropout=0.5).train()
    assert evaluate(model, split_of(50), eos_id=END) == evaluate(model, split_of(50), eos_id=END)
    assert model.training


def test_reading_can_be_stopped() -> None:
    model, split = tiny_model(), split_of(*[400] * 100)
    asked = iter([False, False, True])
    found = evaluate(model, split, eos_id=END, should_stop=lambda: next(asked))
    assert 0 < found["tokens"] < 40_000


def test_an_empty_split_is_refused() -> None:
    empty = TokenizedSplit(tokens=np.array([END], dtype=np.uint16), documents=0, text_bytes=0)
    with pytest.raises(InputError, match="the split to evaluate on is empty"):
        evaluate(tiny_model(), empty, eos_id=END)


def test_a_stride_beyond_the_context_is_refused() -> None:
    with pytest.raises(InputError, match="stride: 33 is more than the model's context of 32"):
        evaluate(tiny_model(), split_of(50), eos_id=END, stride=33)
