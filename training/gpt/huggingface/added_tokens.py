"""Tokens that were added to a vocabulary later.

They stand in ``tokenizer.json``, in ``added_tokens.json`` (older folders), in the ``added_tokens_decoder`` of
``tokenizer_config.json``, or in several of these, which must agree.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from training.gpt.errors import InputError

_FLAGS = ("lstrip", "rstrip", "single_word", "normalized")


def add_tokens(backend: Backend, folder: Path, named: Mapping[str, Any]) -> Backend:
    """The vocabulary with the tokens that are in the files beside ``tokenizer.json`` alone.

    ``named`` is the content of ``tokenizer_config.json`` and what is like it. Raises ``InputError`` naming
    the token that another has the id of, or that leaves a gap before it.
    """
    special = _special(named)
    for number, (token, path) in sorted(_stored(folder, named).items()):
        known = backend.token_to_id(token.content)
        if known == number:
            continue
        if known is not None or backend.id_to_token(number) is not None:
            what = f"is {known}" if known is not None else f"is that of {backend.id_to_token(number)!r}"
            raise InputError(
                f"{path}: the id {number} of {token.content!r} {what} in the vocabulary; take the tokenizer"
                " that belongs to the model"
            )
        token.special = token.special or token.content in special
        backend.add_tokens([token])
        if backend.token_to_id(token.content) != number:
            raise InputError(
                f"{path}: {token.content!r} has the id {number}, but the next free one is"
                f" {backend.token_to_id(token.content)}; copy the tokenizer again"
            )
    return backend


def drop_pad(backend: Backend, folder: Path, named: Mapping[str, Any], *, rows: Any) -> Backend:
    """The vocabulary without its padding token, if that alone lies beyond the ``rows`` of the embedding.

    It was added to the tokenizer and the model never resized. Masks tell what is padding, so no model reads
    it. Raises ``InputError`` naming another added token that the model does not embed.
    """
    added = backend.get_added_tokens_decoder()
    beyond = {number: token for number, token in added.items() if type(rows) is int and number >= rows}
    pad = spelling(named.get("pad_token"))
    if not beyond or min(beyond) < len(backend.get_vocab(with_added_tokens=False)):
        return backend  # nothing to drop, or another vocabulary, which check_vocabulary refuses
    for number, token in beyond.items():
        if token.content != pad or pad in {spelling(named.get(f"{role}_token")) for role in ("eos", "bos")}:
            raise InputError(
                f"{folder}: the token {token.content!r} has the id {number}, but the model embeds {rows}"
                " tokens; take the tokenizer that belongs to the model, or let transformers widen it:"
                " model.resize_token_embeddings(len(tokenizer))"
            )
    content = json.loads(backend.to_str())
    content["added_tokens"] = [each for each in content["added_tokens"] if each["id"] not in beyond]
    return Backend.from_str(json.dumps(content))


def spelling(token: Any) -> str | None:
    """The text of a special token, written as its text or as an object that holds it."""
    text = token.get("content") if isinstance(token, Mapping) else token
    return text if isinstance(text, str) else None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); copy the model again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object; copy the model again")
    return content


def _stored(folder: Path, named: Mapping[str, Any]) -> dict[int, tuple[AddedToken, Path]]:
    """The added tokens by id, and the file that says so."""
    found: dict[int, tuple[AddedToken, Path]] = {}
    path = folder / "tokenizer_config.json"
    decoder = named.get("added_tokens_decoder") or {}
    for number, values in decoder.items() if isinstance(decoder, Mapping) else ():
        text = spelling(values)
        if text is None or not str(number).isdecimal():
            raise InputError(f"{path}: added_tokens_decoder: {number!r} is not the id of a token")
        flags = {name: values[name] for name in _FLAGS if isinstance(values.get(name), bool)}
        found[int(number)] = (AddedToken(text, special=bool(values.get("special")), **flags), path)
    path = folder / "added_tokens.json"
    for text, number in read_json(path).items():
        if type(number) is not int or number < 0:
            raise InputError(f"{path}: {number!r} is not the id of a token")
        other = found.get(number)
        if other is not None and other[0].content != text:
            raise InputError(
                f"{path}: the id {number} is that of {text!r}, but in {other[1].name} that of"
                f" {other[0].content!r}; copy the tokenizer again"
            )
        found.setdefault(number, (AddedToken(text, normalized=False), path))
    return found


def _special(named: Mapping[str, Any]) -> set[str | None]:
    """The texts of the tokens that are named by a role, and so special."""
    values = [value for name, value in named.items() if name.endswith("_token")]
    more = named.get("additional_special_tokens") or named.get("extra_special_tokens")
    values += more.values() if isinstance(more, Mapping) else more if isinstance(more, list) else []
    return {spelling(value) for value in values}
