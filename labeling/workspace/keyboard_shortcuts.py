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
    "tie": Action("t", "Tie, about the same"),
    "undo": Action("u", "Undo the last step; with nothing to undo, change your last answer"),
    "all_bad": Action("b", "All bad: none is worth choosing"),
    "skip": Action("s", "Skip: leave the task to others"),
    "flag": Action("f", "Flag: something is wrong with this task"),
    "comment": Action("c", "Write a comment"),
    "changes": Action("d", "Show word by word what differs"),
    "nothing": Action("w", "Rewrite: write from nothing"),
    "source": Action("m", "Show Markdown as it was written"),
    "prompt": Action("p", "Show all of a long prompt, or less"),
    "last": Action("l", "Your last answers"),
    "guidelines": Action("g", "Guidelines"),
    "help": Action("?", "The list of keys"),
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
        raise ValidationError("Keys are given by action.")
    problems: dict[str, str] = {}
    chosen: dict[str, str] = {}
    for action, key in data.items():
        if action not in ACTIONS:
            raise ValidationError("There is no such action on the page.")
        if problem := _problem(key):
            problems[action] = problem
        elif key and key.lower() != ACTIONS[action].key:
            chosen[action] = key.lower()
    taken: dict[str, str] = {}
    for action, key in _complete(chosen).items():
        if key in taken:
            # The complaint stands where the person has typed.
            at, other = (action, taken[key]) if action in chosen else (taken[key], action)
            problems[at] = f"{key.upper()} is taken: “{ACTIONS[other].label}”."
        taken.setdefault(key, action)
    if problems:
        raise ValidationError(problems)
    return chosen


def _problem(key: Any) -> str:
    if not isinstance(key, str) or len(key) > 1 or len(key.lower()) > 1:
        return "One sign is wanted."
    if key.isspace() or (key and not key.isprintable()):
        return "A sign that can be seen is wanted."
    return "Digits are for places, grades and scores." if key.isdigit() else ""


def _complete(chosen: Mapping[str, str]) -> dict[str, str]:
    return {action: chosen.get(action, usual.key) for action, usual in ACTIONS.items()}
