import copy
import itertools
from collections.abc import Sequence

import pytest
import torch

from tests.rlhf.tiny import ignore, tiny_policy
from training.gpt.errors import InputError
from training.rlhf.config import FinetuneConfig
from training.rlhf.policy_gradient import FinetuneResult, _Tuning, finetune
from training.rlhf.scorers import Scorer

PROMPTS = ["", "a", "bcd", "hgfe"]


def share_of_a(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
    return [4 * completion.count("a") / max(1, len(completion)) for completion in completions]


def config(**changes: object) -> FinetuneConfig:
    base: dict[str, object] = {
        "steps": 30,
        "prompts_per_step": 8,
        "max_new_tokens": 8,
        "learning_rate": 1e-2,
        "evaluate_every": 5,
        "missing_eos_penalty": 0.0,
    }
    return FinetuneConfig(**(base | changes))  # type: ignore[arg-type]


def tune(scorer: Scorer = share_of_a, **changes: object) -> FinetuneResult:
    policy, tokenizer = tiny_policy()
    return finetune(
        policy=policy,
        tokenizer=tokenizer,
        scorer=scorer,
        prompts=PROMPTS,
        heldout_prompts=["c", "dd", "e", "fg"] * 8,
        config=config(**changes),
        on_step=ignore,
    )


def tuning(**changes: object) -> _Tuning:
    policy, tokenizer = tiny_policy()
    return _Tuning(policy, tokenizer, share_of_a, PROMPTS, ["c"], config(**changes))


@pytest.mark.parametrize("estimator", ["rloo", "reinforce"])
def test_it_raises_the_reward_on_held_out_prompts_inside_the_budget(estimator: str) -> None:
    result = tune(estimator=estimator, kl_budget=12.0)
    assert result.after.reward > result.before.reward + 0.5
    assert 0 < result.after.kl <= 12.0
    assert result.best_step > 0
    assert (result.stopped, result.steps) == ("steps", 30)
    assert result.before.kl == pytest.approx(0.0, abs=1e-3)


def test_the_kl_of_an_untouched_policy_is_zero_and_of_a_tuned_one_is_not() -> None:
    state = tuning()
    first = state.step(0.0)
    assert first["kl"] == pytest.approx(0.0, abs=1e-4)
    assert first["logprob_error"] < 1e-4
    for _ in range(5):
        last = state.step(0.0)
    assert last["kl"] > 0.05


def test_the_reference_never_moves() -> None:
    state = tuning()
    before = copy.deepcopy(state.reference.state_dict())
    for _ in range(3):
        state.step(0.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.reference.state_dict().items())
    assert not torch.equal(state.policy.head.weight, before["head.weight"])


def test_dropout_stays_off_even_if_the_policy_comes_in_training_mode() -> None:
    policy, tokenizer = tiny_policy()
    policy.train()
    for module in policy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    state = _Tuning(policy, tokenizer, share_of_a, PROMPTS, ["c"], config())
    assert state.step(0.0)["logprob_error"] < 1e-4


def test_the_best_version_inside_the_budget_is_kept_and_rolled_back_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Reward and KL as told: the best reward breaks the budget, the second best comes before the end.
    told = {0: (0.0, 0.0), 2: (1.0, 1.0), 4: (2.0, 2.0), 6: (9.0, 50.0), 8: (1.5, 2.0)}
    weights = {}
    measure = _Tuning.evaluate

    def evaluate(self: _Tuning, step: int) -> object:
        weights[step] = copy.deepcopy(self.policy.state_dict())
        found = measure(self, step)
        reward, kl = told[step]
        return type(found)(step=step, reward=reward, kl=kl, completions=found.completions)

    monkeypatch.setattr(_Tuning, "evaluate", evaluate)
    result = tune(steps=8, evaluate_every=2, kl_budget=10.0)
    assert (result.best_step, result.after.reward, result.metrics["kl"]) == (4, 2.0, 2.0)
    assert all(torch.equal(tensor, weights[4][name]) for name, tensor in result.policy.state_dict().items())
    assert not torch.equal(weights[4]["head.weight"], weights[8]["head.weight"])


def test_without_a_better_version_the_reference_comes_back_and_a_note_says_so() -> None:
    policy, _ = tiny_policy()
    result = tune(scorer=lambda prompts, completions: [0.0] * len(completions), steps=4)
    assert result.best_step == 0
    assert all(
        torch.equal(a, b)
        for a, b in zip(policy.state_dict().values(), result.policy.state_dict().values(), strict=True)
    )
    assert any("No version inside the KL budget" in note for note in result.notes)
    assert any("all samples scored the same" in note for note in result.notes)


def test_a_completion_without_an_end_pays_the_penalty() -> None:
    state = tuning(max_new_tokens=1, missing_eos_penalty=2.5)
    metrics = state.step(0.0)
    assert metrics["completions/clipped_ratio"] > 0
    expected = metrics["score"] - 2.5 * metrics["completions/clipped_ratio"]
    assert metrics["reward"] == pytest.approx(expected, abs=1e-4)  # KL is still 0


def test_the_metrics_have_the_names_of_the_field() -> None:
    metrics = tuning().step(0.5)
    assert {
        "kl",
        "reward",
        "reward_std",
        "frac_reward_zero_std",
        "entropy",
        "completions/mean_length",
        "completions/clipped_ratio",
        "num_tokens",
        "step_time",
        "kl_coefficient",
    } <= metrics.keys()
    assert metrics["learning_rate"] == pytest.approx(5e-3)
    assert metrics["entropy"] > 1.0  # near log 11, the vocabulary's size


def test_it_stops_when_told_and_when_the_minutes_are_over() -> None:
    policy, tokenizer = tiny_policy()
    count = itertools.count()
    result = finetune(
        policy=policy,
        tokenizer=tokenizer,
        scorer=share_of_a,
        prompts=PROMPTS,
        heldout_prompts=["c"],
        config=config(),
        on_step=ignore,
        should_stop=lambda: next(count) >= 2,
    )
    assert (result.stopped, result.steps) == ("cancelled", 2)
    assert tune(minutes=1e-6).stopped == "minutes"


def test_the_same_seed_gives_the_same_policy() -> None:
    first, second = tune(steps=3), tune(steps=3)
    assert first.after == second.after
    assert tune(steps=3, seed=1).after != first.after


@pytest.mark.parametrize("missing", ["prompts", "heldout_prompts"])
def test_no_prompts_are_refused_by_name(missing: str) -> None:
    policy, tokenizer = tiny_policy()
    given: dict[str, list[str]] = {"prompts": ["a"], "heldout_prompts": ["b"]} | {missing: []}
    with pytest.raises(InputError, match=f"^{missing}: there is none"):
        finetune(
            policy=policy,
            tokenizer=tokenizer,
            scorer=share_of_a,
            prompts=given["prompts"],
            heldout_prompts=given["heldout_prompts"],
            config=config(),
            on_step=ignore,
        )
