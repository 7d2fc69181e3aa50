"""People who like the letter a: what the tests of reward models learn."""

import random
from collections.abc import Sequence
from typing import Any

from tests.rlhf.tiny_policy import LETTERS, tiny_policy
from training.rlhf.config import RewardConfig
from training.rlhf.feedback.preferences import Comparison, Rating, ranking_to_comparisons
from training.rlhf.reward.trainer import RewardResult, train_reward_model

LEARNING_RATE = 3e-3
"""What `taught` trains with, by default."""


def many_a(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
    return [completion.count("a") - completion.count("h") for completion in completions]


def words(rng: random.Random, count: int) -> list[str]:
    return ["".join(rng.choices(LETTERS, k=rng.randint(3, 8))) for _ in range(count)]


def rankings(count: int, *, prompts: int = 0, annotator: str = "") -> list[Comparison]:
    """`count` rankings of three random words by `many_a`."""
    rng = random.Random(0)
    pairs = []
    for number in range(count):
        prompt = "".join(rng.choices(LETTERS, k=4)) if prompts else ""
        given = words(rng, 3)
        scores = many_a([prompt] * 3, given)
        ranks = [1 + sum(other > score for other in scores) for score in scores]
        pairs += ranking_to_comparisons(
            prompt=prompt, completions=given, ranks=ranks, group=str(number), annotator=annotator
        )
    return pairs


def ratings(count: int, *, leniency: float = 0.0) -> list[Rating]:
    """`count` answers with scores for three words by `many_a`, and for shortness; every other annotator is
    more lenient by so much."""
    rng = random.Random(0)
    found = []
    for number in range(count):
        prompt, given = "".join(rng.choices(LETTERS, k=4)), words(rng, 3)
        for word, score in zip(given, many_a([], given), strict=True):
            found.append(
                Rating(
                    prompt=prompt,
                    completion=word,
                    score=min(1.0, max(0.0, 0.4 + 0.1 * score + leniency * (number % 2))),
                    criteria={"short": 1 - len(word) / 8},
                    group=str(number),
                    annotator=str(number % 2),
                )
            )
    return found


def taught(
    comparisons: Sequence[Comparison], rated: Sequence[Rating] = (), *, context: int = 32, **options: Any
) -> RewardResult:
    """A tiny reward model, a second or two in training."""
    policy, tokenizer = tiny_policy(context=context)
    given = ("folder", "callbacks", "reference_samples")
    config: dict[str, Any] = {"epochs": 4, "heldout": 0.2, "learning_rate": LEARNING_RATE, "patience": 0}
    config |= {name: value for name, value in options.items() if name not in given}
    return train_reward_model(
        trunk=policy,
        tokenizer=tokenizer,
        comparisons=comparisons,
        ratings=rated,
        config=RewardConfig(**config),
        **{name: value for name, value in options.items() if name in given},
    )
