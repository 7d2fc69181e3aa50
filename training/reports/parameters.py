"""The parameters of a run for its page: those that differ from their defaults first."""

from dataclasses import dataclass
from typing import Any

from django.forms import Field
from django.forms.utils import pretty_name

from training.forms import FORMS
from training.forms.judges import STORY_REWARD_FUNCTION, STORY_REWARD_FUNCTION_LABEL, canonical_scorer_name
from training.forms.labels import option_label
from training.models import Run

SHOWN_AS_LINKS = frozenset({"project", "policy", "from", "reward"})
"""Parameters that the page shows elsewhere."""


@dataclass(frozen=True)
class Parameter:
    """The label and the value of one parameter, as the form shows them."""

    name: str
    value: str


@dataclass(frozen=True)
class Parameters:
    """All parameters of a run."""

    changed: list[Parameter]
    defaults: list[Parameter]

    def __bool__(self) -> bool:
        return bool(self.changed or self.defaults)


def parameters(run: Run) -> Parameters:
    """The parameters of a run that are not empty, by whether they differ from the form's defaults."""
    fields = FORMS[run.kind]().fields
    changed: list[Parameter] = []
    defaults: list[Parameter] = []
    for name, value in run.parameters.items():
        if value in (None, "", []) or name in SHOWN_AS_LINKS:
            continue
        field = fields.get(name)
        group = defaults if field is not None and is_default(field, value) else changed
        group.append(labelled_parameter(run.kind, name, value))
    return Parameters(changed, defaults)


def labelled_parameter(kind: str, name: str, value: Any) -> Parameter:
    """A parameter with the labels of the form; without one, under its own name."""
    try:
        option = option_label(kind, name)
    except KeyError:
        return Parameter(pretty_name(name), format_value(value))
    if name == "gold" and canonical_scorer_name(value) == STORY_REWARD_FUNCTION:
        return Parameter(option.label, STORY_REWARD_FUNCTION_LABEL)
    choice = option.choices.get(str(value))
    return Parameter(option.label, choice.label if choice else format_value(value))


def is_default(field: Field, value: Any) -> bool:
    """Whether this is the value that the form has if none is given."""
    return field.initial is not None and field.initial == value


def format_value(value: Any) -> str:
    """A value as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(format_value(each) for each in value)
    return str(value)
