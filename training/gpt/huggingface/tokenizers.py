"""Tokenizer files of a model folder, with the tokens that begin, end and pad a text."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from training.gpt.chat_encoder import ChatEncoder
from training.gpt.errors import InputError
from training.gpt.huggingface.added_tokens import add_tokens, drop_pad, read_json, spelling
from training.gpt.huggingface.chat_templates import read_chat_template, write_chat_template
from training.gpt.tokenizer import SpecialTokens, Tokenizer, read_backend

_CONVERT = "let transformers write it: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"

_QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def read_tokenizer(folder: Path, config: Mapping[str, Any], *, chat_template: bool = True) -> Tokenizer:
    """The tokenizer of a folder whose ``config.json`` is ``config``, with the folder's chat template.

    What ends a text is what the model was configured to stop at (``generation_config.json``, else
    ``config.json``), the tokenizer's own end first; where they name no token that is there, the tokenizer's
    own. So does the token that ends a turn in the chat template. Special tokens are marked as such, even
    where ``tokenizer.json`` forgets to.
    """
    named_tokens = _read_named(folder)
    backend = _read_vocabulary(folder, family=config["model_type"])
    backend = add_tokens(backend, folder, named_tokens)
    backend = drop_pad(backend, folder, named_tokens, rows=config.get("vocab_size"))
    template = read_chat_template(folder, named_tokens) if chat_template else None
    own = _token_ids(folder, named_tokens, backend)
    generation = read_json(folder / "generation_config.json")
    model = {**config, **{name: value for name, value in generation.items() if value is not None}}
    named = _ids(model.get("eos_token_id"), folder)
    ends = [each for each in named if backend.id_to_token(each) is not None]
    if "eos" in own and (not ends or own["eos"] in ends):
        ends = [own["eos"], *ends]
    if not ends:
        what = f"{named} is not in the tokenizer" if named else "is missing"
        raise InputError(f"{folder / 'config.json'}: eos_token_id {what}; say which token ends a text")
    _mark_special(backend, list(own.values()) or ends[:1])
    special = {each for each, token in backend.get_added_tokens_decoder().items() if token.special}
    for role in ("bos", "pad"):
        # A configuration's default may be any word: accept only special tokens.
        believed = [each for each in _ids(model.get(f"{role}_token_id"), folder) if each in special]
        if believed:
            own.setdefault(role, believed[0])
    if template is not None:
        end_of_turn = ChatEncoder(template, backend, eos_ids=ends).end_id
        ends += [] if end_of_turn is None else [end_of_turn]
    special_tokens = SpecialTokens(end=tuple(dict.fromkeys(ends)), begin=own.get("bos"), pad=own.get("pad"))
    return Tokenizer(backend, special_tokens, chat_template=template)


def write_tokenizer(tokenizer: Tokenizer, folder: Path, *, context: int) -> None:
    """Write ``tokenizer.json``, ``tokenizer_config.json``, which says what tokens are special, and the chat
    template. A template may ask whether there is such a token: those it was read with are written."""
    tokenizer.save(folder / "tokenizer.json")
    ids = {
        "bos": tokenizer.bos_id,
        "eos": tokenizer.eos_id,
        "pad": tokenizer.special.pad,
        "unk": tokenizer.unknown_id,
    }
    named = {f"{role}_token": tokenizer.token(each) for role, each in ids.items() if each is not None}
    if tokenizer.chat_template is not None:
        written = write_chat_template(tokenizer.chat_template, folder)
        named = {name: token for name, token in named.items() if name != "bos_token"} | written
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        **named,
    }
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(tokenizer_config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def special_token_ids(tokenizer: Tokenizer) -> dict[str, Any]:
    """The special tokens as ``config.json`` and ``generation_config.json`` name them."""
    ends = list(tokenizer.eos_ids)
    return {
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": ends if len(ends) > 1 else ends[0],
        "pad_token_id": tokenizer.special.pad,
    }


def has_qwen2_pretokenizer(path: Path) -> bool:
    """Whether a ``tokenizer.json`` splits text into words as Qwen2 does.

    ``transformers`` builds the tokenizer of every folder of that family by Qwen2's rules, whatever the file
    says, so another tokenizer would be read wrongly.
    """
    cut = read_json(path)
    patterns = [step.get("pattern", {}).get("Regex") for step in _steps(cut.get("pre_tokenizer"))]
    forms = [step["type"] for step in _steps(cut.get("normalizer"))]
    return _QWEN2_SPLIT in patterns and forms == ["NFC"]


def _steps(part: dict[str, Any] | None) -> list[dict[str, Any]]:
    if part is None:
        return []
    steps: list[dict[str, Any]] = part.get("pretokenizers") or part.get("normalizers") or [part]
    return steps


def _read_named(folder: Path) -> dict[str, Any]:
    """The tokenizer's configuration, with the names of its special tokens."""
    return {**read_json(folder / "special_tokens_map.json"), **read_json(folder / "tokenizer_config.json")}


def _token_ids(folder: Path, named: Mapping[str, Any], backend: Backend) -> dict[str, int]:
    """The ids of the tokens that the tokenizer's configuration names, by ``eos``, ``bos`` and ``pad``."""
    ids = {}
    for role in ("eos", "bos", "pad"):
        text = spelling(named.get(f"{role}_token"))
        found = None if text is None else backend.token_to_id(text)
        if found is not None:
            ids[role] = found
        elif text and role == "eos":
            raise InputError(
                f"{folder / 'tokenizer_config.json'}: eos_token {text!r} is not in tokenizer.json;"
                " take the tokenizer that belongs to the model"
            )
    return ids


def _mark_special(backend: Backend, ids: Sequence[int]) -> None:
    """Make the tokens special: dropped from decoded text, and never produced by encoding text."""
    texts = dict.fromkeys(filter(None, map(backend.id_to_token, ids)))
    backend.add_special_tokens([AddedToken(text, special=True) for text in texts])


def _read_vocabulary(folder: Path, *, family: str) -> Backend:
    if (folder / "tokenizer.json").is_file():
        return read_backend(folder / "tokenizer.json")
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if family == "gpt2" and vocabulary.is_file() and merges.is_file():
        return _gpt2_backend(vocabulary, merges)
    if (folder / "tokenizer.model").is_file():
        raise InputError(f"{folder / 'tokenizer.model'}: SentencePiece alone cannot be read; {_CONVERT}")
    raise InputError(f"{folder / 'tokenizer.json'}: no such file; {_CONVERT}")


def _gpt2_backend(vocabulary: Path, merges: Path) -> Backend:
    """GPT-2's tokenizer from the two files it was first published in."""
    try:
        backend = Backend(models.BPE.from_file(str(vocabulary), str(merges)))
    except Exception as error:  # the backend raises bare Exception
        raise InputError(f"{vocabulary}: not a vocabulary ({error}); copy the file again") from error
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return backend


def _ids(value: object, folder: Path) -> list[int]:
    """One id, several, or none; -1 is a way to say none."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    ids = [each for each in values if isinstance(each, int)]
    if len(ids) < len(values):
        raise InputError(f"{folder / 'config.json'}: {value!r} is not the id of a token")
    return [each for each in ids if each >= 0]
