"""What goes wrong in practice is refused, or named in a warning that a person understands."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.rlhf.tiny_finetune import share_of_a, stage, tune
from tests.rlhf.tiny_policy import LETTERS, tiny_policy
from training.gpt.config import SamplingConfig, TokenizerConfig
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import SpecialTokens, Tokenizer
from training.rlhf.reward.reward_model import RewardModel
from training.rlhf.tuning import policy_gradient
from training.rlhf.tuning.rollouts import Rollouts, sample

SHORT: dict[str, Any] = {"steps": 3, "evaluate_every": 3}


class StubbornDropout(nn.Module):
    """Dropout that takes no notice of `eval()`, as in a layer that asks for it by hand."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.dropout(x, 0.3, training=True)


def other_sampling(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Rollouts that are sampled otherwise than the loop believes."""

    def bent(
        policy: GPT, tokenizer: Tokenizer, prompts: Sequence[str], sampling: SamplingConfig, **given: Any
    ) -> Rollouts:
        new = {
            "temperature": sampling.temperature,
            "max_new_tokens": sampling.max_new_tokens,
        } | changes
        return sample(policy, tokenizer, prompts, SamplingConfig(**new), **given)

    monkeypatch.setattr(policy_gradient, "sample", bent)


@pytest.mark.parametrize(("sampled", "read"), [(0.7, 1.0), (1.3, 1.0), (1.0, 0.5)])
def test_another_temperature_in_sampling_is_refused_with_both_temperatures(
    monkeypatch: pytest.MonkeyPatch, sampled: float, read: float
) -> None:
    other_sampling(monkeypatch, temperature=sampled)
    message = rf"^temperature: the samples were drawn at {sampled:g}, .* are at {read:g}; .* the same$"
    with pytest.raises(InputError, match=message):
        tune(temperature=read, **SHORT)


def test_dropout_left_on_is_refused_by_name() -> None:
    policy, tokenizer = tiny_policy()
    policy.dropout = StubbornDropout()  # type: ignore[assignment]
    with pytest.raises(
        InputError, match=r"^policy: the log-probabilities of its own samples .* dropout .* turn it off$"
    ):
        tune(model=(policy, tokenizer), **SHORT)


def test_padding_read_as_text_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, tokenizer = tiny_policy()
    hidden = policy.hidden

    def unmasked(tokens: Tensor, *, cache: Any = None, padding: Any = None) -> Tensor:
        return hidden(tokens, cache=cache)

    monkeypatch.setattr(policy, "hidden", unmasked)
    policy.head.weight.data *= 30  # so that a tiny policy has opinions
    with pytest.raises(
        InputError, match=r"^policy: the log-probabilities of its own samples .* padding was read as text$"
    ):
        tune(model=(policy, tokenizer), **SHORT)


def with_pad_as_end() -> tuple[GPT, Tokenizer]:
    policy, tokenizer = tiny_policy()
    special = SpecialTokens(end=tokenizer.special.end, begin=None, pad=tokenizer.eos_id)
    return policy, Tokenizer(tokenizer._backend, special)


def test_a_pad_token_equal_to_the_end_token_is_named_and_changes_nothing() -> None:
    result, usual = tune(model=with_pad_as_end(), **SHORT), tune(**SHORT)
    (note,) = [note for note in result.notes if "pads" in note]
    assert "ends a text" in note
    assert not [note for note in usual.notes if "pads" in note]
    # The end is inside what is learned all the same.
    assert result.after == usual.after
    ours, theirs = result.policy.state_dict(), usual.policy.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("estimator", ["rloo", "reinforce", "grpo", "ppo"])
def test_equal_rewards_everywhere_are_named(estimator: str) -> None:
    result = tune(lambda prompts, completions: [0.5] * len(completions), estimator=estimator, **SHORT)
    (note,) = [note for note in result.notes if "had the same score" in note]
    assert note.startswith("In 100% of the groups all samples had the same score, so nothing was learned")


def reward_of_another_tokenizer() -> RewardModel:
    """Its ids are those of the letters in another order."""
    tokenizer = Tokenizer.train([LETTERS[::-1] + "xyz"] * 2, TokenizerConfig(tokenizer="char", vocab_size=16))
    policy, _ = tiny_policy()
    return RewardModel.from_policy(policy, tokenizer, seed=0)


def test_a_reward_model_of_another_tokenizer_is_named() -> None:
    result = tune(reward_of_another_tokenizer(), **SHORT)
    (note,) = [note for note in result.notes if "another tokenizer" in note]
    assert "accuracy" in note


def test_ppo_refuses_a_reward_model_of_another_tokenizer() -> None:
    with pytest.raises(InputError, match=r"^reward: its tokenizer is not the policy's"):
        tune(reward_of_another_tokenizer(), estimator="ppo", **SHORT)


def test_a_score_that_is_no_number_is_refused_with_its_text() -> None:
    def broken(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
        return [float("nan") if "b" in each else 1.0 for each in completions]

    with pytest.raises(InputError, match=r"^reward: the score of '.*b.*' is nan; "):
        stage(broken).step(0, 0.0)


def test_a_learning_rate_that_breaks_the_policy_ends_the_run_and_is_named() -> None:
    result = tune(share_of_a, learning_rate=1e6, clip=0.0, steps=8, evaluate_every=4)
    assert result.stop_reason == "diverged"
    assert any("learning_rate" in note for note in result.notes)
    assert all(tensor.isfinite().all() for tensor in result.policy.state_dict().values())


def test_a_batch_that_cannot_be_shared_out_is_refused() -> None:
    with pytest.raises(InputError, match=r"^accumulate: 3 does not divide 8 prompts_per_step"):
        stage(accumulate=3)


def test_memory_that_runs_out_is_told_with_the_option_that_saves_it() -> None:
    def greedy(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
        torch.empty(1 << 60)  # what a batch too large would ask for
        return [0.0] * len(completions)

    with pytest.raises(
        InputError, match=r"^accumulate: 32 completions of 8 tokens at once .* raise accumulate"
    ):
        tune(greedy, **SHORT)
