"""A corpus on disk: the spool of its documents, and the token shards that models are trained on."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from training.gpt.corpus.splits import SPLITS, DocumentPart, SplitName
from training.gpt.tokenizer import Tokenizer

Tokens = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

MAX_PIECE_CHARACTERS = 2**16  # long documents are cut, so that memory does not depend on their length
_DIGEST_TOKENS = 2**22  # read at once
_BATCH_CHARACTERS = 2**19  # tokenised together: enough for all cores, with little memory


_new_digest = partial(blake2b, digest_size=16)


@dataclass(frozen=True)
class TokenizedSplit:
    """The tokens of one split: the token that begins a text, then each document with the one that ends it."""

    tokens: Tokens  # memory-mapped
    documents: int
    text_bytes: int  # in UTF-8, for bits per byte
    # Where each document begins, at the token that begins it; None if that token is in no document.
    starts: npt.NDArray[np.uint64] | None = None
    stored_digest: str = ""  # made while the tokens were written; older corpora have none

    def digest(self) -> str:
        """A digest of all tokens."""
        if self.stored_digest:
            return self.stored_digest
        digest = _new_digest()
        for start in range(0, len(self.tokens), _DIGEST_TOKENS):
            digest.update(self.tokens[start : start + _DIGEST_TOKENS].tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Shards:
    """A tokenised corpus on disk."""

    train: TokenizedSplit
    validation: TokenizedSplit
    test: TokenizedSplit

    def digest(self) -> str:
        """A digest of all that a training reads: every token, and what is known of the texts."""
        digest = _new_digest()
        for split in (self.train, self.validation):
            known = f"{split.tokens.dtype} {len(split.tokens)} {split.documents} {split.text_bytes}"
            digest.update(f"{known} {split.digest()}\n".encode())
            digest.update(b"" if split.starts is None else split.starts.tobytes())
        return digest.hexdigest()


def split_into_pieces(texts: Iterable[str]) -> Iterator[str]:
    """A text that comes in pieces of any size, in pieces of at most ``MAX_PIECE_CHARACTERS`` characters.

    They end before a line end if there is one: no token spans a letter and a following line end.
    """
    rest = ""
    for text in texts:
        rest += text
        while len(rest) > MAX_PIECE_CHARACTERS:
            end = rest.rfind("\n", 1, MAX_PIECE_CHARACTERS)
            end = end if end > 0 else MAX_PIECE_CHARACTERS
            yield rest[:end]
            rest = rest[end:]
    if rest:
        yield rest


class Spool:
    """A temporary file of documents to be split: written once and streamed as often as needed.

    A context manager that deletes the file at its end.
    """

    _HEAD = struct.Struct("<QbbI")  # key, index in SPLITS (-1: none), whether it ends a document, bytes

    def __init__(self, path: Path) -> None:
        self.path = path
        self.characters = 0
        self.bytes = 0
        self._file: IO[bytes] = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self.path.unlink()

    def add(self, texts: Iterable[str], *, key: int = 0, split: SplitName | None = None) -> None:
        """Add one document, which may come in pieces."""
        number = -1 if split is None else SPLITS.index(split)
        before: str | None = None
        for piece in split_into_pieces(texts):
            if before is not None:
                self._write(before, key, number, ends=False)
            before = piece
        if before is not None:
            self._write(before, key, number, ends=True)

    def _write(self, text: str, key: int, split: int, *, ends: bool) -> None:
        encoded = text.encode()
        self._file.write(self._HEAD.pack(key, split, ends, len(encoded)) + encoded)
        self.characters += len(text)
        self.bytes += len(encoded)

    def __iter__(self) -> Iterator[DocumentPart]:
        self._file.flush()
        with self.path.open("rb") as file:
            while head := file.read(self._HEAD.size):
                key, split, ends, size = self._HEAD.unpack(head)
                text = file.read(size).decode()
                yield DocumentPart(text, key, None if split < 0 else SPLITS[split], bool(ends))


def write_shards(
    parts: Iterable[tuple[str, DocumentPart]],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    names: Sequence[str] = SPLITS,
    chat: bool = False,
) -> dict[str, Any]:
    """Tokenise documents into ``folder``, one shard for each of ``names``, in their order.

    With ``chat`` they are conversations as their template writes them, and may spell special tokens.

    Gives what ``open_split`` needs (``dtype``, and ``splits`` with the counts of each), ``longest_document``
    in tokens, and ``unknown_rate``, the share of tokens that stand for something not in the vocabulary.
    """
    dtype = "uint16" if tokenizer.vocab_size <= 2**16 else "uint32"
    with ExitStack() as stack:
        shards = {
            name: _Shard(stack.enter_context((folder / f"{name}.bin").open("wb")), tokenizer, dtype)
            for name in names
        }
        for some in _batches(parts):
            texts = [part.text for _, part in some]
            encoded = tokenizer.encode_conversations(texts) if chat else tokenizer.encode_batch(texts)
            for (name, part), ids in zip(some, encoded, strict=True):
                shards[name].add(part, ids)
    for name, shard in shards.items() if chat else ():
        np.array(shard.starts, dtype=np.uint64).tofile(folder / f"{name}.starts")
    words = sum(shard.words for shard in shards.values())
    return {
        "dtype": dtype,
        "longest_document": max(shard.longest for shard in shards.values()),
        "unknown_rate": sum(shard.unknown for shard in shards.values()) / max(words, 1),
        "splits": {
            name: {
                "documents": shard.documents,
                "tokens": shard.tokens,
                "text_bytes": shard.text_bytes,
                "digest": shard.digest.hexdigest(),
            }
            for name, shard in shards.items()
        },
    }


def open_split(folder: Path, summary: dict[str, Any], name: str) -> TokenizedSplit:
    """Memory-map one of the shards that ``write_shards`` wrote."""
    held = summary["splits"][name]
    tokens = np.memmap(folder / f"{name}.bin", dtype=summary["dtype"], mode="r")
    path = folder / f"{name}.starts"
    starts = np.fromfile(path, dtype=np.uint64) if path.exists() else None
    return TokenizedSplit(
        tokens=tokens,
        documents=held["documents"],
        text_bytes=held["text_bytes"],
        starts=starts,
        stored_digest=held.get("digest", ""),
    )


def open_shards(folder: Path, summary: dict[str, Any]) -> Shards:
    """Memory-map all three splits."""
    train, validation, test = (open_split(folder, summary, name) for name in SPLITS)
    return Shards(train=train, validation=validation, test=test)


def _batches(parts: Iterable[tuple[str, DocumentPart]]) -> Iterator[list[tuple[str, DocumentPart]]]:
    some: list[tuple[str, DocumentPart]] = []
    characters = 0
    for name, part in parts:
        some.append((name, part))
        characters += len(part.text)
        if characters >= _BATCH_CHARACTERS:
            yield some
            some, characters = [], 0
    if some:
        yield some


class _Shard:
    """Writes the tokens of one split and counts them."""

    def __init__(self, file: IO[bytes], tokenizer: Tokenizer, dtype: str) -> None:
        self.tokens = self.documents = self.text_bytes = self.words = self.unknown = self.longest = 0
        self._file, self._dtype, self._tokenizer = file, dtype, tokenizer
        self.digest = _new_digest()
        self.starts: list[int] = []
        self._length = 0  # of the document that is open
        self._open = False
        self._write([tokenizer.bos_id])

    def add(self, part: DocumentPart, ids: list[int]) -> None:
        begin, end = self._tokenizer.bos_id, self._tokenizer.eos_id
        # A conversation may bring the tokens that stand around every document.
        ids = ids[1:] if not self._open and ids[:1] == [begin] else ids
        ids = ids[:-1] if part.ends and ids[-1:] == [end] else ids
        if not self._open:
            self.documents += 1
            self._length = 0
            # If one token both ends and begins texts, it stands between two of them once.
            if self.documents > 1 and begin != end:
                self._write([begin])
            self.starts.append(self.tokens - 1)
        self._open = not part.ends
        unknown = self._tokenizer.unknown_id
        self.unknown += 0 if unknown is None else ids.count(unknown)
        self.words += len(ids)
        self.text_bytes += len(part.text.encode())
        self._length += len(ids)
        self.longest = max(self.longest, self._length)
        self._write([*ids, end] if part.ends else ids)

    def _write(self, ids: list[int]) -> None:
        written = np.array(ids, dtype=self._dtype).tobytes()
        self._file.write(written)
        self.digest.update(written)
        self.tokens += len(ids)
