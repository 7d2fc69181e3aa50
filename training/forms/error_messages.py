"""What a form has to say, in the words of its page: no options, no commands, no slugs."""

import re
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS

from labeling.models import Project
from training.config_form import NamedChoiceField
from training.forms import FORMS
from training.forms.base import RunForm
from training.forms.labels import words_for


def problems(form: RunForm) -> list[str]:
    """What a form lacks, a line each, that names the field as the page does."""
    return [
        spoken(str(problem), form)
        if name == NON_FIELD_ERRORS
        else f"{label(form, name)}: {_lowered(problem, form)}"
        for name, some in form.errors.items()
        for problem in some
    ]


def _lowered(problem: Any, form: RunForm) -> str:
    text = spoken(str(problem), form)
    return text[:1].lower() + text[1:]


def label(form: RunForm, name: str) -> str:
    return words_for(form.kind, name).label


def spoken(problem: str, form: RunForm) -> str:
    """A message of a form, which speaks of options and commands, in the words of the page."""

    def option(match: re.Match[str]) -> str:
        name = match[1].replace("-", "_")
        return f"“{label(form, name)}”" if name in form.fields else match[0]

    def command(match: re.Match[str]) -> str:
        return f"a run “{FORMS[match[1]].kind.label}”" if match[1] in FORMS else "the project's set-up page"

    problem = re.sub(
        r"with `manage\.py add_prompts[^`]*`( or on its set-up page)?", "on its set-up page", problem
    )
    problem = re.sub(r"`manage\.py (\w+)[^`]*`", command, problem)
    slug = standing(form, "project") if "project" in form.fields else None
    if slug and f"“{slug}”" in problem and (project := chosen_project(form)):
        problem = problem.replace(f"“{slug}”", f"“{project.name}”")
    problem = re.sub(r"--([a-z][a-z-]*)", option, problem)
    problem = re.sub(r"\b([a-z]+_[a-z_]+)\b", option, problem)
    return problem[:1].upper() + problem[1:]


def chosen_project(form: RunForm) -> Project | None:
    """The project that stands in the form, if there is one and the person may use it."""
    field = form.fields.get("project")
    value = standing(form, "project") if field else None
    if not isinstance(field, NamedChoiceField) or not value:
        return None
    project: Project | None = field.rows.filter(slug=value).first()
    return project


def standing(form: RunForm, name: str) -> Any:
    """What stands in a field now. The form's own `form[name]` would keep the words it has from then on."""
    return form.data.get(name) if form.is_bound else form.get_initial_for_field(form.fields[name], name)
