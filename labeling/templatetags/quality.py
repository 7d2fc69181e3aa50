"""Numbers as the pages of quality print them."""

from django import template

from labeling.quality import charts

register = template.Library()


@register.filter
def percent(share: float | str | None) -> str:
    """A share from 0 to 1; a dash for nothing."""
    return "–" if share is None or share == "" else charts.percent(float(share))


@register.filter
def seconds(value: float) -> str:
    """A time."""
    return charts.seconds(value)


@register.filter
def whole(value: float) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,.0f}"
