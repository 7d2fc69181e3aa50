"""Splits of dialogues, which are texts with turns, by the first turn. Torch-free."""

import hashlib
import re
from collections.abc import Iterable

from training.formats.messages import ASSISTANT_TURN, HUMAN_TURN
from training.rlhf.feedback.preferences import Comparison

_FIRST_TURN = re.compile(rf"\s*Human:(.*?)(?={HUMAN_TURN}|{ASSISTANT_TURN}|\Z)", re.DOTALL)


def first_turn(prompt: str) -> str:
    """The first human message. Dialogues that share it belong in the same fold."""
    found = _FIRST_TURN.match(prompt)
    return found.group(1).strip() if found else prompt.strip()


def fold_index(prompt: str, *, folds: int, seed: int) -> int:
    """The fold, 0 to `folds - 1`, that a dialogue belongs to; depends on its first turn and the seed only."""
    digest = hashlib.sha256(f"{seed}\n{first_turn(prompt)}".encode()).digest()
    return int.from_bytes(digest[:6]) % folds


def split_by_first_turn(
    comparisons: Iterable[Comparison], *, fold: int, folds: int, seed: int
) -> tuple[list[Comparison], list[Comparison]]:
    """(train, held out): one of `folds` parts is held out, and no first turn is in both."""
    train: list[Comparison] = []
    heldout: list[Comparison] = []
    for pair in comparisons:
        part = heldout if fold_index(pair.prompt, folds=folds, seed=seed) == fold else train
        part.append(pair)
    return train, heldout
