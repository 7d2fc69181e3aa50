"""What the reader of a page may do: `{% may "labeling.review" project as reviews %}`."""

from typing import Any

from django import template

from labeling import access
from labeling.models import Project

register = template.Library()


@register.simple_tag(takes_context=True)
def may(context: dict[str, Any], right: str, project: Project | None) -> bool:
    """Whether the reader has a right in a project; of what belongs to no project, on the whole site."""
    return access.may(context["user"], right, project)


@register.simple_tag(takes_context=True)
def may_somewhere(context: dict[str, Any], right: str) -> bool:
    """Whether the reader has a right on the whole site or in a project at least."""
    return access.may_somewhere(context["user"], right)
