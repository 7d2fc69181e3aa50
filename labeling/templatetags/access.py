"""Permission checks in templates: `{% may "labeling.review" project as reviews %}`."""

from typing import Any

from django import template

from labeling import access
from labeling.models import Project

register = template.Library()


@register.simple_tag(takes_context=True)
def may(context: dict[str, Any], permission: str, project: Project | None) -> bool:
    """Whether the user has a permission in a project, or on the whole site if `project` is None."""
    return access.may(context["user"], permission, project)


@register.simple_tag(takes_context=True)
def may_somewhere(context: dict[str, Any], permission: str) -> bool:
    """Whether the user has a permission on the whole site or in at least one project."""
    return access.may_somewhere(context["user"], permission)
