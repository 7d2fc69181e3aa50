"""What a run was asked, as its page shows it: what differs from the usual first."""

from dataclasses import dataclass
from typing import Any

from django.forms import Field
from django.forms.utils import pretty_name

from training.forms import FORMS
from training.forms.labels import words_for
from training.models import Run

SHOWN_BESIDE = frozenset({"project", "policy", "reward"})
"""Parameters that the page shows as links."""


@dataclass(frozen=True)
class Parameter:
    """One thing that was asked: its name and its value, in the words of the form."""

    name: str
    value: str


@dataclass(frozen=True)
class Parameters:
    """All that was asked."""

    chosen: list[Parameter]
    usual: list[Parameter]

    def __bool__(self) -> bool:
        return bool(self.chosen or self.usual)


def parameters(run: Run) -> Parameters:
    """The parameters of a run that are not empty, by whether they differ from the form's defaults."""
    fields = FORMS[run.kind]().fields
    chosen: list[Parameter] = []
    usual: list[Parameter] = []
    for name, value in run.parameters.items():
        if value in (None, "", []) or name in SHOWN_BESIDE:
            continue
        field = fields.get(name)
        kept = usual if field is not None and is_default(field, value) else chosen
        kept.append(spoken(run.kind, name, value))
    return Parameters(chosen, usual)


def spoken(kind: str, name: str, value: Any) -> Parameter:
    """A parameter in the words of the form, or, where it has none, by its own name."""
    try:
        words = words_for(kind, name)
    except KeyError:
        return Parameter(pretty_name(name), written(value))
    choice = words.choices.get(str(value))
    return Parameter(words.label, choice.label if choice else written(value))


def is_default(field: Field, value: Any) -> bool:
    """Whether the form would have had this value without being told."""
    return field.initial is not None and field.initial == value


def written(value: Any) -> str:
    """A parameter as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(written(each) for each in value)
    return str(value)
