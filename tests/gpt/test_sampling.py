from collections.abc import Callable

import pytest
import torch

from training.gpt.config import SamplingConfig
from training.gpt.sampling import choose, draw, truncate

DRAWS = 100_000
LOGITS = torch.tensor([2.0, 1.5, 1.5, 0.0, -1.0, -2.0, 0.5, -30.0])


def exact(
    logits: torch.Tensor, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> list[float]:
    """The distribution by a slow loop in plain Python: what each option should leave."""
    weights = (logits / temperature).double().softmax(-1).tolist()
    order = sorted(range(len(weights)), key=lambda token: -weights[token])
    if top_k:
        weights = [w if token in order[:top_k] else 0.0 for token, w in enumerate(weights)]
        weights = [w / sum(weights) for w in weights]
    held = 0.0
    for token in order:
        if held >= top_p:
            weights[token] = 0.0
        held += weights[token]
    return [w / sum(weights) for w in weights]


def chi_square(counts: list[int], expected: list[float]) -> float:
    assert all(count == 0 for count, share in zip(counts, expected, strict=True) if share == 0)
    return sum(
        (count - DRAWS * share) ** 2 / (DRAWS * share)
        for count, share in zip(counts, expected, strict=True)
        if share * DRAWS > 5
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 2.0},
        {"top_k": 3},
        {"top_p": 0.8},
        {"top_k": 5, "top_p": 0.9},
    ],
)
def test_draws_follow_the_exact_distribution(options: dict[str, float]) -> None:
    sampling = SamplingConfig(**options)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(3)
    tokens, logprobs = choose(LOGITS.repeat(DRAWS, 1), sampling, generator)
    counts = tokens.bincount(minlength=len(LOGITS)).tolist()
    # 24.3 is the 99.9th percentile of chi-square with 7 degrees of freedom.
    assert chi_square(counts, exact(LOGITS, **options)) < 24.3  # type: ignore[arg-type]
    whole = (LOGITS / sampling.temperature).log_softmax(-1)
    torch.testing.assert_close(logprobs, whole[tokens])


def test_temperature_zero_takes_the_likeliest() -> None:
    tokens, logprobs = choose(LOGITS.repeat(3, 1), SamplingConfig(temperature=0), None)
    assert tokens.tolist() == [0, 0, 0]
    torch.testing.assert_close(logprobs, LOGITS.log_softmax(-1)[0].expand(3))


def test_top_k_keeps_exactly_k_even_among_equals() -> None:
    kept = truncate(torch.zeros(4, 9), top_k=3, top_p=1.0)
    assert (kept > -torch.inf).sum(dim=1).tolist() == [3, 3, 3, 3]


def test_a_tiny_top_p_keeps_the_likeliest() -> None:
    kept = truncate(LOGITS.log_softmax(-1)[None], top_k=0, top_p=1e-6)
    assert (kept > -torch.inf).nonzero().tolist() == [[0, 0]]


def no_noise(size: torch.Size, **kwargs: object) -> torch.Tensor:
    return torch.zeros(size)


def nearly_one(size: torch.Size, **kwargs: object) -> torch.Tensor:
    return torch.full(size, 1 - 2**-24)


@pytest.mark.parametrize(("uniform", "expected"), [(no_noise, 1), (nearly_one, 3)])
def test_the_ends_of_the_unit_interval_never_draw_the_impossible(
    monkeypatch: pytest.MonkeyPatch, uniform: Callable[..., torch.Tensor], expected: int
) -> None:
    monkeypatch.setattr(torch, "rand", uniform)
    weights = torch.tensor([[0.0, 0.25, 0.5, 0.3000001, 0.0, 0.0]])
    assert draw(weights, None).tolist() == [expected]
