"""Errors of a form as its page shows them: with field labels instead of options, commands and slugs."""

import re
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS

from labeling.models import Project
from training.config_form import NamedChoiceField
from training.forms import FORMS
from training.forms.base import RunForm
from training.forms.labels import option_label


def error_messages(form: RunForm) -> list[str]:
    """The errors of a form, a line each, with the label of the field."""
    return [
        page_message(str(error), form)
        if name == NON_FIELD_ERRORS
        else f"{field_label(form, name)}: {_lowercase_first(page_message(str(error), form))}"
        for name, errors in form.errors.items()
        for error in errors
    ]


def _lowercase_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def field_label(form: RunForm, name: str) -> str:
    return option_label(form.kind, name).label


def page_message(message: str, form: RunForm) -> str:
    """An error message of a form, which names options and commands, in the words of the page."""

    def option(match: re.Match[str]) -> str:
        name = match[1].replace("-", "_")
        return f"“{field_label(form, name)}”" if name in form.fields else match[0]

    def command(match: re.Match[str]) -> str:
        return f"a run “{FORMS[match[1]].kind.label}”" if match[1] in FORMS else "the project's settings page"

    message = re.sub(
        r"with `manage\.py add_prompts[^`]*`( or on its settings page)?", "on its settings page", message
    )
    message = re.sub(r"`manage\.py (\w+)[^`]*`", command, message)
    slug = current_value(form, "project") if "project" in form.fields else None
    if slug and f"“{slug}”" in message and (project := selected_project(form)):
        message = message.replace(f"“{slug}”", f"“{project.name}”")
    message = re.sub(r"--([a-z][a-z-]*)", option, message)
    message = re.sub(r"\b([a-z]+_[a-z_]+)\b", option, message)
    return message[:1].upper() + message[1:]


def selected_project(form: RunForm) -> Project | None:
    """The project that is selected in the form, if it exists and the person may use it."""
    field = form.fields.get("project")
    value = current_value(form, "project") if field else None
    if not isinstance(field, NamedChoiceField) or not value:
        return None
    project: Project | None = field.rows.filter(slug=value).first()
    return project


def current_value(form: RunForm, name: str) -> Any:
    """The current value of a field. Accessing `form[name]` would fix its label from then on."""
    return form.data.get(name) if form.is_bound else form.get_initial_for_field(form.fields[name], name)
