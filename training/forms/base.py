"""What every form of a run is made of. A command, the admin and the API all validate through forms.

The options of a stage are the fields of its config dataclasses; a form adds what only the database knows:
names of projects and versions.
"""

from pathlib import Path
from typing import Any, ClassVar

from django import forms
from django.db.models import Model

from labeling.models import Project
from training.config_form import ConfigForm, NamedChoiceField
from training.gpt.sources import NAMES, names_in
from training.models import ModelVersion, Run, version_name


class RunForm(ConfigForm):
    """Base of the forms of runs."""

    kind: ClassVar[Run.Kind]
    summary: ClassVar[str]

    def relations(self) -> dict[str, Any]:
        """The cleaned values that are rows: columns of the run."""
        return {
            name: self.cleaned_data[name]
            for name in ("project", "policy", "reward")
            if isinstance(self.cleaned_data.get(name), Model)
        }

    def parameters(self) -> dict[str, Any]:
        """All cleaned values in a form that JSON keeps; rows by their names."""
        return {
            name: str(getattr(value, self.fields[name].by)) if isinstance(value, Model) else value  # type: ignore[attr-defined]
            for name, value in self.cleaned_data.items()
        }


def checked_paths(source: str) -> str:
    """A corpus whose files and folders exist, or one that goes by a name."""
    for name in names_in(source):
        if name not in NAMES and not Path(name).expanduser().exists():
            raise forms.ValidationError(
                f"{name}: there is no such file or folder; corpora that go by a name are {', '.join(NAMES)}."
            )
    return source


def checked_file(name: str) -> str:
    """The name of a file that exists."""
    if name and not Path(name).is_file():
        raise forms.ValidationError(f"{name}: there is no such file.")
    return name


def required_project() -> NamedChoiceField:
    return NamedChoiceField(
        Project.objects.all(),
        by="slug",
        missing="name a project (its slug).",
        help_text="The project whose prompts are used.",
    )


def required_policy(help_text: str) -> NamedChoiceField:
    return NamedChoiceField(
        ModelVersion.objects.policies(),
        by="name",
        missing="name a policy; `manage.py pretrain` makes the first.",
        help_text=help_text,
    )


def require_comparisons(form: forms.Form, project: Project) -> None:
    if not project.kind.compares:
        form.add_error(
            "project",
            f"people rewrite in “{project.slug}”, which compares nothing; `manage.py supervised --project "
            f"{project.slug}` learns from what they write.",
        )


def require_prompts(form: forms.Form, project: Project) -> None:
    if not project.prompts.filter(split="train").exists():
        form.add_error(
            "project",
            f"“{project.slug}” has no prompts to train on; add some with `manage.py add_prompts "
            f"{project.slug} --file FILE` or on its set-up page.",
        )


class NamesVersionMixin(forms.Form):
    """What makes a model version, and may name it."""

    name = forms.CharField(
        required=False,
        max_length=80,
        validators=[version_name],
        help_text="Name of the new version; left out, one is made from the names there are.",
    )

    def default_name(self) -> str:
        """The name of the new version where none is given."""
        raise NotImplementedError

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name and name_is_taken(name):
            raise forms.ValidationError(f"“{name}” is taken; choose another name for the new version.")
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not cleaned.get("name"):
            cleaned["name"] = next_free(self.default_name())
        return cleaned


class NewVersionForm(NamesVersionMixin, RunForm):
    """A run that makes a model version."""


def name_is_taken(name: str) -> bool:
    return (
        ModelVersion.objects.filter(name=name).exists()
        or Run.objects.active().filter(parameters__name=name).exists()
    )


def next_free(name: str) -> str:
    """`name` if it is free, else with the first free number behind it: stories, stories-2, stories-3."""
    stem, _, tail = name.rpartition("-")
    number = int(tail) if stem and tail.isdigit() else 1
    base = stem if stem and tail.isdigit() else name
    while name_is_taken(name):
        number += 1
        name = f"{base}-{number}"
    return name


class OpensTasksMixin(forms.Form):
    """A run after which the new version's samples go to the annotators."""

    tasks = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100_000,
        initial=0,
        help_text="When it is done, open this many tasks in the project with the new version's samples.",
    )
