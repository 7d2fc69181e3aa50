"""What more answers would bring: held-out accuracy by the number of comparisons learned from."""

from collections.abc import Callable, Sequence
from typing import Any

from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks
from training.rlhf.config import RewardConfig
from training.rlhf.feedback.preferences import Comparison, Rating, hash_fraction
from training.rlhf.reward.trainer import RewardResult, train_reward_model

ORDER = -2
"""A seed that no split uses, so that a part of the prompts is like all of them."""


def learning_curve(
    *,
    trunk: GPT,
    tokenizer: Tokenizer,
    comparisons: Sequence[Comparison],
    ratings: Sequence[Rating] = (),
    config: RewardConfig,
    full: RewardResult,
    should_stop: Callable[[], bool],
) -> list[dict[str, Any]]:
    """Train again on a half, a quarter, ... of the training prompts, `config.learning_curve` times, and
    measure each on the same held-out prompts as `full`, what all of them gave.

    A row for each, the fewest comparisons first, with `accuracy`, `low` and `high` (95 %). Each part holds
    the smaller ones. It ends early, without the parts that are left, where it is told to stop and where a
    part has nothing to learn from; there is no curve where nothing was held out.
    """
    kept_back = {pair.split_key for pair in full.heldout}
    units = {pair.split_key for pair in comparisons} | {rating.split_key for rating in ratings}
    order = sorted(units - kept_back, key=lambda unit: hash_fraction(unit, ORDER))
    rows = [_row(full)]
    if not kept_back:
        return []
    for halving in range(1, config.learning_curve + 1):
        part_of_them = order[: len(order) >> halving]
        if not part_of_them:
            break
        some = kept_back.union(part_of_them)
        try:
            # The split goes by a hash of the prompt: the same prompts are held out of a part as of all.
            part = train_reward_model(
                trunk=trunk,
                tokenizer=tokenizer,
                comparisons=[pair for pair in comparisons if pair.split_key in some],
                ratings=[rating for rating in ratings if rating.split_key in some],
                config=config,
                callbacks=Callbacks(should_stop=should_stop),
            )
        except InputError:  # of all the answers it was not raised, so there are too few of them
            break
        if part.stopped == "cancelled":
            break
        rows.append(_row(part))
    return rows[::-1]


def _row(result: RewardResult) -> dict[str, Any]:
    low, high = result.interval
    count = result.metrics.get("comparisons", 0) - len(result.heldout)
    return {"comparisons": count, "accuracy": result.accuracy, "low": low, "high": high}
