"""Initial values of a form: defaults, suggested versions, or the parameters of an earlier run."""

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Case, IntegerField, Q, Value, When

from labeling.models import Project
from training.config_form import NamedChoiceField
from training.forms.base import RunForm, next_free_name
from training.forms.judges import canonical_scorer_name
from training.models import ModelVersion, Run
from training.models.versions import ModelVersionQuerySet

VERSION_FIELDS = ("policy", "reward")
"""Fields whose version is suggested from the project."""


def default_values(form_class: type[RunForm]) -> dict[str, Any]:
    """The defaults of a form, by name."""
    return {name: field.initial for name, field in form_class().fields.items()}


def newest_project(user: User | AnonymousUser) -> Project | None:
    """The newest active project in which a person may start runs, else the newest closed one."""
    projects = Project.objects.allowed(user, "training.add_run")
    return projects.order_by("-is_active", "-pk").first()


def suggested_versions(form: RunForm, project: Project | None) -> dict[str, str]:
    """The names of the versions that a run in this project most likely starts from.

    The policy is the one in production, else the newest of the project. An evaluation measures the newest,
    against the one in production or else its parent. The reward model is the newest. A project without
    versions gets those that belong to no project. Fields that may stay empty are left empty.
    """
    found: dict[str, str] = {}
    for name in VERSION_FIELDS:
        field = form.fields.get(name)
        if isinstance(field, NamedChoiceField) and (field.required or "from" in form.fields):
            ranked = ranked_versions(field.rows, project)
            first = ranked.order_by("-id").first() if form.kind == Run.Kind.EVALUATE else ranked.first()
            found[name] = first.name if first else ""
    against = form.fields.get("against")
    if isinstance(against, NamedChoiceField) and found.get("policy"):
        in_production = ranked_versions(against.rows, project).filter(stage=ModelVersion.Stage.PRODUCTION)
        parents = against.rows.filter(children__name=found["policy"])
        other = in_production.exclude(name=found["policy"]).first() or parents.first()
        found["against"] = other.name if other else ""
    return found


def ranked_versions(versions: Any, project: Project | None) -> ModelVersionQuerySet:
    """The versions of a project that are not archived: the one in production first, then the newest.

    For a project without versions: those that belong to no project. Without a project: all.
    """
    rows: ModelVersionQuerySet = versions.exclude(stage=ModelVersion.Stage.ARCHIVED)
    own = rows
    if project is not None:
        own = rows.filter(Q(project=project) | Q(run__project=project))
        if not own.exists():
            own = rows.filter(project=None)
    in_production = When(stage=ModelVersion.Stage.PRODUCTION, then=Value(0))
    return own.order_by(Case(in_production, default=Value(1), output_field=IntegerField()), "-id")


def cloned_values(run: Run, form: RunForm) -> tuple[dict[str, Any], list[str]]:
    """The parameters of an earlier run as values of a form of its kind, and the names of rows that are gone.

    The new version gets a name of its own.
    """
    values = {name: value for name, value in run.parameters.items() if name in form.fields}
    deleted = []
    for name, field in form.fields.items():
        value = values.get(name)
        if isinstance(field, NamedChoiceField):
            if value in (None, "", "None"):
                values[name] = ""
            elif field.find(value) is None:
                deleted.append(str(value))
                values[name] = ""
    if values.get("gold"):
        values["gold"] = canonical_scorer_name(values["gold"])
    if values.get("name"):
        values["name"] = next_free_name(values["name"])
    return values, deleted
