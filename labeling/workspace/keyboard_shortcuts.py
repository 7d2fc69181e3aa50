"""Keyboard shortcuts of the task page: the actions, their default keys and the annotator's own keys.

Digits (ranks, grades, scores), Enter, Escape and the arrow keys cannot be changed.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from labeling.models import WorkSettings


class Action(NamedTuple):
    """An action on the task page and its default key."""

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
    "prompt": Action("p", "Expand or collapse a long prompt, or the earlier turns of a conversation"),
    "last": Action("l", "Your recent answers"),
    "guidelines": Action("g", "Guidelines"),
    "help": Action("?", "Keyboard shortcuts"),
}


def keys_for(user: User) -> dict[str, str]:
    """The annotator's key for each action. Stored keys that are not valid (`validate_keys`) are ignored."""
    chosen = WorkSettings.objects.filter(pk=user.pk).values_list("keys", flat=True).first()
    try:
        return _with_defaults(validate_keys(chosen or {}))
    except ValidationError:
        return _with_defaults({})


def key_labels(keys: Mapping[str, str]) -> dict[str, str]:
    """The keys as shown on buttons: in capitals."""
    return {action: key.upper() if len(key.upper()) == 1 else key for action, key in keys.items()}


def validate_keys(data: Any) -> dict[str, str]:
    """The keys that differ from the defaults, by action, in lower case.

    `data` maps some or all actions to keys; missing or empty keys mean the default. Raises ValidationError
    with one message per action whose key is not a single visible character, is a digit, or is used twice.
    """
    if not isinstance(data, Mapping):
        raise ValidationError("Expected a mapping of actions to keys.")
    problems: dict[str, str] = {}
    chosen: dict[str, str] = {}
    for action, key in data.items():
        if action not in ACTIONS:
            raise ValidationError("Unknown action.")
        if problem := _key_problem(key):
            problems[action] = problem
        elif key and key.lower() != ACTIONS[action].key:
            chosen[action] = key.lower()
    taken: dict[str, str] = {}
    for action, key in _with_defaults(chosen).items():
        if key in taken:
            # The error belongs to the field that was changed.
            at, other = (action, taken[key]) if action in chosen else (taken[key], action)
            problems[at] = f"{key.upper()} is already used for “{ACTIONS[other].label}”."
        taken.setdefault(key, action)
    if problems:
        raise ValidationError(problems)
    return chosen


def _key_problem(key: Any) -> str:
    if not isinstance(key, str) or len(key) > 1 or len(key.lower()) > 1:
        return "Enter a single character."
    if key.isspace() or (key and not key.isprintable()):
        return "Enter a visible character."
    return "Digits are reserved for ranks, grades and scores." if key.isdigit() else ""


def _with_defaults(chosen: Mapping[str, str]) -> dict[str, str]:
    return {name: chosen.get(name, action.key) for name, action in ACTIONS.items()}
