"""Permission checks in templates: `{% has_perm "labeling.review" project as can_review %}`."""

from typing import Any

from django import template

from labeling import access
from labeling.models import Project

register = template.Library()


@register.simple_tag(takes_context=True)
def has_perm(context: dict[str, Any], permission: str, project: Project | None) -> bool:
    """Whether the user has a permission in a project, or on the whole site if `project` is None."""
    found: bool = context["user"].has_perm(permission, project)
    return found


@register.simple_tag(takes_context=True)
def has_perm_in_any_project(context: dict[str, Any], permission: str) -> bool:
    """Whether the user has a permission on the whole site or in at least one project."""
    return access.has_perm_in_any_project(context["user"], permission)
