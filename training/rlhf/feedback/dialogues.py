r"""Dialogues as Anthropic published them (Bai et al. 2022): two that part at their last answers, one chosen.

Each line of a file, gzipped or not, is `{"chosen": TEXT, "rejected": TEXT}`, and each text is turns that
begin with `\n\nHuman:` and `\n\nAssistant:`. Torch-free.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from training.gpt.errors import InputError
from training.rlhf.feedback.preferences import Comparison

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"

_FIRST_TURN = re.compile(rf"\s*Human:(.*?)(?={HUMAN}|{ASSISTANT}|\Z)", re.DOTALL)


def read_dialogues(path: str | Path) -> list[Comparison]:
    """The comparisons of a file: what both dialogues share, up to an assistant's turn, is the prompt.

    Where they part before the last turn, the rest of each, turns of people included, is its completion.
    Pairs that do not differ say nothing and are left out. Raises InputError that names the file and the line.
    """
    path = Path(path).expanduser()
    try:
        content = path.read_bytes()
        lines = (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: is damaged ({error}); copy or download it again.") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; give a readable JSON Lines file.") from error
    pairs = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                pairs.append(_comparison(json.loads(line)))
            except ValueError as error:
                raise InputError(f"{path}, line {number}: {error}") from error
    kept = [pair for pair in pairs if pair.chosen != pair.rejected]
    if not kept:
        raise InputError(f'{path}: no comparison in it; write one {{"chosen", "rejected"}} a line.')
    return kept


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


def _comparison(row: Any) -> Comparison:
    if not isinstance(row, dict) or not all(
        isinstance(row.get(name), str) for name in ("chosen", "rejected")
    ):
        raise ValueError('each line needs the dialogues "chosen" and "rejected", as texts.')
    chosen, rejected = row["chosen"], row["rejected"]
    differ = (place for place, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b)
    shared = chosen[: next(differ, min(len(chosen), len(rejected)))]
    # The turn that differs began with the last mark they share, or neither has begun to answer.
    place = shared.rfind(ASSISTANT)
    if place < 0 or HUMAN.strip() not in shared[:place]:
        raise ValueError(
            "the dialogues share no human turn before an assistant's;"
            r" begin both with the same \n\nHuman: … \n\nAssistant:"
        )
    end = place + len(ASSISTANT)
    return Comparison(prompt=chosen[:end], chosen=chosen[end:], rejected=rejected[end:])
