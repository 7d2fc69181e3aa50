"""Text to learn from: found, cut into documents, split, and stored as token shards."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from training.gpt.config import CorpusConfig
from training.gpt.errors import InputError
from training.gpt.stories import write_stories
from training.gpt.tokenizer import Tokenizer

SplitName = Literal["train", "validation", "test"]
Tokens = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

_TEXT_SUFFIXES = {".txt", ".text", ".md"}
_TENTHS: tuple[SplitName, ...] = ("train",) * 8 + ("validation", "test")


def read_documents(config: CorpusConfig) -> Iterator[str]:
    """Every document of a corpus, stripped, without empty ones; ``InputError`` if there is none at all."""
    if config.source == "stories":
        return iter(write_stories(config.stories, config.seed))
    try:
        codecs.lookup(config.encoding)
    except LookupError:
        raise InputError(f"encoding: {config.encoding!r} is unknown; try utf-8 or latin-1") from None
    documents = _read_files(find_files(config.source), config)
    first = next(documents, None)
    if first is None:
        raise InputError(
            f"{config.source}: holds no text; give a file or folder with something to learn from"
        )
    return chain([first], documents)


def find_files(source: str) -> list[Path]:
    """The files named by ``source`` (paths joined by commas); of a folder, its text files, however deep."""
    files = []
    for name in filter(None, (part.strip() for part in source.split(","))):
        path = Path(name)
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in _TEXT_SUFFIXES)
            if not inside:
                raise InputError(f"{path}: holds no .txt or .md file; name the files themselves")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise InputError(f"{path}: no such file or folder; the built-in corpus is called 'stories'")
    return files


def read_text(path: Path, encoding: str) -> str:
    """A whole file with plain line ends; a byte that is not ``encoding`` raises ``InputError``."""
    try:
        text = path.read_bytes().decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.object[error.start]:#04x} at offset {error.start} is not {encoding};"
            " give the file's encoding, such as latin-1"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def cut(text: str, documents: str) -> Iterator[str]:
    """Cut a file's text into documents: ``line``, ``paragraph`` (between blank lines), ``file``, or ``auto``.

    ``auto`` takes paragraphs where at least one line in twenty is blank, else lines.
    """
    # Not splitlines(): Latin-1 text has bytes (such as 0x85) that it takes for line ends.
    lines = text.strip().split("\n")
    if documents == "auto":
        blank = sum(not line.strip() for line in lines)
        documents = "paragraph" if blank * 20 >= len(lines) else "line"
    if documents == "line":
        pieces: Iterable[str] = lines
    elif documents == "paragraph":
        pieces = re.split(r"\n\s*\n", text)
    else:
        pieces = [text]
    return filter(None, (piece.strip() for piece in pieces))


def split_of(text: str, seed: int) -> SplitName:
    """The split a document belongs to, by its content alone: equal documents can never be in two splits."""
    digest = blake2b(text.encode(), digest_size=8, key=str(seed).encode()).digest()
    return _TENTHS[int.from_bytes(digest) % 10]


@dataclass(frozen=True)
class Splits:
    """Documents to learn from, to choose by, and to judge by."""

    train: list[str] = field(default_factory=list)
    validation: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)


def split_documents(documents: Iterable[str], *, seed: int) -> Splits:
    """Split 80/10/10 by document; the same seed and documents give the same splits, in any order."""
    splits = Splits()
    for document in documents:
        getattr(splits, split_of(document, seed)).append(document)
    return splits


@dataclass(frozen=True)
class TokenizedSplit:
    """The tokens of one split: ``<|endoftext|>`` first, and again after each document."""

    tokens: Tokens  # memory-mapped
    documents: int
    text_bytes: int  # in UTF-8, for bits per byte


@dataclass(frozen=True)
class Shards:
    """A tokenised corpus on disk."""

    train: TokenizedSplit
    validation: TokenizedSplit
    test: TokenizedSplit


def prepare(splits: Splits, tokenizer: Tokenizer, folder: Path) -> Shards:
    """Tokenise each split into ``folder``; ``InputError`` if none is left to learn from or to validate on."""
    named = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    for name in ("train", "validation"):
        if not named[name]:
            raise InputError(
                f"corpus: none of its {sum(map(len, named.values()))} documents fell to the {name} split;"
                " give more text, or cut it into smaller documents (documents: line)"
            )
    folder.mkdir(parents=True, exist_ok=True)
    kind = "uint16" if tokenizer.vocab_size <= 2**16 else "uint32"
    sizes = {
        name: _write(documents, tokenizer, folder / f"{name}.bin", kind) for name, documents in named.items()
    }
    summary = {"dtype": kind, "vocab_size": tokenizer.vocab_size, "splits": sizes}
    (folder / "corpus.json").write_text(json.dumps(summary, indent=2) + "\n")
    return load_shards(folder)


def load_shards(folder: Path) -> Shards:
    """Open what ``prepare`` wrote."""
    try:
        summary = json.loads((folder / "corpus.json").read_text())
    except FileNotFoundError:
        raise InputError(f"{folder}: holds no prepared corpus; prepare it first") from None

    def load(name: SplitName) -> TokenizedSplit:
        tokens = np.memmap(folder / f"{name}.bin", dtype=summary["dtype"], mode="r")
        return TokenizedSplit(tokens=tokens, **summary["splits"][name])

    return Shards(train=load("train"), validation=load("validation"), test=load("test"))


def _read_files(files: Sequence[Path], config: CorpusConfig) -> Iterator[str]:
    documents = config.documents
    if documents == "auto" and len(files) >= 10:
        documents = "file"
    for path in files:
        yield from cut(read_text(path, config.encoding), documents)


def _write(documents: list[str], tokenizer: Tokenizer, path: Path, dtype: str) -> dict[str, int]:
    with path.open("wb") as shard:
        np.array([tokenizer.eos_id], dtype=dtype).tofile(shard)
        for first in range(0, len(documents), 1000):
            for ids in tokenizer.encode_batch(documents[first : first + 1000]):
                np.array([*ids, tokenizer.eos_id], dtype=dtype).tofile(shard)
    return {"documents": len(documents), "text_bytes": sum(len(document.encode()) for document in documents)}
