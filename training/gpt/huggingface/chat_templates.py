"""The chat template of a model folder.

`transformers` writes it to `chat_template.jinja`; older versions to `chat_template.json`, or into
`tokenizer_config.json` as a text or a list of named ones.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.gpt.chat_template import ChatTemplate
from training.gpt.checkpoint import CHAT_TEMPLATE, read_text, write_text
from training.gpt.errors import InputError

_TOKEN_NAMES = tuple(f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))


def read_chat_template(folder: Path, named: Mapping[str, Any]) -> ChatTemplate | None:
    """The chat template of a folder, of several the default one; None if it has none.

    `named` is the content of `tokenizer_config.json` and what is like it, which also says how the special
    tokens are spelled. Raises InputError naming the file.
    """
    for path, source in (
        (folder / CHAT_TEMPLATE, _read_file(folder / CHAT_TEMPLATE)),
        (folder / "tokenizer_config.json", _choose(named.get("chat_template"), folder)),
        (folder / "chat_template.json", _read_json(folder / "chat_template.json")),
    ):
        if source is not None:
            try:
                return ChatTemplate(source, _special_tokens(named))
            except InputError as error:
                raise InputError(f"{path}: {error}; --no-chat-template imports the model without") from None
    return None


def write_chat_template(template: ChatTemplate, folder: Path) -> dict[str, str]:
    """Write the template as `transformers` does; gives the special tokens for `tokenizer_config.json`."""
    write_text(folder / CHAT_TEMPLATE, template.source)
    return dict(template.tokens)


def _special_tokens(named: Mapping[str, Any]) -> dict[str, str]:
    """The spelling of special tokens by name, written as a text or as an object that holds it."""
    values = {name: named.get(name) for name in _TOKEN_NAMES}
    texts = {
        name: value.get("content") if isinstance(value, Mapping) else value for name, value in values.items()
    }
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _read_file(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        return read_text(path)
    except (OSError, UnicodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy the model again") from None


def _read_json(path: Path) -> str | None:
    content = _read_file(path)
    if content is None:
        return None
    try:
        stored = json.loads(content)
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); copy the model again") from None
    return _choose(stored.get("chat_template") if isinstance(stored, dict) else stored, path.parent)


def _choose(stored: Any, folder: Path) -> str | None:
    """The template in what a JSON file stores: a text, or several with names."""
    if stored is None or isinstance(stored, str):
        return stored
    templates = stored
    if isinstance(stored, list) and all(isinstance(each, dict) for each in stored):
        templates = {each.get("name"): each.get("template") for each in stored}
    if isinstance(templates, dict):
        chosen = templates.get("default", next(iter(templates.values())) if len(templates) == 1 else None)
        if isinstance(chosen, str):
            return chosen
    raise InputError(
        f"{folder / 'tokenizer_config.json'}: chat_template is neither a template nor several with one named"
        " default; name one default, or import with --no-chat-template"
    )
