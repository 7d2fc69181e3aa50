"""Chat templates: how the messages of a conversation are written as the text that a model reads.

A template is a Jinja program that was published with a model, so it is not trusted: it runs in Jinja's
sandbox, and what fails or tries to leave the sandbox is an `InputError`. The environment is that of
`transformers` (`apply_chat_template`), with its options, functions and the `{% generation %}` tag.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from training.formats.messages import Message
from training.gpt.errors import InputError

PLAIN_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- if message.role == 'assistant' %}"
    "{{- '\n\nAssistant:' }}"
    "{%- generation %}{{- ' ' + message.content + eos_token }}{%- endgeneration %}"
    "{%- elif message.role == 'system' and loop.first %}"
    "{{- message.content }}"
    "{%- else %}"
    "{{- '\n\n' + {'user': 'Human', 'system': 'System', 'tool': 'Tool'}[message.role] + ': ' }}"
    "{{- message.content }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '\n\nAssistant:' }}{%- endif %}"
)
r"""The template of models that are trained here: the turns `\n\nHuman: ` and `\n\nAssistant: ` of plain
text, with the token that ends a text after each turn of the assistant. It needs no tokens of its own."""

# Noncharacters of Unicode, which no text holds: they mark places in a rendered text, and are taken out.
_BEGIN_GENERATION, _END_GENERATION, GUARD = "\ufdd0", "\ufdd1", "\ufdd2"
_UNMARKED = str.maketrans("", "", _BEGIN_GENERATION + _END_GENERATION + GUARD)


class Rendered(NamedTuple):
    """A conversation as text; `generated` are the places of what the `{% generation %}` tag encloses.

    In contents that spell a special token, a `GUARD` stands within it, so that it is not read as one.
    """

    text: str
    generated: list[tuple[int, int]]


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template, and the special tokens that it may name, such as `bos_token`, by name."""

    source: str
    tokens: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise InputError for a template that cannot be read, or fails for one question and its answer."""
        self.render([{"role": "user", "content": "?"}], add_generation_prompt=True)
        self.render([{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}])

    def __hash__(self) -> int:
        return hash((self.source, *sorted(self.tokens.items())))

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        guarded: Sequence[str] = (),
    ) -> Rendered:
        """The text of a conversation; with a generation prompt, the assistant is to speak next.

        Contents in which a text of `guarded` is spelled get a `GUARD` there. Raises InputError with what the
        template says is wrong with the conversation, or with what is wrong with the template.
        """
        if not messages:
            raise InputError("chat template: the conversation is empty; give at least one message")
        plain = [
            {"role": str(message["role"]), "content": guard(message["content"], guarded)}
            for message in messages
        ]
        try:
            text = _compile(self.source).render(
                messages=plain,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self.tokens,
            )
        except SecurityError as error:
            raise InputError(f"chat template: tries to leave its sandbox ({error}); do not use it") from None
        except TemplateError as error:
            raise InputError(f"chat template: {error.message or type(error).__name__}") from None
        except Exception as error:  # noqa: BLE001 - a template may raise anything that Python can
            raise InputError(f"chat template: fails ({type(error).__name__}: {error})") from None
        return _find_generated(text)


def guard(content: str, guarded: Sequence[str]) -> str:
    """A content with a `GUARD` inside each of the special tokens that it spells."""
    content = content.translate(_UNMARKED)
    for token in guarded:
        content = content.replace(token, token[:1] + GUARD + token[1:])
    return content


def _find_generated(text: str) -> Rendered:
    """Take the marks of generated parts out of a text."""
    parts: list[str] = []
    found: list[tuple[int, int]] = []
    begin: int | None = None
    length = 0
    for piece in text.replace(_END_GENERATION, _BEGIN_GENERATION + _END_GENERATION).split(_BEGIN_GENERATION):
        if piece.startswith(_END_GENERATION):
            piece = piece[1:]  # noqa: PLW2901
            if begin is not None and begin < length:
                found.append((begin, length))
            begin = None
        elif parts:
            begin = length
        parts.append(piece)
        length += len(piece)
    return Rendered("".join(parts), found)


@cache
def _compile(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals = {
        **environment.globals,
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "dict": _Dict(),
        "namespace": _Namespace,
    }
    return environment.from_string(source)


class _Generation(Extension):
    """The tag `{% generation %}`, which encloses what the assistant generates."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Macro) -> str:
        return f"{_BEGIN_GENERATION}{caller()}{_END_GENERATION}"


class _Dict:
    """The function `dict` of templates, without the attributes of the type."""

    def __call__(self, *args: Any, **values: Any) -> dict[Any, Any]:
        return dict(*args, **values)


class _Namespace(Namespace):
    """Jinja's namespace, without names that lead to the inside of Python."""

    def __init__(self, /, *args: Any, **values: Any) -> None:
        for name in dict(*args, **values):
            _check_name(name)
        super().__init__(*args, **values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold {name!r}")


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005 - local time, as in transformers


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
