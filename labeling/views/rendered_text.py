"""Prompts and samples as the pages show them: in the project's text format, conversations as turns."""

from collections.abc import Sequence
from typing import NamedTuple

from django.utils.html import escape

from labeling.markdown import render_sample
from labeling.models import Project, Prompt
from training.formats.messages import Message, completion_content

ROLE_NAMES = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}


class RenderedText(NamedTuple):
    """A text and its HTML."""

    text: str
    html: str


class Turn(NamedTuple):
    """One message of a conversation."""

    role: str
    name: str
    """Who speaks, as shown above the text."""
    content: RenderedText


class RenderedPrompt(NamedTuple):
    """A prompt: a text, or a conversation as turns."""

    text: str
    html: str
    turns: Sequence[Turn] = ()


def render_text(text: str, project: Project) -> RenderedText:
    """A text in the project's text format."""
    is_markdown = project.text_format == Project.TextFormat.MARKDOWN
    return RenderedText(text, render_sample(text) if is_markdown else escape(text))


def render_prompt(prompt: Prompt, project: Project) -> RenderedPrompt:
    """A prompt in the project's text format, a conversation as turns."""
    turns = tuple(_render_turn(message, project) for message in prompt.messages or ())
    return RenderedPrompt(*render_text(prompt.text, project), turns)


def render_completion(text: str, project: Project) -> RenderedText:
    """A sample's text in the project's text format, without the space that joins it to its prompt, which
    would look like an indent."""
    return render_text(completion_content(text), project)


def _render_turn(message: Message, project: Project) -> Turn:
    role, content = message["role"], message["content"]
    # What a tool returns is data, often JSON, not Markdown.
    shown = RenderedText(content, escape(content)) if role == "tool" else render_text(content, project)
    return Turn(role, ROLE_NAMES[role], shown)
