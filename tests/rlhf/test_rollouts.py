"""Rollouts and their log-probabilities against a slow loop over each text alone."""

import pytest
import torch
from torch import Tensor

from tests.rlhf.tiny_policy import tiny_policy
from training.gpt.config import SamplingConfig
from training.gpt.model import GPT
from training.rlhf.tuning.rollouts import (
    Rollouts,
    completion_mask,
    completion_states,
    sample,
    sequence_logprobs,
)

PROMPTS = ["", "a", "bcd", "hgfe"]


def written(*, temperature: float = 1.0, samples: int = 3) -> tuple[GPT, Rollouts]:
    policy, tokenizer = tiny_policy()
    sampling = SamplingConfig(temperature=temperature, max_new_tokens=8)
    generator = torch.Generator().manual_seed(0)
    return policy, sample(policy, tokenizer, PROMPTS, sampling, samples=samples, generator=generator)


def slowly(model: GPT, prompt: list[int], new: list[int], *, temperature: float) -> Tensor:
    """Log-probabilities of one completion, from a pass over its text alone. [tokens]"""
    logits = model(torch.tensor([prompt + new]))[0, len(prompt) - 1 : -1] / temperature
    chosen: Tensor = logits.log_softmax(-1).gather(1, torch.tensor(new)[:, None])[:, 0]
    return chosen


def test_the_completions_of_a_prompt_stand_together() -> None:
    _, rollouts = written(samples=2)
    assert rollouts.texts[0] == ["", "", "a", "a", "bcd", "bcd", "hgfe", "hgfe"]
    assert [len(prompt) for prompt in rollouts.prompts] == [1, 1, 2, 2, 4, 4, 5, 5]
    assert len({*rollouts.texts[1]}) > 4
    lengths = rollouts.generation.mask.sum(dim=1).tolist()
    assert [len(new) for new in rollouts.completions] == lengths
    assert torch.equal(completion_mask(rollouts.completions), rollouts.generation.mask)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_read_again_the_samples_have_the_log_probabilities_they_were_sampled_with(temperature: float) -> None:
    # So the ratio of the first update is 1, with prompts of every length in one batch.
    policy, rollouts = written(temperature=temperature)
    again = sequence_logprobs(policy, rollouts.prompts, rollouts.completions, temperature=temperature)
    ratio = (again - rollouts.generation.logprobs).exp()
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=2e-5, rtol=0)


def test_log_probabilities_equal_a_slow_loop_over_each_text_alone() -> None:
    policy, rollouts = written()
    found = sequence_logprobs(policy, rollouts.prompts, rollouts.completions, temperature=0.5)
    for row, (prompt, new) in enumerate(zip(rollouts.prompts, rollouts.completions, strict=True)):
        torch.testing.assert_close(found[row, : len(new)], slowly(policy, prompt, new, temperature=0.5))
        assert found[row, len(new) :].eq(0).all()


def test_gradients_equal_those_of_the_slow_loop() -> None:
    policy, rollouts = written()
    weights = torch.randn(len(rollouts.prompts), generator=torch.Generator().manual_seed(1))
    fast = sequence_logprobs(policy, rollouts.prompts, rollouts.completions, temperature=0.5).sum(dim=1)
    slow = torch.stack(
        [
            slowly(policy, prompt, new, temperature=0.5).sum()
            for prompt, new in zip(rollouts.prompts, rollouts.completions, strict=True)
        ]
    )
    parameters = list(policy.parameters())
    found = torch.autograd.grad((weights * fast).sum(), parameters)
    expected = torch.autograd.grad((weights * slow).sum(), parameters)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_states_of_a_completion_are_those_its_tokens_were_chosen_from() -> None:
    policy, rollouts = written()
    states = completion_states(policy, rollouts.prompts, rollouts.completions)
    logits = policy.logits(states)
    chosen = logits.log_softmax(-1).gather(2, rollouts.generation.tokens[..., None])[..., 0]
    mask = rollouts.generation.mask
    torch.testing.assert_close(chosen[mask], rollouts.generation.logprobs[mask])
    assert states[~mask].eq(0).all()
