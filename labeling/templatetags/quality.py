"""Filters that format numbers on the quality pages."""

from django import template

from labeling.quality import charts

register = template.Library()


@register.filter
def percent(value: float | str | None) -> str:
    """A proportion from 0 to 1 in percent; a dash for None or an empty string."""
    return "–" if value is None or value == "" else charts.format_percent(float(value))


@register.filter
def seconds(value: float) -> str:
    """A time in seconds with its unit."""
    return charts.format_seconds(value)


@register.filter
def integer(value: float) -> str:
    """A whole number with thousands separators: 1,234."""
    return f"{value:,.0f}"
