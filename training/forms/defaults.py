"""What a form is filled with before anybody typed: a project's versions, or an earlier run's settings."""

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Case, IntegerField, Q, Value, When

from labeling.models import Project
from training.config_form import NamedChoiceField
from training.forms.base import RunForm, next_free
from training.models import ModelVersion, Run
from training.models.versions import ModelVersionQuerySet

CHOSEN = ("policy", "reward")
"""Versions that follow from the project."""


def usual(form_class: type[RunForm]) -> dict[str, Any]:
    """The values that a form of this kind has of itself, by name."""
    return {name: field.initial for name, field in form_class().fields.items()}


def newest_project(user: User | AnonymousUser) -> Project | None:
    """The newest of the projects in which a person may start runs: most likely what is meant."""
    projects = Project.objects.allowed(user, "training.add_run")
    return projects.order_by("-is_active", "-pk").first()


def versions_for(form: RunForm, project: Project | None) -> dict[str, str]:
    """The names of the versions that a run in this project most likely begins from.

    The policy is the one in production, else the project's newest; measured is the newest, against the one in
    production or else its parent. The reward model is the newest. Where the project has none, it is one of no
    project. What need not be named is left empty.
    """
    found: dict[str, str] = {}
    for name in CHOSEN:
        field = form.fields.get(name)
        if isinstance(field, NamedChoiceField) and (field.required or form.kind == Run.Kind.SAMPLE):
            best = of_project(field.rows, project)
            first = best.order_by("-id").first() if form.kind == Run.Kind.EVALUATE else best.first()
            found[name] = first.name if first else ""
    against = form.fields.get("against")
    if isinstance(against, NamedChoiceField) and found.get("policy"):
        produced = of_project(against.rows, project).filter(stage=ModelVersion.Stage.PRODUCTION)
        parents = against.rows.filter(children__name=found["policy"])
        other = produced.exclude(name=found["policy"]).first() or parents.first()
        found["against"] = other.name if other else ""
    return found


def of_project(versions: Any, project: Project | None) -> ModelVersionQuerySet:
    """Those of a project that are not archived, the one in production first, then the newest; where there is
    none, those of no project. Without a project, all of them."""
    rows: ModelVersionQuerySet = versions.exclude(stage=ModelVersion.Stage.ARCHIVED)
    own = rows
    if project is not None:
        own = rows.filter(Q(project=project) | Q(run__project=project))
        if not own.exists():
            own = rows.filter(project=None)
    produced = When(stage=ModelVersion.Stage.PRODUCTION, then=Value(0))
    return own.order_by(Case(produced, default=Value(1), output_field=IntegerField()), "-id")


def settings_of(run: Run, form: RunForm) -> tuple[dict[str, Any], list[str]]:
    """The settings of an earlier run as values of a form of its kind, and what of them is there no more.

    The new version gets a name of its own.
    """
    values = {name: value for name, value in run.parameters.items() if name in form.fields}
    gone = []
    for name, field in form.fields.items():
        value = values.get(name)
        if isinstance(field, NamedChoiceField):
            if value in (None, "", "None"):
                values[name] = ""
            elif not field.rows.filter(**{field.by: value}).exists():
                gone.append(str(value))
                values[name] = ""
    if values.get("name"):
        values["name"] = next_free(values["name"])
    return values, gone
