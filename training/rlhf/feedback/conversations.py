r"""Dialogues as text, with turns that begin with `\n\nHuman:` and `\n\nAssistant:` (Bai et al. 2022).

Torch-free.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from training.rlhf.feedback.preferences import Comparison

HUMAN_TURN, ASSISTANT_TURN = "\n\nHuman:", "\n\nAssistant:"
TURN_PREFIXES = {"system": "", "user": f"{HUMAN_TURN} ", "assistant": f"{ASSISTANT_TURN} "}

_FIRST_TURN = re.compile(rf"\s*Human:(.*?)(?={HUMAN_TURN}|{ASSISTANT_TURN}|\Z)", re.DOTALL)


def render_turns(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The text of each message, `{"role", "content"}`; a system message has no prefix."""
    return [TURN_PREFIXES[message["role"]] + message["content"] for message in messages]


def split_dialogues(chosen: str, rejected: str) -> tuple[str, str, str]:
    """(prompt, chosen, rejected): the prompt is what both dialogues share, up to an assistant's turn.

    The prompt is empty for texts that are not dialogues or share no such turn.
    """
    end, place = 0, chosen.find(ASSISTANT_TURN) if chosen.startswith(HUMAN_TURN) else -1
    while place >= 0 and rejected.startswith(chosen[: place + len(ASSISTANT_TURN)]):
        end = place + len(ASSISTANT_TURN)
        place = chosen.find(ASSISTANT_TURN, end)
    return chosen[:end], chosen[end:], rejected[end:]


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
