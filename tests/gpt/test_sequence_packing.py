"""Packed texts say what each text says alone, with and without beginnings in common."""

import pytest
import torch
from torch import Tensor

from training.gpt.config import ModelConfig
from training.gpt.model import GPT
from training.gpt.sequence_packing import pack_sequences

ROWS = [
    [5, 1, 2, 3, 4, 6],  # shares three tokens with the next
    [5, 1, 2, 7],
    [3],
    [5, 1, 2, 7],  # the same again
    [5, 1, 2, 7, 7, 7, 2, 1],  # goes on from it
    [9, 8],
]
FIRST = [2, 0, 0, 3, 5, 1]


def model(**changes: object) -> GPT:
    torch.manual_seed(0)
    shape: dict[str, object] = {"vocab_size": 11, "context": 8, "layers": 3, "heads": 4, "width": 32}
    return GPT(ModelConfig(**(shape | changes))).eval()  # type: ignore[arg-type]


def alone(gpt: GPT) -> Tensor:
    """A pass over each text by itself."""
    return torch.cat(
        [gpt.hidden(torch.tensor([row]))[0, first:] for row, first in zip(ROWS, FIRST, strict=True)]
    )


@pytest.mark.parametrize(
    "changes", [{}, {"positions": "learned"}, {"kv_heads": 2, "norm": "rms"}, {"layers": 1}]
)
def test_states_and_gradients_equal_those_of_each_text_alone(changes: dict[str, object]) -> None:
    gpt = model(**changes)
    packed, slow = gpt.packed_hidden(ROWS, first=FIRST), alone(gpt)
    torch.testing.assert_close(packed, slow)
    weights = torch.randn(slow.shape)
    parameters = [weight for name, weight in gpt.named_parameters() if name != "head.weight"]
    found = torch.autograd.grad((packed * weights).sum(), parameters, allow_unused=True)
    expected = torch.autograd.grad((slow * weights).sum(), parameters, allow_unused=True)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_every_beginning_is_read_once() -> None:
    packing = pack_sequences(ROWS, FIRST, device=torch.device("cpu"))
    document_openings = {tuple(row[: place + 1]) for row in ROWS for place in range(len(row))}
    assert packing.tokens.shape == (1, len(document_openings))
    assert packing.positions.tolist().count(0) == 3  # texts begin with 5, 3 or 9


def test_a_text_beyond_the_context_is_refused() -> None:
    with pytest.raises(ValueError, match="9 tokens do not fit a context of 8"):
        model().packed_hidden([[1] * 9], first=[0])
