import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.gpt.tiny_models import tiny_model
from training.gpt.config import SamplingConfig
from training.gpt.generation.generate import generate
from training.gpt.generation.sampling import (
    apply_repetition_penalty,
    sample_from_weights,
    sample_next_tokens,
    truncate_distribution,
)

DRAWS = 100_000
LOGITS = torch.tensor([2.0, 1.5, 1.5, 0.0, -1.0, -2.0, 0.5, -30.0])
SEEN = torch.tensor([True, False, True, False, True, False, False, False])

OPTIONS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.0},
    {"top_k": 3},
    {"top_p": 0.8},
    {"min_p": 0.2},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7},
    {"top_k": 5, "top_p": 0.9},
    {"top_k": 5, "min_p": 0.4},
    {"top_p": 0.9, "min_p": 0.15},
    {"temperature": 1.7, "top_k": 6, "top_p": 0.95, "min_p": 0.1, "repetition_penalty": 1.2},
]
options = pytest.mark.parametrize("options", OPTIONS, ids=str)


def exact(
    logits: torch.Tensor,
    seen: list[bool],
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
) -> list[float]:
    """The distribution by slow loops in plain Python: what the options leave, in their documented order."""
    values = logits.tolist()
    for token, was_seen in enumerate(seen):
        if was_seen:
            bent = (
                values[token] / repetition_penalty
                if values[token] > 0
                else values[token] * repetition_penalty
            )
            values[token] = bent
    weights = (torch.tensor(values, dtype=torch.float64) / temperature).softmax(-1).tolist()
    order = sorted(range(len(weights)), key=lambda token: -weights[token])
    if top_k:
        weights = [w if token in order[:top_k] else 0.0 for token, w in enumerate(weights)]
        weights = [w / sum(weights) for w in weights]
    held = 0.0
    for token in order:
        if held >= top_p:
            weights[token] = 0.0
        else:
            held += weights[token]
    weights = [w if w >= min_p * max(weights) else 0.0 for w in weights]
    return [w / sum(weights) for w in weights]


def p_value(counts: list[int], expected: list[float]) -> float:
    """How probable counts as far from ``expected`` or farther are, by Pearson's chi-square test."""
    assert all(count == 0 for count, share in zip(counts, expected, strict=True) if share == 0)
    draws = sum(counts)
    cells = [
        (count, draws * share) for count, share in zip(counts, expected, strict=True) if draws * share > 5
    ]
    statistic = sum((count - share) ** 2 / share for count, share in cells)
    freedom = torch.tensor((len(cells) - 1) / 2)
    return float(torch.special.gammaincc(freedom, torch.tensor(statistic / 2))) if len(cells) > 1 else 1.0


@options
def test_draws_follow_the_exact_distribution(options: dict[str, Any]) -> None:
    sampling = SamplingConfig(**options)
    generator = torch.Generator().manual_seed(3)
    penalised = "repetition_penalty" in options
    seen = SEEN.repeat(DRAWS, 1) if penalised else None
    tokens, logprobs = sample_next_tokens(LOGITS.repeat(DRAWS, 1), sampling, generator, seen=seen)
    counts = tokens.bincount(minlength=len(LOGITS)).tolist()
    assert p_value(counts, exact(LOGITS, SEEN.tolist(), **options)) > 0.01
    whole = (LOGITS / sampling.temperature).log_softmax(-1)
    torch.testing.assert_close(logprobs, whole[tokens])


@options
def test_another_distribution_would_be_noticed(options: dict[str, Any]) -> None:
    """The test has power: counts of one set of options fail against the distribution of every other."""
    generator = torch.Generator().manual_seed(4)
    tokens, _ = sample_next_tokens(
        LOGITS.repeat(DRAWS, 1), SamplingConfig(**options), generator, seen=SEEN.repeat(DRAWS, 1)
    )
    counts = tokens.bincount(minlength=len(LOGITS)).tolist()
    own = exact(LOGITS, SEEN.tolist(), **options)
    for others in OPTIONS:
        other = exact(LOGITS, SEEN.tolist(), **others)
        impossible = any(count for count, share in zip(counts, other, strict=True) if share == 0)
        if max(abs(a - b) for a, b in zip(own, other, strict=True)) > 0.01 and not impossible:
            assert p_value(counts, other) < 1e-6


@options
def test_the_engine_draws_each_token_from_its_exact_distribution(options: dict[str, Any]) -> None:
    """Two tokens after a left-padded prompt, through the public interface: 8 x 8 outcomes are enumerated."""
    model = tiny_model(vocab_size=8)
    end, pad = 0, 1
    prompt, longer = [end, 4, 6], [end, 5, 6, 7, 2]
    sampling = SamplingConfig(**options, max_new_tokens=2, seed=11)
    draws = 20_000
    written = generate(model, [prompt, longer], sampling, eos_id=end, pad_id=pad, samples_per_prompt=draws)
    joint = torch.zeros(8, 8, dtype=torch.float64)
    with torch.inference_mode():
        first = exact(model(torch.tensor([prompt]))[0, -1], held(prompt), **options)
        for token, share in enumerate(first):
            if token == end:
                joint[end, pad] = share
                continue
            text = [*prompt, token]
            second = exact(model(torch.tensor([text]))[0, -1], held(text), **options)
            joint[token] = share * torch.tensor(second, dtype=torch.float64)
    pairs = written.tokens[:draws]
    counts = (pairs[:, 0] * 8 + pairs[:, 1]).bincount(minlength=64)
    assert p_value(counts.tolist(), joint.flatten().tolist()) > 0.01


def held(text: list[int]) -> list[bool]:
    """Which of eight tokens a text holds, but for the one that begins it."""
    return [token in text[1:] for token in range(8)]


@options
@pytest.mark.parametrize("vocabulary", [40, 1000])
def test_the_distribution_is_that_of_transformers(options: dict[str, Any], vocabulary: int) -> None:
    from transformers.generation import logits_process as theirs

    sampling = SamplingConfig(**options)
    generator = torch.Generator().manual_seed(8)
    # From nearly uniform rows to ones with a single likely token.
    logits = torch.randn(50, vocabulary, generator=generator) * torch.linspace(0.1, 5, 50)[:, None]
    text = torch.randint(vocabulary, (50, 12), generator=generator)
    scores = logits
    for processor in [
        theirs.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty),
        theirs.TemperatureLogitsWarper(sampling.temperature),
        theirs.TopKLogitsWarper(sampling.top_k or vocabulary),
        theirs.TopPLogitsWarper(sampling.top_p),
        theirs.MinPLogitsWarper(sampling.min_p),
    ]:
        scores = processor(text, scores)
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, text, True)
    ours = apply_repetition_penalty(logits, seen, sampling.repetition_penalty) / sampling.temperature
    weights, ids = truncate_distribution(
        ours, top_k=sampling.top_k, top_p=sampling.top_p, min_p=sampling.min_p
    )
    if ids is not None:
        weights = torch.zeros_like(logits).scatter(1, ids, weights)
    # Where a nucleus ends, rounding may decide otherwise than there.
    differs = (weights / weights.sum(-1, keepdim=True) - scores.softmax(-1)).abs().amax(-1) > 1e-5
    assert differs.float().mean() <= 0.02


@pytest.mark.parametrize("size", [1, 200, 300, 2500, 9000])
def test_a_nucleus_of_any_size_is_found(size: int) -> None:
    """Equal weights before a long tail: how many hold the share can be counted."""
    logits = torch.full((3, 9000), -12.0)
    logits[0, :size] = logits[1, 9000 - size :] = 0
    weights, ids = truncate_distribution(logits, top_k=0, top_p=0.5, min_p=0.0)
    assert ids is not None
    weights = torch.zeros(3, 9000).scatter(1, ids, weights)
    total = size + (9000 - size) * math.exp(-12)
    expected = math.ceil(total / 2)
    assert (weights > 0).sum(-1).tolist() == pytest.approx([expected, expected, 4500], abs=1)
    assert weights[0, size:].sum() == weights[1, : 9000 - size].sum() == 0


def test_temperature_zero_takes_the_likeliest() -> None:
    tokens, logprobs = sample_next_tokens(LOGITS.repeat(3, 1), SamplingConfig(temperature=0), None)
    assert tokens.tolist() == [0, 0, 0]
    torch.testing.assert_close(logprobs, LOGITS.log_softmax(-1)[0].expand(3))


def test_a_repetition_penalty_turns_the_likeliest_away_too() -> None:
    sampling = SamplingConfig(temperature=0, repetition_penalty=1.5)
    tokens, logprobs = sample_next_tokens(LOGITS[None], sampling, None, seen=SEEN[None])
    assert tokens.tolist() == [1]
    torch.testing.assert_close(logprobs, LOGITS.log_softmax(-1)[1:2])


def test_top_k_keeps_exactly_k_even_among_equals() -> None:
    weights, ids = truncate_distribution(torch.zeros(4, 9), top_k=3, top_p=1.0, min_p=0.0)
    assert ids is not None
    assert (weights > 0).sum(dim=1).tolist() == [3, 3, 3, 3]
    assert all(len(set(row)) == 3 for row in ids.tolist())


@pytest.mark.parametrize(
    "options", [{"top_p": 1e-6}, {"min_p": 1.0}, {"top_p": 1e-6, "min_p": 1.0, "top_k": 5}]
)
def test_the_likeliest_always_stays(options: dict[str, Any]) -> None:
    tokens, _ = sample_next_tokens(
        LOGITS.repeat(100, 1), SamplingConfig(**options), torch.Generator().manual_seed(0)
    )
    assert set(tokens.tolist()) == {0}


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
    assert sample_from_weights(weights, None).tolist() == [expected]
