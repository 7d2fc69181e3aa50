import math
from itertools import permutations

import pytest
import torch

from training.gpt.errors import InputError
from training.rlhf.feedback.preferences import Comparison, ranking_to_comparisons
from training.rlhf.feedback.rankings import Ranking, plackett_luce_choices, rebuild_rankings
from training.rlhf.feedback.splits import Feedback
from training.rlhf.losses import bradley_terry_loss, plackett_luce_loss
from training.rlhf.reward.loss_terms import RankingTerm

RANKS = [(1, 2), (2, 1), (1, 1), (1, 2, 3, 4), (3, 1, 2), (1, 1, 2), (2, 1, 2, 1), (1, 1, 1), (1, 2, 2, 2, 3)]


def loss_of(rewards: list[float], ranks: tuple[int, ...]) -> float:
    """By the tensors that training uses."""
    made = plackett_luce_choices(ranks)
    first = torch.tensor([[item in choice.first for item in range(len(ranks))] for choice in made])
    among = torch.tensor([[item in choice.among for item in range(len(ranks))] for choice in made])
    repeated = torch.tensor(rewards, dtype=torch.float64)[None, :, None].expand(len(made), -1, 1)
    losses = plackett_luce_loss(repeated, first=first, among=among)[:, 0]
    return math.fsum(choice.weight * loss for choice, loss in zip(made, losses.tolist(), strict=True))


def slow_loss(rewards: list[float], ranks: tuple[int, ...]) -> float:
    """The mean, over all orders that the ranks allow, of -sum of log(exp r_i / sum of exp r_j left)."""
    losses = []
    for order in permutations(range(len(ranks))):
        if [ranks[item] for item in order] != sorted(ranks):
            continue
        loss = 0.0
        for place, item in enumerate(order):
            left = sum(math.exp(rewards[other]) for other in order[place:])
            loss -= math.log(math.exp(rewards[item]) / left)
        losses.append(loss)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("ranks", RANKS)
def test_the_loss_of_a_ranking_equals_a_plain_loop_over_its_orders(ranks: tuple[int, ...]) -> None:
    rewards = [0.3, -1.2, 2.0, 0.7, -0.4][: len(ranks)]
    assert loss_of(rewards, ranks) == pytest.approx(slow_loss(rewards, ranks), rel=1e-9)


@pytest.mark.parametrize("ranks", [(1, 2), (1, 1)])
def test_a_ranking_of_two_is_a_pair(ranks: tuple[int, ...]) -> None:
    pair = bradley_terry_loss(
        torch.tensor([0.3 + 1.2]), margin=torch.zeros(1), tie=torch.tensor([ranks == (1, 1)])
    )
    assert loss_of([0.3, -1.2], ranks) == pytest.approx(pair.item())


def test_equal_rewards_cost_the_logarithm_of_the_number_of_orders() -> None:
    assert loss_of([0.5] * 4, (4, 2, 1, 3)) == pytest.approx(math.log(24))
    assert loss_of([0.5] * 4, (1, 1, 1, 1)) == pytest.approx(math.log(24))


def test_rewards_far_apart_cost_finite_numbers() -> None:
    assert loss_of([900.0, 0.0, -900.0], (1, 2, 3)) == pytest.approx(0)
    assert loss_of([900.0, 0.0, -900.0], (3, 2, 1)) == pytest.approx(1800 + 900)


def test_no_gradient_flows_through_texts_that_are_not_among_the_choices() -> None:
    rewards = torch.tensor([[[1.0], [2.0], [torch.inf]]], requires_grad=True)
    first, among = torch.tensor([[True, False, False]]), torch.tensor([[True, True, False]])
    found = plackett_luce_loss(rewards.where(among[..., None], 0.0), first=first, among=among)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert rewards.grad is not None
    assert rewards.grad.isfinite().all()
    assert rewards.grad[0, 2] == 0


def test_too_many_ties_are_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"12 completions tie in one ranking.*use the loss pairs"):
        plackett_luce_choices((1,) * 12)


@pytest.mark.parametrize("ranks", [(1, 2, 3), (2, 1, 2, 3), (1, 1, 1)])
def test_a_ranking_is_rebuilt_from_its_pairs(ranks: tuple[int, ...]) -> None:
    completions = list("abcd")[: len(ranks)]
    pairs = ranking_to_comparisons(
        prompt="p", completions=completions, ranks=ranks, group="g", annotator="ann"
    )
    (ranking,), rest = rebuild_rankings(pairs)
    assert not rest
    assert (ranking.prompt, ranking.group, ranking.annotator) == ("p", "g", "ann")
    assert dict(zip(ranking.completions, ranking.ranks, strict=True)) == dict(
        zip(completions, ranks, strict=True)
    )


def test_rankings_of_two_people_are_two() -> None:
    given = [
        pair
        for annotator, ranks in (("ann", [1, 2, 3]), ("bob", [3, 2, 1]))
        for pair in ranking_to_comparisons(
            prompt="p", completions=list("abc"), ranks=ranks, group="g", annotator=annotator
        )
    ]
    rankings, rest = rebuild_rankings(given)
    assert [ranking.annotator for ranking in rankings] == ["ann", "bob"]
    assert not rest


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", "b"), ("b", "c")],  # one is missing
        [("a", "b"), ("b", "c"), ("c", "a")],  # in a circle
        [("a", "b"), ("a", "b"), ("b", "c")],  # one is there twice
        [("a", "b")],  # but two texts, whose margin counts
    ],
)
def test_pairs_that_make_no_ranking_stay_pairs(pairs: list[tuple[str, str]]) -> None:
    given = [Comparison("p", chosen, rejected, group="g") for chosen, rejected in pairs]
    assert rebuild_rankings(given) == ([], given)


def test_pairs_of_no_group_stay_pairs() -> None:
    given = [Comparison("p", chosen, rejected) for chosen, rejected in ("ab", "ac", "bc")]
    assert rebuild_rankings(given) == ([], given)


def test_a_ranking_weighs_as_much_as_a_pair_however_long_it_is() -> None:
    rankings = [
        Ranking("p", "1", "", list("abcd"), (1, 2, 3, 4)),
        Ranking("p", "2", "ann", list("abc"), (1, 1, 2)),
    ]
    texts = {text for each in Feedback(rankings=rankings).examples for text in each.texts}
    index = {text: place for place, text in enumerate(sorted(texts))}
    term = RankingTerm(
        rankings, index, annotator_weight=lambda name: 0.5 if name else 1.0, device=torch.device("cpu")
    )
    counts = [len(plackett_luce_choices(ranking.ranks)) for ranking in rankings]
    first, second = term.weight[: counts[0]], term.weight[counts[0] :]
    assert (first.sum().item(), second.sum().item()) == pytest.approx((1, 0.5))
    rewards = torch.tensor([0.3, -1.2, 2.0, 0.7], dtype=torch.float64)[:, None]
    losses = term.losses(rewards, torch.arange(sum(counts)))[:, 0] * term.weight
    expected = slow_loss([0.3, -1.2, 2.0, 0.7], (1, 2, 3, 4)) / 3
    assert losses[: counts[0]].sum().item() == pytest.approx(expected)
