"""Markdown of people we do not know, as HTML that is safe to show."""

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

# Pictures from elsewhere would be refused by the page's policy and tell others who reads.
TAGS = nh3.ALLOWED_TAGS - {"img"}
PARSER = MarkdownIt("commonmark", {"html": False}).enable("table")


def render(text: str) -> SafeString:
    """The text as sanitised HTML."""
    return mark_safe(nh3.clean(PARSER.render(text), tags=TAGS))  # noqa: S308 - nh3 has cleaned it
