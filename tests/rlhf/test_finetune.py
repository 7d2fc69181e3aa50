import copy
import itertools

import pytest
import torch

from tests.rlhf.tiny_finetune import FP32, HELDOUT, PROMPTS, configs, share_of_a, stage, tune
from tests.rlhf.tiny_policy import tiny_policy
from training.gpt.errors import InputError
from training.gpt.random_seeds import shuffled_index
from training.gpt.training_loop import Callbacks
from training.rlhf.reward.reward_model import RewardModel
from training.rlhf.tuning.early_stopping import Evaluation
from training.rlhf.tuning.heldout_evaluation import HeldoutEvaluator
from training.rlhf.tuning.learner import default_learning_rate
from training.rlhf.tuning.policy_gradient import PolicyGradientTrainer, finetune
from training.rlhf.tuning.value_network import ValueNetwork


@pytest.mark.parametrize(
    ("estimator", "kl_in"),
    [("rloo", "reward"), ("reinforce", "reward"), ("grpo", "loss"), ("ppo", "reward"), ("ppo", "loss")],
)
def test_it_raises_the_reward_on_held_out_prompts_inside_the_budget(estimator: str, kl_in: str) -> None:
    rate = 3e-3 if estimator == "ppo" else 1e-2  # four updates a step
    result = tune(estimator=estimator, kl_in=kl_in, kl_budget=12.0, learning_rate=rate, steps=20)
    assert result.after.reward > result.before.reward + 0.5
    assert 0 < result.after.kl <= 12.0
    assert result.best_step > 0
    assert (result.stop_reason, result.steps) == ("steps", 20)
    assert result.before.kl == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_read_again_the_samples_have_the_log_probabilities_they_were_sampled_with(temperature: float) -> None:
    # So the ratio of the first update is 1, with prompts of every length in one batch.
    state = stage(temperature=temperature)
    rollouts = state.sample_rollouts(0)
    ratio = (state.policy.predict(rollouts) - rollouts.generation.logprobs).exp()
    torch.testing.assert_close(ratio, torch.ones_like(ratio), atol=2e-5, rtol=0)


def test_a_batch_in_pieces_is_learned_as_one() -> None:
    # The pieces are sampled apart, so both read the same rollouts here.
    whole, pieces = stage(accumulate=1), stage(accumulate=4)
    rollouts = pieces.sample_rollouts(0)
    advantages = torch.randn(rollouts.generation.mask.shape, generator=torch.Generator().manual_seed(0))
    found_metrics, norms = [], []
    for state in (whole, pieces):
        loss = state.policy_loss(
            sampled=None, reference_logprobs=None, advantages=advantages, mask=rollouts.generation.mask
        )
        found, norm = state.policy.update(rollouts, loss, lr_factor=1.0)
        found_metrics.append(found)
        norms.append(norm)
    torch.testing.assert_close(found_metrics[0], found_metrics[1])
    torch.testing.assert_close(norms[0], norms[1])
    for one, other in zip(whole.policy.module.parameters(), pieces.policy.module.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_the_kl_of_an_untouched_policy_is_zero_and_of_a_tuned_one_is_not() -> None:
    state = stage()
    first = state.step(0, 0.0)
    assert first["kl"] == pytest.approx(0.0, abs=1e-4)
    assert first["logprob_error"] < 1e-4
    for number in range(1, 6):
        last = state.step(number, 0.0)
    assert last["kl"] > 0.05


def test_the_reference_never_moves() -> None:
    state = stage()
    before = copy.deepcopy(state.reference.state_dict())
    for number in range(3):
        state.step(number, 0.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.reference.state_dict().items())
    assert not torch.equal(state.policy.model.head.weight, before["model.head.weight"])


def test_dropout_stays_off_even_if_the_policy_comes_in_training_mode() -> None:
    policy, tokenizer = tiny_policy()
    policy.train()
    for module in policy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    config, early_stopping = configs()
    state = PolicyGradientTrainer(
        policy,
        tokenizer=tokenizer,
        scorer=share_of_a,
        prompts=PROMPTS,
        heldout_prompts=["c"],
        config=config,
        early_stopping=early_stopping,
    )
    assert state.step(0, 0.0)["logprob_error"] < 1e-4


def test_the_best_version_inside_the_budget_is_kept_and_rolled_back_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Reward and KL as given: the best reward breaks the budget, the second best comes before the end.
    measured = {0: (0.0, 0.0), 2: (1.0, 1.0), 4: (2.0, 2.0), 6: (9.0, 50.0), 8: (1.5, 2.0)}
    weights = {}
    measure = HeldoutEvaluator.evaluate

    def evaluate(self: HeldoutEvaluator, policy: torch.nn.Module, **given: object) -> Evaluation:
        step = given["step"]
        assert isinstance(step, int)
        weights[step] = copy.deepcopy(policy.state_dict())
        found = measure(self, policy, **given)  # type: ignore[arg-type]
        assert found is not None
        reward, kl = measured[step]
        count = len(found.completions)
        each = {**found.per_prompt, "reward": [reward] * count, "kl": [kl] * count}
        return Evaluation(step=step, per_prompt=each, completions=found.completions)

    monkeypatch.setattr(HeldoutEvaluator, "evaluate", evaluate)
    result = tune(steps=8, evaluate_every=2, kl_budget=10.0, stop_window=0)
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
    assert any("No checkpoint inside the KL budget" in note for note in result.notes)


def test_a_completion_without_an_end_pays_the_penalty() -> None:
    metrics = stage(max_new_tokens=1, missing_eos_penalty=2.5).step(0, 0.0)
    assert metrics["completions/clipped_ratio"] > 0
    expected = metrics["score"] - 2.5 * metrics["completions/clipped_ratio"]
    assert metrics["reward"] == pytest.approx(expected, abs=1e-4)  # KL is still 0


def test_the_end_of_text_is_learned_and_nothing_after_it() -> None:
    state = stage()
    rollouts = state.sample_rollouts(0)
    mask, tokens = rollouts.generation.mask, rollouts.generation.tokens
    ended = rollouts.generation.ended
    assert ended.any()
    assert not ended.all()
    for row in ended.nonzero()[:, 0].tolist():
        length = int(mask[row].sum())
        assert tokens[row, length - 1] in state.tokenizer.eos_ids
        assert not any(token in state.tokenizer.eos_ids for token in tokens[row, : length - 1].tolist())


def test_a_kl_in_the_loss_is_not_in_the_reward() -> None:
    state = stage(kl_in="loss", kl_coefficient=100.0, kl_horizon=0.0)
    for number in range(4):
        metrics = state.step(number, 0.0)
    assert metrics["kl"] > 0.01
    assert metrics["reward"] == pytest.approx(metrics["score"], abs=1e-5)


def test_the_coefficient_adapts_only_if_it_has_a_horizon() -> None:
    adaptive, fixed = stage(kl_horizon=100.0), stage(kl_horizon=0.0)
    for number in range(2):
        assert fixed.step(number, 0.0)["kl_coefficient"] == 0.15
        adapted = adaptive.step(number, 0.0)["kl_coefficient"]
    assert adapted < 0.15 * (1 - 0.2 * 0.32) * 1.001  # KL 0 is far below the target, for 32 of 100 episodes


def test_the_metrics_have_the_names_of_the_field() -> None:
    metrics = stage(estimator="ppo").step(0, 0.5)
    assert {
        "kl",
        "kl_std",
        "reward",
        "reward_std",
        "frac_reward_zero_std",
        "group/best",
        "group/distinct",
        "entropy",
        "sequence_entropy",
        "completions/mean_length",
        "completions/clipped_ratio",
        "num_tokens",
        "step_time",
        "kl_coefficient",
        "clipped_tokens",
        "value/loss",
        "value/explained_variance",
    } <= metrics.keys()
    assert metrics["learning_rate"] == pytest.approx(5e-3)
    assert metrics["entropy"] > 1.0  # near log 11, the vocabulary's size
    length = metrics["completions/mean_length"]
    assert metrics["sequence_entropy"] == pytest.approx(metrics["entropy"] * length)


def test_left_at_0_the_learning_rate_falls_with_the_square_of_the_width() -> None:
    policy, _ = tiny_policy()  # 32 wide
    assert default_learning_rate(policy, updates=1) == pytest.approx(1e-3 * 16)
    assert stage(learning_rate=0.0).policy.learning_rate == default_learning_rate(policy, updates=1)
    assert stage(learning_rate=0.0, estimator="ppo").policy.learning_rate == default_learning_rate(
        policy, updates=4
    )


def test_the_value_network_begins_from_the_reward_model_and_with_values_of_zero() -> None:
    policy, tokenizer = tiny_policy()
    reward = RewardModel.from_policy(policy, tokenizer, seed=0)
    with torch.no_grad():
        reward.trunk.embedding.weight.add_(0.1)
    state = stage(scorer=reward, estimator="ppo")
    assert state.value is not None
    network = state.value.module
    assert isinstance(network, ValueNetwork)
    torch.testing.assert_close(network.trunk.embedding.weight, reward.trunk.embedding.weight)
    assert state.value.predict(state.sample_rollouts(0)).eq(0).all()
    before = reward.trunk.embedding.weight.clone()
    state.step(0, 0.0)
    torch.testing.assert_close(reward.trunk.embedding.weight, before)  # a network of its own
    assert not torch.equal(network.trunk.embedding.weight, before)


def test_the_value_network_learns_what_texts_will_bring() -> None:
    # Of a policy that hardly moves, or they would first learn that everything gets better.
    state = stage(estimator="ppo", learning_rate=1e-6, value_learning_rate=1e-3)
    explained = [state.step(number, 0.0)["value/explained_variance"] for number in range(15)]
    assert explained[0] == pytest.approx(0.0, abs=1e-6)
    assert max(explained[10:]) > 0.1


def test_every_prompt_comes_once_before_any_comes_again() -> None:
    order = [shuffled_index(index, count=7, seed=3) for index in range(21)]
    rounds = [order[first : first + 7] for first in (0, 7, 14)]
    assert all(sorted(each) == list(range(7)) for each in rounds)
    assert rounds[0] != rounds[1]
    assert order != [shuffled_index(index, count=7, seed=4) for index in range(21)]


def test_it_stops_when_told_and_when_the_minutes_are_over() -> None:
    count = itertools.count()
    result = tune(callbacks=Callbacks(should_stop=lambda: next(count) >= 6))
    assert result.stop_reason == "cancelled"
    assert 0 < result.steps < 6
    assert tune(minutes=1e-6).stop_reason == "minutes"


def test_the_same_seed_gives_the_same_policy() -> None:
    first, second = tune(steps=3), tune(steps=3)
    assert first.after == second.after
    assert tune(steps=3, seed=1).after != first.after


@pytest.mark.parametrize("missing", ["prompts", "heldout_prompts"])
def test_no_prompts_are_refused_by_name(missing: str) -> None:
    policy, tokenizer = tiny_policy()
    given: dict[str, list[str]] = {"prompts": PROMPTS, "heldout_prompts": HELDOUT} | {missing: []}
    config, early_stopping = configs()
    with pytest.raises(InputError, match=f"^{missing}: there is none"):
        finetune(
            policy=policy,
            tokenizer=tokenizer,
            scorer=share_of_a,
            prompts=given["prompts"],
            heldout_prompts=given["heldout_prompts"],
            config=config,
            early_stopping=early_stopping,
            hardware=FP32,
        )
