import random

import pytest
import torch

from tests.rlhf.letter_feedback import rankings, ratings, taught
from tests.rlhf.tiny_policy import tiny_policy
from training.gpt.errors import InputError
from training.gpt.training_loop import Callbacks
from training.rlhf.config import RewardConfig
from training.rlhf.feedback.preferences import Comparison, Rating, ranking_to_comparisons
from training.rlhf.feedback.rankings import plackett_luce_choices, rebuild_rankings
from training.rlhf.feedback.splits import Feedback
from training.rlhf.reward.batching import FeedbackBatches
from training.rlhf.reward.reward_model import RewardModel
from training.rlhf.reward.trainer import train_reward_model


@pytest.mark.parametrize("prompts", [0, 1])
def test_it_learns_a_taste_it_can_show_on_held_out_prompts(prompts: int) -> None:
    policy, tokenizer = tiny_policy()
    seen = []
    result = train_reward_model(
        trunk=policy,
        tokenizer=tokenizer,
        comparisons=rankings(200, prompts=prompts),
        config=RewardConfig(epochs=4, heldout=0.2, learning_rate=3e-3, patience=0),
        callbacks=Callbacks(on_step=lambda step, progress, metrics: seen.append((step, progress, metrics))),
    )
    assert result.accuracy > 0.9
    assert result.interval[0] < result.accuracy <= result.interval[1] + 1e-9
    assert 0.3 < result.longer_wins < 0.7
    assert result.stop_reason == "steps"
    assert seen[-1][1] == 1.0
    assert seen[-1][2]["loss"] < seen[1][2]["loss"]
    assert seen[-1][2]["learning_rate"] < 0.02 * seen[1][2]["learning_rate"]
    # Without prompts, pairs that share a word with a held-out one are left out of both.
    used = result.metrics["comparisons"]
    assert used == 600 if prompts else 560 < used < 600


def test_a_frozen_trunk_keeps_its_features_and_trains_the_head() -> None:
    policy, tokenizer = tiny_policy()
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    result = train_reward_model(
        trunk=policy,
        tokenizer=tokenizer,
        comparisons=rankings(100),
        config=RewardConfig(trunk="frozen", epochs=5),
    )
    fresh = RewardModel.from_policy(policy, tokenizer, seed=0).eval()
    rows = fresh.encode([""] * 3, ["abc", "h", "aaaa"])
    assert isinstance(result.model, RewardModel)
    torch.testing.assert_close(result.model.final_states(rows), fresh.final_states(rows), rtol=0, atol=0)
    assert not torch.equal(result.model.head.weight, fresh.head.weight)
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.state_dict().items())


def test_training_in_full_leaves_the_policy_it_came_from_alone() -> None:
    policy, tokenizer = tiny_policy()
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    train_reward_model(
        trunk=policy,
        tokenizer=tokenizer,
        comparisons=rankings(10),
        config=RewardConfig(epochs=1),
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.state_dict().items())


def test_the_pairs_of_a_ranking_weigh_as_much_as_one_pair_and_share_a_batch() -> None:
    model = RewardModel.from_policy(*tiny_policy(), seed=0)
    comparisons = [
        *ranking_to_comparisons(prompt="a", completions=list("abcd"), ranks=[1, 2, 3, 4], group="x"),
        *ranking_to_comparisons(prompt="a", completions=list("abcd"), ranks=[4, 3, 2, 1], group="y"),
        Comparison(prompt="b", chosen="c", rejected="d"),
        Comparison(prompt="c", chosen="c", rejected="d"),
    ]
    device = model.trunk.device
    batches = FeedbackBatches(
        Feedback(pairs=comparisons), model, annotator_weight=lambda _: 1.0, device=device
    )
    assert batches.pairs is not None
    assert batches.pairs.weight.tolist() == pytest.approx([1 / 6] * 12 + [1, 1])
    assert len(batches.rows) == 4 + 2 + 2
    rows = [
        sorted(batches.batch(prompts).rows["pairs"].tolist())
        for prompts in batches.epoch_batches(0, size=1, seed=0)
    ]
    assert sorted(rows) == [list(range(12)), [12], [13]]
    assert len(rows) == batches.batches_per_epoch(1)


def test_rewards_are_normalised_on_the_reference_samples() -> None:
    policy, tokenizer = tiny_policy()
    samples = [("", word) for word in ("abc", "bcd", "hh", "aab", "gfe")]
    result = train_reward_model(
        trunk=policy,
        tokenizer=tokenizer,
        comparisons=rankings(20),
        config=RewardConfig(epochs=1),
        reference_samples=samples,
    )
    scores = torch.tensor(result.model.score(*map(list, zip(*samples, strict=True))))
    assert scores.mean().item() == pytest.approx(0, abs=1e-4)
    assert scores.std(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_the_same_seed_gives_the_same_model() -> None:
    policy, tokenizer = tiny_policy()
    scores = [
        train_reward_model(
            trunk=policy,
            tokenizer=tokenizer,
            comparisons=rankings(20),
            config=RewardConfig(epochs=1, seed=3),
        ).model.score([""], ["abc"])
        for _ in range(2)
    ]
    assert scores[0] == scores[1]


def test_it_stops_when_told() -> None:
    policy, tokenizer = tiny_policy()
    steps: list[int] = []
    result = train_reward_model(
        trunk=policy,
        tokenizer=tokenizer,
        comparisons=rankings(50),
        config=RewardConfig(epochs=5, batch_size=12),
        callbacks=Callbacks(
            on_step=lambda step, progress, metrics: steps.append(step), should_stop=lambda: 3 in steps
        ),
    )
    assert (result.stop_reason, steps) == ("cancelled", [0, 1, 2, 3])


@pytest.mark.parametrize("pairs", [[], [Comparison("p", "a", "b", tie=True)], [Comparison("p", "a", "a")]])
def test_comparisons_that_prefer_nothing_are_refused(pairs: list[Comparison]) -> None:
    policy, tokenizer = tiny_policy()
    with pytest.raises(InputError, match="preferences: no comparison prefers"):
        train_reward_model(trunk=policy, tokenizer=tokenizer, comparisons=pairs, config=RewardConfig())


@pytest.mark.parametrize("loss", ["ranking", "scores", "scores+pairs"])
def test_each_loss_learns_the_taste(loss: str) -> None:
    comparisons = rankings(150, prompts=1) if loss == "ranking" else []
    result = taught(comparisons, [] if comparisons else ratings(150), loss=loss)
    assert result.accuracy > 0.85
    if not comparisons:
        assert result.metrics["score_correlation"] > 0.7


def test_a_lenient_annotator_spoils_scores_and_not_pairs() -> None:
    given = ratings(120, leniency=0.5)
    by_scores, by_pairs = (taught([], given, loss=loss) for loss in ("scores", "pairs"))
    assert by_pairs.accuracy > by_scores.accuracy + 0.05


def test_weights_of_criteria_decide_what_is_learned() -> None:
    words = ["aaaaaaa", "bcd"]
    liked, short = (
        taught([], ratings(90), criteria=criteria).model.score(["", ""], words)
        for criteria in ("overall=1", "overall=0.1,short=1")
    )
    assert liked[0] > liked[1]
    assert short[0] < short[1]


def test_early_stop_goes_back_to_the_lowest_held_out_loss() -> None:
    seen: list[dict[str, float]] = []
    rng = random.Random(0)
    # Nothing but noise can be learned: the held-out loss rises from some early step on.
    noise = []
    for pair in rankings(100, prompts=1):
        chosen, rejected = rng.sample([pair.chosen, pair.rejected], 2)
        noise.append(Comparison(pair.prompt, chosen, rejected))
    callbacks = Callbacks(on_step=lambda step, progress, metrics: seen.append({"step": step, **metrics}))
    result = taught(noise, epochs=30, patience=2, evaluate_every=5, callbacks=callbacks)
    measured = [metrics for metrics in seen if "heldout/loss" in metrics]
    best = min(measured, key=lambda metrics: metrics["heldout/loss"])
    assert result.stop_reason == "patience"
    assert result.best_step == best["step"]
    assert measured.index(best) == len(measured) - 3
    assert result.loss == pytest.approx(best["heldout/loss"], rel=1e-4)


def test_a_few_held_out_comparisons_stop_nothing() -> None:
    result = taught(rankings(20, prompts=1), epochs=4, patience=1, evaluate_every=1)
    assert result.metrics["heldout_comparisons"] < 30
    assert result.stop_reason == "steps"
    assert result.best_step == result.steps


def test_a_batch_in_pieces_gives_the_same_steps() -> None:
    curves = []
    for pieces in (1, 3):
        seen: list[dict[str, float]] = []
        callbacks = Callbacks(on_step=lambda step, progress, metrics: seen.append(metrics))  # noqa: B023
        taught(rankings(30, prompts=1), epochs=1, accumulate=pieces, callbacks=callbacks)
        curves.append([metrics["loss"] for metrics in seen[1:]])
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)
    assert len(curves[0]) == 3


def test_a_loss_that_is_no_number_names_the_learning_rate() -> None:
    with pytest.raises(InputError, match=r"^learning_rate: the loss became (nan|inf) at step \d+; lower it"):
        taught(rankings(30), learning_rate=1e30)


def batches_of(feedback: Feedback) -> FeedbackBatches:
    model = RewardModel.from_policy(*tiny_policy(), seed=0)
    return FeedbackBatches(feedback, model, annotator_weight=lambda _: 1.0, device=model.trunk.device)


def test_the_texts_of_a_prompt_follow_the_same_tokens_of_it_cut_by_the_longest() -> None:
    pair = Comparison("abcdefgh" * 4, "a", "hhhh")
    batches = batches_of(Feedback(pairs=[pair, Comparison("abc", "a", "b")]))
    assert batches.truncation.notes("examples", context=32, nothing="") == [
        "1 of 2 examples: the prompt was cut at its beginning to fit the context of 32 tokens."
    ]
    short, long = batches.rows[:2]
    assert len(long) == 32
    assert short[: len(short) - 2] == long[: len(long) - 5]
    assert len(short) == len(long) - 3


def test_sides_that_are_equal_in_tokens_are_left_out() -> None:
    beyond = "h" * 40
    (ranking,), _ = rebuild_rankings(
        ranking_to_comparisons(
            prompt="b", completions=[beyond + "a", "a", beyond], ranks=[2, 1, 3], group="x"
        )
    )
    pairs = [Comparison("a", beyond + "a", beyond), Comparison("a", "z", "y"), Comparison("a", "b", "c")]
    batches = batches_of(Feedback(pairs=pairs, rankings=[ranking]))
    assert (batches.truncation.units, batches.truncation.left_out) == (4, 2)
    assert batches.pairs is not None
    assert batches.pairs.split_keys == ["a"]
    assert batches.count == 1 + len(plackett_luce_choices((1, 2)))


def test_a_training_that_has_nothing_to_tell_apart_is_refused() -> None:
    with pytest.raises(InputError, match="preferences: every preferred text is the same as the others"):
        taught([Comparison("a", "h" * 40 + "a", "h" * 40)], heldout=0.0)


def test_what_is_cut_and_left_out_is_said() -> None:
    given = [*rankings(20), Comparison("a" * 40, "b", "c"), Comparison("a", "z", "y")]
    notes = taught(given, epochs=1).metrics["notes"]
    assert notes[:2] == [
        "1 of 62 examples: the prompt was cut at its beginning to fit the context of 32 tokens.",
        "1 of 62 examples were left out: their texts are all the same in the policy's tokens.",
    ]


def test_the_message_says_if_the_split_held_out_all_that_teaches() -> None:
    with pytest.raises(InputError, match="preferences: what would teach a preference was all held out"):
        taught([], [Rating("a", "b", 0.1), Rating("b", "a", 0.9)], epochs=1)
