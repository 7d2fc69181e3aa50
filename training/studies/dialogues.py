"""Dialogues that two answers part, and their division by what the person said first."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from training.gpt.errors import InputError
from training.rlhf.feedback.preference_files import ANSWER, HUMAN, read_preferences
from training.rlhf.feedback.preferences import Comparison

_FIRST_TURN = re.compile(rf"\s*Human:(.*?)(?={HUMAN}|{ANSWER}|\Z)", re.DOTALL)


def read_dialogues(path: Path) -> list[Comparison]:
    """The comparisons of a file of whole dialogues; pairs that do not differ say nothing and are left out.

    Raises InputError that names the file where there are none, or one shares no turn that is answered.
    """
    pairs = [pair for pair in read_preferences(path)[0] if pair.chosen != pair.rejected]
    if not pairs or not all(pair.prompt for pair in pairs):
        raise InputError(
            f"{path}: not all of it are pairs of dialogues that part at an answer;"
            r" begin both with the same \n\nHuman: … \n\nAssistant:"
        )
    return pairs


def first_turn(prompt: str) -> str:
    """What the person said first: dialogues that share it are about the same, and belong on one side."""
    found = _FIRST_TURN.match(prompt)
    return found.group(1).strip() if found else prompt.strip()


def fold_of(prompt: str, *, folds: int, seed: int) -> int:
    """In which of `folds` parts a dialogue belongs: a matter of its first turn and the seed alone."""
    digest = hashlib.sha256(f"{seed}\n{first_turn(prompt)}".encode()).digest()
    return int.from_bytes(digest[:6]) % folds


def split_by_first_turn(
    comparisons: Iterable[Comparison], *, fold: int, folds: int, seed: int
) -> tuple[list[Comparison], list[Comparison]]:
    """(train, held out): one of `folds` parts is held out, and no first turn is in both."""
    train: list[Comparison] = []
    heldout: list[Comparison] = []
    for pair in comparisons:
        side = heldout if fold_of(pair.prompt, folds=folds, seed=seed) == fold else train
        side.append(pair)
    return train, heldout
