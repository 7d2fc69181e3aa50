"""Base class and helpers of the forms of runs. Commands, the admin and the API all validate through forms.

The options of a run are the fields of its config dataclasses; a form adds what only the database knows: names
of projects and versions.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from django import forms
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.db.models import Model
from django.http import QueryDict

from labeling.models import Annotation, Generator, Project
from labeling.models.projects import ProjectQuerySet
from training.config_form import ConfigForm, NamedChoiceField
from training.formats.reader import AUTO, FORMATS, parse_columns
from training.formats.rows import FileProblem
from training.gpt.corpus.sources import NAMED_CORPORA, split_source
from training.models import ModelVersion, Run, version_name
from training.models.endpoints import EndpointQuerySet
from training.models.versions import ModelVersionQuerySet


class RunForm(ConfigForm):
    """Base of the forms of runs.

    With a `user`, only projects in which they may start runs can be chosen, and versions that they may see;
    without one, as at the command line, all.
    """

    kind: ClassVar[Run.Kind]
    summary: ClassVar[str]
    file_fields: ClassVar[tuple[str, ...]] = ("source", "preferences", "demonstrations")
    """Fields that may name files on the server."""

    def __init__(self, *args: Any, user: User | AnonymousUser | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.user = user
        for field in self.fields.values():
            if user is not None and isinstance(field, NamedChoiceField):
                field.limit(partial(visible_rows, user))

    @classmethod
    def normalise_page_data(cls, data: QueryDict) -> QueryDict:
        """The data of a page as the form takes it: a page sends every field, and checked names one by one."""
        return data

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.user is None or self.user.has_perm("training.add_run", None):
            return cleaned
        if "project" in self.fields and not cleaned.get("project") and "project" not in self.errors:
            self.add_error("project", "choose a project: you may start runs in projects only.")
        for name in self.file_fields:
            if (source := cleaned.get(name)) and has_file_path(source):
                self.add_error(
                    name,
                    "files on the server need the right to start runs in all projects; leave it out.",
                )
        return cleaned

    def reward_models(self) -> ModelVersionQuerySet:
        """The reward models that may be chosen."""
        reward_models = ModelVersion.objects.rewards()
        return reward_models if self.user is None else reward_models.visible_to(self.user)

    def related_objects(self) -> dict[str, Any]:
        """The cleaned values that are database rows, which become foreign keys of the run."""
        names = {"project": "project", "policy": "policy", "endpoint": "from", "reward": "reward"}
        return {
            column: self.cleaned_data[name]
            for column, name in names.items()
            if isinstance(self.cleaned_data.get(name), Model)
        }

    def parameters(self) -> dict[str, Any]:
        """All cleaned values, JSON-serialisable; rows by their names."""
        return {
            name: str(getattr(value, self.fields[name].by)) if isinstance(value, Model) else value  # type: ignore[attr-defined]
            for name, value in self.cleaned_data.items()
        }


class DataFileMixin(forms.Form):
    """A run that may learn from a file: how the file is read."""

    format = forms.ChoiceField(
        required=False,
        choices=[(name, name) for name in (AUTO, *FORMATS)],
        initial=AUTO,
        help_text="The format of the file; recognised by its columns if it is auto",
        error_messages={"invalid_choice": f"“%(value)s” is unknown; choose {AUTO}, {', '.join(FORMATS)}."},
    )
    columns = forms.CharField(
        required=False,
        help_text="What columns of the file are taken for: prompt=question_text,chosen=selected. "
        "An empty name says that there is none: prompt=.",
    )

    encoding = forms.CharField(
        required=False, help_text="The encoding of the file, if it is neither UTF-8 nor UTF-16: cp1252."
    )

    def clean_columns(self) -> str:
        columns: str = self.cleaned_data["columns"]
        try:
            parse_columns(columns)
        except FileProblem as error:
            raise forms.ValidationError(str(error).removeprefix("columns: ")) from None
        return columns


def visible_rows(user: User | AnonymousUser, rows: Any) -> Any:
    """The projects in which a person may start runs, or the versions or endpoints that they may see."""
    if isinstance(rows, ProjectQuerySet):
        return rows.allowed(user, "training.add_run")
    assert isinstance(rows, ModelVersionQuerySet | EndpointQuerySet)
    return rows.visible_to(user)


def has_file_path(source: str) -> bool:
    """Whether a source names files or folders, not only known corpora."""
    names: Iterable[str] = split_source(source)
    return any(name not in NAMED_CORPORA for name in names)


def validate_paths(source: str) -> str:
    """The source, if its files and folders exist; raises ValidationError otherwise."""
    for name in split_source(source):
        if name not in NAMED_CORPORA and not Path(name).expanduser().exists():
            raise forms.ValidationError(
                f"{name}: there is no such file or folder; known corpora are {', '.join(NAMED_CORPORA)}."
            )
    return source


def validate_file(name: str) -> str:
    """The path, if the file or folder exists; raises ValidationError otherwise."""
    if name and not Path(name).expanduser().exists():
        raise forms.ValidationError(f"{name}: there is no such file.")
    return name


def required_project_field() -> NamedChoiceField:
    return NamedChoiceField(
        Project.objects.all(),
        by="slug",
        missing="name a project (its slug).",
        help_text="The project whose prompts are used.",
    )


def required_policy_field(help_text: str) -> NamedChoiceField:
    return NamedChoiceField(
        ModelVersion.objects.policies(),
        by="name",
        missing="name a policy; `manage.py pretrain` makes the first.",
        help_text=help_text,
    )


def require_comparisons(form: forms.Form, project: Project) -> None:
    if not project.kind.is_comparative:
        form.add_error(
            "project",
            f"“{project.slug}” collects rewrites, not comparisons; `manage.py supervised --project "
            f"{project.slug}` trains on them.",
        )


def require_annotations(form: forms.Form, project: Project) -> None:
    """Refuse a project without annotations to learn from."""
    annotations = (
        Annotation.objects.for_project(project).latest_revisions().used_for_training().filter(all_bad=False)
    )
    if not form.errors and not annotations.exists():
        missing = (
            f"“{project.slug}” has no comparisons yet; let annotators answer some of its tasks first."
            if project.kind.is_comparative
            else f"“{project.slug}” has no demonstrations yet; let annotators answer some of its tasks first."
        )
        form.add_error("project", missing)


def require_prompts(form: forms.Form, project: Project) -> None:
    if not project.prompts.filter(split="train").exists():
        form.add_error(
            "project",
            f"“{project.slug}” has no prompts to train on; add some with `manage.py add_prompts "
            f"{project.slug} --file FILE` or on its settings page.",
        )


class VersionNameMixin(forms.Form):
    """A form for something that creates a model version."""

    name = forms.CharField(
        required=False,
        max_length=80,
        validators=[version_name],
        help_text="Name of the new version (default: the next free name).",
    )

    def default_name(self) -> str:
        """The name of the new version if none is given."""
        raise NotImplementedError

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name and name_is_taken(name):
            raise forms.ValidationError(f"“{name}” is taken; choose another name for the new version.")
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and not cleaned.get("name"):
            cleaned["name"] = next_free_name(self.default_name())
        return cleaned


class NewVersionForm(VersionNameMixin, RunForm):
    """A run that creates a model version."""


def name_is_taken(name: str, *, besides: Run | None = None) -> bool:
    """Whether a version or endpoint has the name, or a run that has not ended will give it to its version.

    `besides` is a run that does not count.
    """
    return (
        ModelVersion.objects.filter(name=name).exists()
        or Generator.objects.filter(name=name, project=None).exists()
        or Run.objects.unended()
        .filter(parameters__name=name)
        .exclude(pk=besides.pk if besides else 0)
        .exists()
    )


def lock_names() -> None:
    """Until the transaction ends, let no other one reserve a name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('training.names'))")


def next_free_name(name: str, *, besides: Run | None = None) -> str:
    """`name` if it is free, else the first free one of `name`-2, `name`-3, …"""
    stem, _, tail = name.rpartition("-")
    number = int(tail) if stem and tail.isdigit() else 1
    base = stem if stem and tail.isdigit() else name
    while name_is_taken(name, besides=besides):
        number += 1
        name = f"{base}-{number}"
    return name


class ChatMixin(forms.Form):
    """A run or a command with a policy that may read prompts as conversations."""

    chat = forms.BooleanField(
        required=False,
        initial=False,
        help_text="Read every prompt through the policy's chat template: a plain one as a turn of the user. "
        "Conversations are read so in any case, and so is everything by a version that was made with --chat.",
    )


class OpensTasksMixin(forms.Form):
    """A run that opens tasks with samples of the new version when it is done."""

    tasks = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=100_000,
        initial=0,
        help_text="Open this many tasks with samples of the new version when the run is done.",
    )
