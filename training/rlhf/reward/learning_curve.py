"""Learning curve: held-out accuracy by the number of training comparisons."""

from collections.abc import Callable, Sequence
from typing import Any

from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks
from training.rlhf.config import RewardConfig
from training.rlhf.feedback.preferences import Comparison, Rating, hash_fraction
from training.rlhf.reward.trainer import RewardResult, train_reward_model

ORDER_SEED = -2  # a seed that no training split uses


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
    """Train again on 1/2, 1/4, ... of the training prompts, `config.learning_curve` times, and evaluate on
    the same held-out prompts as `full`, the result of all prompts.

    One row for each part, fewest comparisons first, with `accuracy`, `low` and `high` (95 %). Parts are
    nested. It ends early if `should_stop`, or if a part has nothing to learn from; empty if nothing was held
    out.
    """
    heldout_keys = {pair.split_key for pair in full.heldout}
    keys = {pair.split_key for pair in comparisons} | {rating.split_key for rating in ratings}
    order = sorted(keys - heldout_keys, key=lambda key: hash_fraction(key, ORDER_SEED))
    rows = [_row(full)]
    if not heldout_keys:
        return []
    for halving in range(1, config.learning_curve + 1):
        part_keys = order[: len(order) >> halving]
        if not part_keys:
            break
        some = heldout_keys.union(part_keys)
        try:
            # The split is by a hash of the prompt: the same prompts are held out as for all prompts.
            part = train_reward_model(
                trunk=trunk,
                tokenizer=tokenizer,
                comparisons=[pair for pair in comparisons if pair.split_key in some],
                ratings=[rating for rating in ratings if rating.split_key in some],
                config=config,
                callbacks=Callbacks(should_stop=should_stop),
            )
        except InputError:  # not raised for all prompts, so this part is too small
            break
        if part.stop_reason == "cancelled":
            break
        rows.append(_row(part))
    return rows[::-1]


def _row(result: RewardResult) -> dict[str, Any]:
    low, high = result.interval
    count = result.metrics.get("comparisons", 0) - len(result.heldout)
    return {"comparisons": count, "accuracy": result.accuracy, "low": low, "high": high}
