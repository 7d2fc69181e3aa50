"""Markdown of people and models we do not know, as HTML that is safe to show."""

from collections.abc import Sequence

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

# Pictures from elsewhere would be refused by the page's policy and tell others who reads.
TAGS = nh3.ALLOWED_TAGS - {"img"}
ATTRIBUTES = {**nh3.ALLOWED_ATTRIBUTES, "*": {"dir", "lang", "title"}}
PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
# Models break lines where they mean it.
SAMPLE_PARSER = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
SAMPLE_PARSER.disable("image")

HEADINGS_BELOW = 2
"""The page's own headings: those of a text stand below them."""


def render(text: str) -> SafeString:
    """Guidelines and explanations as sanitised HTML."""
    return _clean(PARSER, PARSER.parse(text))


def render_sample(text: str) -> SafeString:
    """A prompt or a sample as sanitised HTML.

    Links lead nowhere (their address is shown on pointing at them, and in the source) and pictures are not
    shown; a heading is one of the page's lower headings, and every block is written in the direction of its
    own first letter.
    """
    tokens = SAMPLE_PARSER.parse(text)
    for token in tokens:
        if token.level == 0 and token.nesting == 1:
            token.attrSet("dir", "auto")
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + HEADINGS_BELOW)}"
        for part in token.children or ():
            if part.type in {"link_open", "link_close"}:
                part.tag = "span"
                part.attrs = {"title": part.attrs.get("href", "")} if part.nesting == 1 else {}
    return _clean(SAMPLE_PARSER, tokens)


def _clean(parser: MarkdownIt, tokens: Sequence[Token]) -> SafeString:
    html = parser.renderer.render(tokens, parser.options, {})
    return mark_safe(nh3.clean(html, tags=TAGS, attributes=ATTRIBUTES))  # noqa: S308 - nh3 has cleaned it
