r"""Preferences from JSON Lines files, gzipped or not, with the line named in every complaint. Torch-free.

A line is a comparison, `{"prompt", "chosen", "rejected"}`, or a rating, `{"prompt", "completion", "score"}`;
`"label": true` or `false` in place of a score is 1 or 0. Texts are strings, or lists of messages,
`{"role", "content"}`, which are written as turns that begin with `\n\nHuman:` and `\n\nAssistant:` (as
Anthropic's dialogues are; Bai et al. 2022), a system message before them as it is.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.rlhf.feedback.json_lines import read_rows
from training.rlhf.feedback.preferences import RANDOM, Comparison, Rating

HUMAN, ANSWER = "\n\nHuman:", "\n\nAssistant:"
TURNS = {"system": "", "user": f"{HUMAN} ", "assistant": f"{ANSWER} "}

_EXAMPLE = '{"prompt": "...", "chosen": "...", "rejected": "..."}'


def read_preferences(path: str | Path) -> tuple[list[Comparison], list[Rating]]:
    """The comparisons and the ratings of a file; blank lines are skipped.

    A comparison may have `tie`, `margin`, `group`, `annotator` and `choice` (why it was asked), and need not
    have a prompt: of dialogues it is what both share, up to an assistant's turn. A rating may have `criteria`
    (scores by name), `group`, `annotator` and `choice`. Scores are from 0 to 1. Raises InputError that names
    the file and the line.
    """
    said = read_rows(path, _said, what="comparison", example=_EXAMPLE)
    return (
        [each for each in said if isinstance(each, Comparison)],
        [each for each in said if isinstance(each, Rating)],
    )


def _said(row: Any) -> Comparison | Rating:
    if not isinstance(row, dict):
        raise ValueError(f"not a JSON object; write {_EXAMPLE}.")
    return _rating(row) if "completion" in row else _comparison(row)


def _comparison(row: Mapping[str, Any]) -> Comparison:
    for name in ("chosen", "rejected"):
        if name not in row:
            raise ValueError(f'no "{name}"; each line needs "prompt", "chosen" and "rejected".')
    prompt, (chosen, rejected) = _texts(row, "chosen", "rejected")
    if not prompt:
        prompt, chosen, rejected = part_dialogues(chosen, rejected)
    tie, margin = row.get("tie", False), row.get("margin", 0.0)
    if not isinstance(tie, bool):
        raise ValueError('"tie" is neither true nor false; write one of them, or leave it out.')
    if not _is_number(margin):
        raise ValueError('"margin" is not a finite number; write one, or leave it out.')
    return Comparison(prompt, chosen, rejected, tie=tie, margin=float(margin), **_who(row))


def part_dialogues(chosen: str, rejected: str) -> tuple[str, str, str]:
    """The prompt that two whole dialogues share, up to an assistant's turn, and what each makes of it.

    Texts that are no dialogues, or share no such turn, have no prompt.
    """
    end, place = 0, chosen.find(ANSWER) if chosen.startswith(HUMAN) else -1
    while place >= 0 and rejected.startswith(chosen[: place + len(ANSWER)]):
        end = place + len(ANSWER)
        place = chosen.find(ANSWER, end)
    return chosen[:end], chosen[end:], rejected[end:]


def _rating(row: Mapping[str, Any]) -> Rating:
    prompt, (completion,) = _texts(row, "completion")
    criteria = row.get("criteria", {})
    if not isinstance(criteria, dict):
        raise ValueError('"criteria" is no object; write {"name": score}, or leave it out.')
    if isinstance(row.get("label"), bool):
        score = float(row["label"])
    elif "score" in row:
        score = row["score"]
    else:
        raise ValueError('no "score"; a completion needs a score from 0 to 1, or a "label", true or false.')
    for name, value in {"score": score, **criteria}.items():
        if not _is_number(value) or not 0 <= value <= 1:
            raise ValueError(f'"{name}" is {json.dumps(value)}, not a number from 0 to 1; scale it.')
    criteria = {name: float(value) for name, value in criteria.items()}
    return Rating(prompt, completion, float(score), criteria, **_who(row))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _who(row: Mapping[str, Any]) -> dict[str, str]:
    unsaid = {"group": "", "annotator": "", "choice": RANDOM}
    return {name: _text(name, row.get(name, default)) for name, default in unsaid.items()}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f'"{name}" is not a string; write plain text there.')
    return value


def _texts(row: Mapping[str, Any], *names: str) -> tuple[str, list[str]]:
    """The prompt, and the texts of these names as what follows it."""
    if not isinstance(row[names[0]], list):
        return _text("prompt", row.get("prompt", "")), [_text(name, row[name]) for name in names]
    prompt = _turns("prompt", row.get("prompt", []))
    dialogues = [_turns(name, row[name]) for name in names]
    if not prompt:
        # The dialogues are whole: they share what they answer, all but their last turn at least.
        shared = 0
        while all(shared < len(dialogue) - 1 for dialogue in dialogues) and (
            len({dialogue[shared] for dialogue in dialogues}) == 1
        ):
            shared += 1
        prompt, dialogues = dialogues[0][:shared], [dialogue[shared:] for dialogue in dialogues]
    texts = ["".join(dialogue) for dialogue in dialogues]
    if not all(text.startswith(ANSWER) for text in texts):
        wrong = next(name for name, text in zip(names, texts, strict=True) if not text.startswith(ANSWER))
        raise ValueError(f'"{wrong}" does not answer its prompt; let an assistant\'s message come next.')
    # The completion carries its own leading space.
    return "".join(prompt) + ANSWER, [text.removeprefix(ANSWER) for text in texts]


def _turns(name: str, messages: Any) -> list[str]:
    if not isinstance(messages, list) or not all(
        isinstance(message, dict) and message.get("role") in TURNS and isinstance(message.get("content"), str)
        for message in messages
    ):
        roles = ", ".join(TURNS)
        raise ValueError(f'"{name}" is no list of {{"role", "content"}}, the roles being {roles}.')
    return [TURNS[message["role"]] + message["content"] for message in messages]
