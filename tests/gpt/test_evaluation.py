import math

import numpy as np
import pytest
import torch

from tests.gpt.examples import tiny_model
from training.gpt.corpus import TokenizedSplit
from training.gpt.errors import InputError
from training.gpt.evaluation import evaluate
from training.gpt.model import GPT


def split_of(count: int) -> TokenizedSplit:
    tokens = np.random.default_rng(0).integers(23, size=count).astype(np.uint16)
    return TokenizedSplit(tokens=tokens, documents=1, text_bytes=3 * count)


def slow(model: GPT, tokens: list[int]) -> tuple[float, float]:
    """Mean loss and accuracy, window by window and token by token."""
    losses, right = [], []
    for start in range(0, len(tokens) - 1, 32):
        window = tokens[start : start + 33]
        with torch.inference_mode():
            logprobs = model(torch.tensor([window[:-1]]))[0].log_softmax(-1)
        for place, target in enumerate(window[1:]):
            losses.append(-float(logprobs[place, target]))
            right.append(int(logprobs[place].argmax()) == target)
    return sum(losses) / len(losses), sum(right) / len(right)


@pytest.mark.parametrize("count", [2, 33, 34, 200, 32 * 256 + 1, 32 * 256 + 10])
def test_the_figures_equal_those_of_a_slow_loop(count: int) -> None:
    model, split = tiny_model(), split_of(count)
    found = evaluate(model, split)
    loss, accuracy = slow(model, split.tokens.tolist())
    assert found["tokens"] == count - 1
    assert found["loss"] == pytest.approx(loss, rel=1e-4)
    assert found["accuracy"] == pytest.approx(accuracy)
    assert found["perplexity"] == pytest.approx(math.exp(loss), rel=1e-3)
    assert found["bits_per_byte"] == pytest.approx(loss / math.log(2) * (count - 1) / (3 * count), rel=1e-4)


def test_a_part_can_be_read() -> None:
    model, split = tiny_model(), split_of(500)
    found = evaluate(model, split, max_tokens=100)
    assert found["tokens"] == 100
    assert found["loss"] == pytest.approx(slow(model, split.tokens[:101].tolist())[0], rel=1e-4)


def test_dropout_is_off_while_reading_and_back_on_after() -> None:
    model = tiny_model(dropout=0.5).train()
    assert evaluate(model, split_of(50)) == evaluate(model, split_of(50))
    assert model.training


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(InputError, match="the split to evaluate on is empty"):
        evaluate(tiny_model(), split_of(1))
