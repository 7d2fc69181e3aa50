"""DPO: its loss in closed form, its optimum on an enumerable problem, and what the reference costs."""

import copy
import dataclasses
import math

import pytest
import torch

from tests.rlhf.test_exact_optimum import BETA, logprobs_of, problem, rows_of
from tests.rlhf.tiny_offline import HELDOUT, likes_a, tuned
from tests.rlhf.tiny_policy import tiny_policy
from training.gpt.errors import InputError
from training.rlhf.config import DpoConfig
from training.rlhf.feedback.preferences import Comparison, ranking_to_comparisons, split_by_prompt
from training.rlhf.tuning import offline
from training.rlhf.tuning.dpo import ComparisonDataset, dpo, dpo_loss, implicit_rewards
from training.rlhf.tuning.heldout_evaluation import HeldoutEvaluator
from training.rlhf.tuning.rollouts import sequence_logprobs

WON, TIED = torch.tensor([False]), torch.tensor([True])


def loss(difference: float, *, margin: float = 0.0, tie: bool = False, smoothing: float = 0.0) -> float:
    return dpo_loss(
        torch.tensor([difference]),
        margin=torch.tensor([margin]),
        tie=TIED if tie else WON,
        smoothing=smoothing,
    ).item()


def test_the_loss_is_minus_log_sigma_of_beta_times_the_log_ratios() -> None:
    sums, expected = torch.tensor([[-3.0, -5.0]]), torch.tensor([[-4.0, -4.5]])
    rewards = implicit_rewards(sums, expected, beta=0.5)
    assert rewards.tolist() == [[0.5, -0.25]]
    assert loss(0.75) == pytest.approx(math.log(1 + math.exp(-0.75)))
    assert loss(0.0) == pytest.approx(math.log(2))


def test_margins_ties_and_smoothing_have_their_closed_forms() -> None:
    assert loss(0.75, margin=1.0) == pytest.approx(math.log(1 + math.exp(0.25)))
    half = (math.log(1 + math.exp(-0.75)) + math.log(1 + math.exp(0.75))) / 2
    assert loss(0.75, tie=True) == pytest.approx(half)
    assert loss(0.75, tie=True, smoothing=0.3) == pytest.approx(half)
    smoothed = 0.9 * math.log(1 + math.exp(-0.75)) + 0.1 * math.log(1 + math.exp(0.75))
    assert loss(0.75, smoothing=0.1) == pytest.approx(smoothed)


def test_smoothing_stops_at_the_certainty_that_the_answers_have() -> None:
    # The minimum is where sigma(difference) = 1 - smoothing.
    difference = torch.tensor([math.log(0.9 / 0.1)], requires_grad=True)
    found = dpo_loss(difference, margin=torch.zeros(1), tie=WON, smoothing=0.1).sum()
    assert torch.autograd.grad(found, difference)[0].item() == pytest.approx(0.0, abs=1e-7)


def test_training_reaches_the_exact_optimum() -> None:
    # 4,096 outcomes; people answer by Bradley-Terry on the reward, and every answer is weighed by its
    # probability. The same pi* ~ pi_ref exp(r / beta) as of the policy gradient: within 1e-3 nats.
    reference, sequences, rewards = problem()
    expected, rows = logprobs_of(reference, sequences).sum(dim=1), rows_of(sequences)
    table = reference.clone().requires_grad_()
    optimizer = torch.optim.Adam([table], betas=(0.8, 0.95))
    generator = torch.Generator().manual_seed(0)
    steps, none, no = 200, torch.zeros_like(rewards), torch.zeros_like(rewards, dtype=torch.bool)
    for step in range(steps):
        other = torch.randperm(len(sequences), generator=generator)
        implied = implicit_rewards(table.log_softmax(-1)[rows, sequences].sum(dim=1), expected, beta=BETA)
        difference, share = implied - implied[other], torch.sigmoid(rewards - rewards[other])
        losses = share * dpo_loss(difference, margin=none, tie=no)
        losses += (1 - share) * dpo_loss(-difference, margin=none, tie=no)
        optimizer.param_groups[0]["lr"] = 0.3 * (1 - step / steps)
        optimizer.zero_grad()
        losses.mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        logprobs = logprobs_of(table, sequences).sum(dim=1)
        ideal = (expected + rewards / BETA).log_softmax(dim=0)
        before = (expected.exp() * (expected - ideal)).sum().item()
        distance = (logprobs.exp() * (logprobs - ideal)).sum().item()
    assert before > 0.5
    assert 0 <= distance < 1e-3


def test_the_figures_of_pairs_equal_a_slow_loop_over_each_text_alone() -> None:
    policy, tokenizer = tiny_policy(seed=1)
    reference, _ = tiny_policy(seed=2)
    config = DpoConfig(beta=0.3)
    pairs = [Comparison("ab", "aaa", "hgf", margin=0.5), Comparison("", "c", "dede", tie=True)]
    dataset = ComparisonDataset(pairs, tokenizer, config, context=32)
    sums, expected = (
        offline.completion_logprobs(model, dataset.texts).view(2, 2) for model in (policy, reference)
    )
    figures = dataset.loss_and_metrics([0, 1], sums, expected)
    for row, pair in enumerate(pairs):
        logs = []
        for model in (policy, reference):
            for text in (pair.chosen, pair.rejected):
                prompt, new = tokenizer.prompt(pair.prompt), [*tokenizer.encode(text), tokenizer.eos_id]
                logits = model(torch.tensor([prompt + new]))[0].log_softmax(-1)
                logs.append(sum(logits[len(prompt) + k - 1, token].item() for k, token in enumerate(new)))
        difference = 0.3 * ((logs[0] - logs[2]) - (logs[1] - logs[3]))
        assert figures["margin"][row].item() == pytest.approx(difference, abs=1e-4)
        assert figures["logprob/chosen"][row].item() == pytest.approx(logs[0], abs=1e-4)
        wanted = loss(difference, margin=pair.margin, tie=pair.tie)
        assert figures["loss"][row].item() == pytest.approx(wanted, abs=1e-4)


def test_a_ranking_counts_as_one_comparison_does() -> None:
    _, tokenizer = tiny_policy()
    ranking = ranking_to_comparisons(
        prompt="a", completions=["a", "b", "c"], ranks=[1, 2, 3], group="7", annotator="ann"
    )
    dataset = ComparisonDataset([*ranking, Comparison("a", "b", "c")], tokenizer, DpoConfig(), context=32)
    assert dataset.weights == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0])


def dataset_of(*pairs: tuple[str, str, str], context: int = 8, tie: bool = False) -> ComparisonDataset:
    given = [Comparison(*pair, tie=tie) for pair in pairs]
    return ComparisonDataset(given, tiny_policy()[1], DpoConfig(), context=context)


def test_both_sides_follow_the_same_prompt_cut_by_the_longer_one() -> None:
    _, tokenizer = tiny_policy()
    for pair in (("abcdefghabc", "hh", "a"), ("abcdefghabc", "a", "hh")):
        dataset = dataset_of(pair)
        ((chosen, rejected),) = dataset.examples
        kept = [tokenizer.bos_id, *tokenizer.prompt("abcdefghabc")[-5:]]  # the token that begins a text stays
        assert chosen.prompt == rejected.prompt == kept
        assert max(len(chosen.completion), len(rejected.completion)) == 9 - len(kept)
        assert chosen.completion[-1] == rejected.completion[-1] == tokenizer.eos_id
        assert (dataset.truncation.prompts, dataset.truncation.completions) == (1, 0)


def test_a_completion_beyond_the_context_loses_its_end() -> None:
    _, tokenizer = tiny_policy()
    dataset = dataset_of(("ab", "h" * 20, "a"))
    ((chosen, rejected),) = dataset.examples
    assert chosen.prompt == rejected.prompt == [tokenizer.bos_id]
    assert chosen.completion == tokenizer.encode("h" * 8)
    assert rejected.completion == [*tokenizer.encode("a"), tokenizer.eos_id]
    assert (dataset.truncation.prompts, dataset.truncation.completions) == (1, 1)


def test_sides_that_are_equal_in_tokens_teach_nothing() -> None:
    dataset = dataset_of(("a", "h" * 8 + "a", "h" * 8 + "b"), ("a", "b", "c"), ("a", "z", "y"))
    assert len(dataset.examples) == len(dataset.weights) == len(dataset.margins) == 1
    assert dataset.truncation.left_out == 2  # one after the cut, one of unknown letters


@pytest.mark.parametrize(
    ("pair", "context"), [(("a", "h" * 32 + "a", "h" * 32 + "b"), 32), (("a", "z", "y"), 32)]
)
def test_comparisons_whose_sides_are_all_equal_in_tokens_are_refused(
    pair: tuple[str, str, str], context: int
) -> None:
    policy, tokenizer = tiny_policy(context=context)
    with pytest.raises(InputError, match="preferences: every preferred text is the same as the other one"):
        dpo(
            policy=policy,
            tokenizer=tokenizer,
            comparisons=[Comparison(*pair)],
            heldout_prompts=HELDOUT,
            config=DpoConfig(),
        )


def test_what_is_cut_is_counted_and_said() -> None:
    policy, tokenizer = tiny_policy()
    long = [Comparison("h" * 30 + letter, "aaaa", "bb") for letter in "abcd"]
    found = dpo(
        policy=policy,
        tokenizer=tokenizer,
        comparisons=[*likes_a(20), *long, Comparison("a", "c" * 40, "b"), Comparison("b", "x", "y")],
        heldout_prompts=HELDOUT,
        config=DpoConfig(epochs=0.1, max_new_tokens=4, batch_size=8),
    )
    assert found.notes[:3] == [
        "5 of 26 comparisons: the prompt was cut at its beginning to fit the context of 32 tokens.",
        "1 of 26 comparisons: a completion was cut at its end to fit the context of 32 tokens.",
        "1 of 26 comparisons were left out: both sides are the same in the policy's tokens.",
    ]


def test_the_message_says_if_the_split_held_out_all_that_teaches() -> None:
    teaching = [Comparison("a", "c", "d"), Comparison("b", "c", "d")]
    _, heldout = split_by_prompt(teaching, heldout=0.5, seed=DpoConfig().seed)
    (_, tied) = sorted(teaching, key=lambda pair: pair not in heldout)
    policy, tokenizer = tiny_policy()
    with pytest.raises(InputError, match="preferences: what would teach a preference was all held out"):
        dpo(
            policy=policy,
            tokenizer=tokenizer,
            comparisons=[*heldout, dataclasses.replace(tied, tie=True)],
            heldout_prompts=HELDOUT,
            config=DpoConfig(),
        )


def test_it_learns_what_people_like_without_a_reward_model() -> None:
    curve: list[tuple[int, dict[str, float]]] = []
    found = tuned("dpo", epochs=4, curve=curve)
    assert found.after.reward > found.before.reward + 0.8
    assert found.before.kl == pytest.approx(0.0, abs=1e-4)
    assert 0.5 < found.after.kl < 15
    assert curve[0][1]["heldout/preference"] == pytest.approx(-math.log(2))
    assert curve[-1][1]["heldout/accuracy"] > 0.7
    assert found.stop_reason == "steps"


def test_without_a_scorer_the_version_kept_finds_the_comparisons_kept_back_likeliest() -> None:
    curve: list[tuple[int, dict[str, float]]] = []
    found = tuned("dpo", epochs=3, scorer=None, curve=curve)
    assert found.after.selection_measure == "preference"
    best = max(metrics.get("heldout/preference", -math.inf) for _, metrics in curve)
    assert found.after.quality == best
    assert "reward_after" not in found.metrics


def test_the_reference_reads_every_text_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counting(
        model: torch.nn.Module, prompts: list[list[int]], *rest: object, **options: object
    ) -> object:
        if not model.training and not any(weight.requires_grad for weight in model.parameters()):
            read.append(len(prompts))
        return sequence_logprobs(model, prompts, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(offline, "sequence_logprobs", counting)
    tuned("dpo", epochs=3)
    assert sum(read) == 2 * len(likes_a())


def test_the_best_version_is_rolled_back_to() -> None:
    # A learning rate that ruins the policy: what is kept must be an early version, or the first.
    found = tuned("dpo", epochs=4, learning_rate=0.3, early_stopping={"stop_window": 0})
    again = HeldoutEvaluator(
        reference=tiny_policy()[0],
        tokenizer=tiny_policy()[1],
        prompts=HELDOUT,
        max_prompts=16,
        scorer=None,
        max_new_tokens=8,
        seed=0,
    ).evaluate(found.policy, step=found.best_step)
    assert again is not None
    assert again.completions == found.after.completions
    assert found.after.kl <= 15


def test_answers_without_a_preference_are_refused() -> None:
    policy, tokenizer = tiny_policy()
    before = copy.deepcopy(policy.state_dict())
    ties = [Comparison("a", "b", "c", tie=True)] * 4
    with pytest.raises(InputError, match="no comparison prefers"):
        dpo(
            policy=policy, tokenizer=tokenizer, comparisons=ties, heldout_prompts=["a"], config=DpoConfig()
        )  # fmt: skip
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.state_dict().items())


def test_nothing_to_tell_versions_apart_by_is_refused() -> None:
    policy, tokenizer = tiny_policy()
    with pytest.raises(InputError, match=r"^heldout: there is nothing"):
        dpo(
            policy=policy,
            tokenizer=tokenizer,
            comparisons=[Comparison("a", "b", "c")],
            heldout_prompts=["a"],
            config=DpoConfig(),
        )
