"""Keys of the page on which tasks are answered: what each does, and how a person may change it.

Digits (places, grades, scores), Enter, Escape and the arrows are the same for everybody.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from labeling.models import WorkSettings


class Action(NamedTuple):
    """What a key does, and which key it is unless a person has chosen another."""

    key: str
    label: str


ACTIONS: dict[str, Action] = {
    "tie": Action("t", "Tie: about the same"),
    "undo": Action("u", "Undo the last step; with nothing to undo, change your last answer"),
    "all_bad": Action("b", "All bad: none is good enough"),
    "skip": Action("s", "Skip: pass the task to someone else"),
    "flag": Action("f", "Flag: something is wrong with this task"),
    "comment": Action("c", "Comment"),
    "changes": Action("d", "Highlight the differences, word by word"),
    "nothing": Action("w", "Rewrite: write from scratch"),
    "source": Action("m", "Show the Markdown source"),
    "prompt": Action("p", "Expand or collapse a long prompt"),
    "last": Action("l", "Your recent answers"),
    "guidelines": Action("g", "Guidelines"),
    "help": Action("?", "Keyboard shortcuts"),
}


def keys_of(user: User) -> dict[str, str]:
    """The person's key for each action. What cannot be a key (see `check_keys`) counts as not chosen."""
    chosen = WorkSettings.objects.filter(pk=user.pk).values_list("keys", flat=True).first()
    try:
        return _complete(check_keys(chosen or {}))
    except ValidationError:
        return _complete({})


def printed(keys: Mapping[str, str]) -> dict[str, str]:
    """The keys as they stand on the buttons: in capitals."""
    return {action: key.upper() if len(key.upper()) == 1 else key for action, key in keys.items()}


def check_keys(data: Any) -> dict[str, str]:
    """The keys that differ from the usual ones, by action, in small letters.

    `data` has a key for some actions or for all; those left out or empty keep the usual one. Raises
    ValidationError with one line for each action whose key is no single sign, a digit, white space, or
    given to another action too.
    """
    if not isinstance(data, Mapping):
        raise ValidationError("Expected a mapping of actions to keys.")
    problems: dict[str, str] = {}
    chosen: dict[str, str] = {}
    for action, key in data.items():
        if action not in ACTIONS:
            raise ValidationError("Unknown action.")
        if problem := _problem(key):
            problems[action] = problem
        elif key and key.lower() != ACTIONS[action].key:
            chosen[action] = key.lower()
    taken: dict[str, str] = {}
    for action, key in _complete(chosen).items():
        if key in taken:
            # The complaint stands where the person has typed.
            at, other = (action, taken[key]) if action in chosen else (taken[key], action)
            problems[at] = f"{key.upper()} is already used for “{ACTIONS[other].label}”."
        taken.setdefault(key, action)
    if problems:
        raise ValidationError(problems)
    return chosen


def _problem(key: Any) -> str:
    if not isinstance(key, str) or len(key) > 1 or len(key.lower()) > 1:
        return "Enter a single character."
    if key.isspace() or (key and not key.isprintable()):
        return "Enter a visible character."
    return "Digits are reserved for ranks, grades and scores." if key.isdigit() else ""


def _complete(chosen: Mapping[str, str]) -> dict[str, str]:
    return {action: chosen.get(action, usual.key) for action, usual in ACTIONS.items()}
