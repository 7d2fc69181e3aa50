"""Untrusted Markdown, of people and models, rendered as safe HTML."""

from collections.abc import Sequence

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

# The content security policy blocks external images, which could also track readers.
TAGS = nh3.ALLOWED_TAGS - {"img"}
ATTRIBUTES = {**nh3.ALLOWED_ATTRIBUTES, "*": {"dir", "lang", "title"}}
PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
# Line breaks in samples are kept.
SAMPLE_PARSER = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
SAMPLE_PARSER.disable("image")

HEADING_OFFSET = 2
"""Levels by which headings in a text are lowered, below the page's own."""


def render(text: str) -> SafeString:
    """Guidelines and explanations as sanitised HTML."""
    return _sanitise(PARSER, PARSER.parse(text))


def render_sample(text: str) -> SafeString:
    """A prompt or a sample as sanitised HTML.

    Links are not clickable (their address is shown as a tooltip), images are not shown, headings are lowered
    below the page's own, and each block has the text direction of its first letter.
    """
    tokens = SAMPLE_PARSER.parse(text)
    for token in tokens:
        if token.level == 0 and token.nesting == 1:
            token.attrSet("dir", "auto")
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + HEADING_OFFSET)}"
        for part in token.children or ():
            if part.type in {"link_open", "link_close"}:
                part.tag = "span"
                part.attrs = {"title": part.attrs.get("href", "")} if part.nesting == 1 else {}
    return _sanitise(SAMPLE_PARSER, tokens)


def _sanitise(parser: MarkdownIt, tokens: Sequence[Token]) -> SafeString:
    html = parser.renderer.render(tokens, parser.options, {})
    return mark_safe(nh3.clean(html, tags=TAGS, attributes=ATTRIBUTES))  # noqa: S308 - nh3 has cleaned it
