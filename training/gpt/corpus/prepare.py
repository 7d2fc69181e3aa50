"""Preparing a corpus for training: read, clean, split, tokenise, and cache the result."""

import errno
import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from training.gpt.chat_template import PLAIN_TEMPLATE
from training.gpt.config import CorpusConfig, TokenizerConfig
from training.gpt.corpus.corpus_reader import CorpusReader, OnProgress
from training.gpt.corpus.shards import Shards, Spool, TokenizedSplit, open_shards, open_split, write_shards
from training.gpt.corpus.sources import find_files
from training.gpt.corpus.splits import SPLITS, DocumentPart
from training.gpt.errors import InputError
from training.gpt.tokenizer import Tokenizer, write_plain_conversation

FORMAT = 1
"""The version of prepared corpora; those of another version are prepared again."""

ALL = "all"
"""The name of the part that is the full corpus."""


@dataclass(frozen=True, kw_only=True)
class PreparedCorpus:
    """A corpus that is ready for training."""

    tokenizer: Tokenizer
    shards: Shards
    summary: dict[str, Any]  # the content of its corpus.json
    folder: Path
    reused: bool  # whether it was already prepared


def no_progress(what: str, share: float) -> None:
    """The ``on_progress`` of a caller that shows no progress."""


def prepare(
    corpus: CorpusConfig,
    tokenizer: TokenizerConfig | Tokenizer,
    home: Path,
    *,
    on_progress: OnProgress = no_progress,
) -> PreparedCorpus:
    """Split and tokenise a corpus into a folder of its own under ``home``, or reuse it if it is there.

    ``tokenizer`` is a tokenizer, or the options to train one on the training split; of conversations, one
    with a chat template, or it gets the plain one. The folder's name
    contains a fingerprint of everything that affects its content, so any change makes a new folder. Texts are
    streamed through a file. Several processes may prepare the same corpus, and any of them may be killed: a
    folder appears complete or not at all. Raises ``InputError`` for a corpus that cannot be read or has too
    few documents to split.
    """
    preparation = _Preparation(corpus, tokenizer, home, SPLITS, on_progress)
    folder, summary, reused = preparation.run()
    if isinstance(tokenizer, TokenizerConfig):
        tokenizer = Tokenizer.load(folder / "tokenizer.json")
        if corpus.chat:
            tokenizer = tokenizer.with_chat(always=True, template=tokenizer.plain_chat_template())
    return PreparedCorpus(
        tokenizer=tokenizer,
        shards=open_shards(folder, summary),
        summary=summary,
        folder=folder,
        reused=reused,
    )


def tokenize(
    corpus: CorpusConfig,
    tokenizer: Tokenizer,
    home: Path,
    *,
    part: str,
    on_progress: OnProgress = no_progress,
) -> TokenizedSplit:
    """One split of a corpus, or ``ALL`` of it, as tokens; cached under ``home`` like ``prepare``."""
    folder, summary, _ = _Preparation(corpus, tokenizer, home, (part,), on_progress).run()
    return open_split(folder, summary, part)


@dataclass
class _Preparation:
    """The preparation of one corpus, from files to shards."""

    corpus: CorpusConfig
    tokenizer: TokenizerConfig | Tokenizer
    home: Path
    names: tuple[str, ...]  # of the splits to tokenise, or ALL
    on_progress: OnProgress

    def __post_init__(self) -> None:
        found = find_files(self.corpus.source, self.home / "raw")
        self.reading = CorpusReader.for_splits(
            self.corpus,
            found,
            wanted=SPLITS if ALL in self.names else self.names,
            write_conversation=write_plain_conversation
            if isinstance(self.tokenizer, TokenizerConfig)
            else self.tokenizer.write_conversation,
        )

    def fingerprint(self) -> str:
        """A name for the result that changes whenever the result might."""
        tokenizer = self.tokenizer
        corpus = asdict(replace(self.corpus, source="-"))
        # Corpora without conversations keep the names they had before there were any.
        corpus |= {"chat": PLAIN_TEMPLATE} if corpus.pop("chat") else {}
        what = {
            "format": FORMAT,
            "corpus": corpus,
            "tokenizer": asdict(tokenizer)
            if isinstance(tokenizer, TokenizerConfig)
            else tokenizer.fingerprint,
            "names": self.names,
            "files": [file.fingerprint() for file in self.reading.files],
        }
        digest = blake2b(json.dumps(what).encode(), digest_size=8).hexdigest()
        name = re.sub(r"[^a-z0-9]+", "-", Path(self.corpus.source.partition(",")[0]).stem.lower()).strip("-")
        return f"{name[:40] or 'corpus'}-{digest}"

    def run(self) -> tuple[Path, dict[str, Any], bool]:
        """The folder, its summary, and whether it was already there."""
        folder = self.home / self.fingerprint()
        if (summary := _summary(folder)) is not None:
            return folder, summary, True
        with _exclusive_folder(self.home / f".{folder.name}.partial", self.on_progress) as place:
            if (summary := _summary(folder)) is not None:  # made by another process in the meantime
                return folder, summary, True
            shutil.rmtree(folder, ignore_errors=True)  # damaged: a complete one has a summary
            try:
                summary = self.build(place)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise InputError(
                    f"{self.home}: the disk is full; preparing a corpus takes up to three times the size of"
                    " its text, and folders of corpora that are no longer needed may be deleted"
                ) from None
            place.rename(folder)
        return folder, summary, False

    def build(self, place: Path) -> dict[str, Any]:
        """Fill an empty folder; give the content of its ``corpus.json``."""
        started = time.monotonic()
        reading = self.reading
        with Spool(place / "documents.spool") as spool:
            reading.read(spool, self.on_progress)
            split = without_splitting if ALL in self.names else reading.splitter(spool)
            tokenizer = self.tokenizer
            if isinstance(tokenizer, TokenizerConfig):
                parts = split(self.report_progress(spool, "building the vocabulary"))
                learned = (part.text for name, part in parts if name == "train")
                share = tokenizer.vocabulary_megabytes * 1_000_000 / spool.bytes
                tokenizer = Tokenizer.train(sample_evenly(learned, share or 1.0), tokenizer)
                tokenizer.save(place / "tokenizer.json")
            parts = split(self.report_progress(spool, "tokenizing"))
            wanted = ((name, part) for name, part in parts if name in self.names)
            summary = write_shards(wanted, tokenizer, place, names=self.names, chat=self.corpus.chat)
        self.check(summary)
        summary = {
            "source": self.corpus.source,
            "documents": reading.documents,
            "dropped_short": reading.dropped_short,
            "dropped_repeated": reading.dropped_duplicates,
            "notes": reading.notes,
            "vocab_size": tokenizer.vocab_size,
            **summary,
            "seconds": round(time.monotonic() - started, 1),
        }
        (place / "corpus.json").write_text(json.dumps(summary, indent=2) + "\n")
        return summary

    def report_progress(self, spool: Spool, what: str) -> Iterator[DocumentPart]:
        """The spool's parts, with progress reports."""
        done = 0
        for part in spool:
            yield part
            done += len(part.text)
            self.on_progress(what, done / spool.characters)

    def check(self, summary: dict[str, Any]) -> None:
        """Raise ``InputError`` if a required split is empty."""
        for name in self.names:
            if name != "test" and not summary["splits"][name]["documents"]:
                raise InputError(
                    f"{self.corpus.source}: none of its {self.reading.documents} documents fell to the {name}"
                    " split; give more text, cut it into smaller documents (documents: line), or change the"
                    " shares"
                )


def without_splitting(parts: Iterable[DocumentPart]) -> Iterator[tuple[str, DocumentPart]]:
    """No split: everything is in ``ALL``."""
    return ((ALL, part) for part in parts)


def sample_evenly(texts: Iterable[str], share: float) -> Iterator[str]:
    """Texts with about this share of all characters, spread evenly; always the same ones."""
    seen = taken = 0
    for text in texts:
        seen += len(text)
        if taken < share * seen:
            taken += len(text)
            yield text


def _summary(folder: Path) -> dict[str, Any] | None:
    """The summary of a prepared folder; None if it is missing or incomplete."""
    try:
        summary: dict[str, Any] = json.loads((folder / "corpus.json").read_text())
        size = np.dtype(summary["dtype"]).itemsize
        sizes = {name: split["tokens"] * size for name, split in summary["splits"].items()}
        whole = all((folder / f"{name}.bin").stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return None
    return summary if whole else None


@contextmanager
def _exclusive_folder(place: Path, on_progress: OnProgress) -> Iterator[Path]:
    """Make an empty folder for this process alone, and remove it afterwards if it is still there.

    The folder itself is locked, so that the kernel releases it however the process ends. Other processes
    wait.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    for other in place.parent.glob(".*.partial"):
        if other != place:
            _remove_abandoned(other)
    handle = None
    while handle is None:
        place.mkdir(exist_ok=True)
        handle = _lock(place)
        if handle is None:
            on_progress("waiting for another process that prepares this corpus", 0.0)
            time.sleep(0.1)
    try:
        for left in place.iterdir():
            left.unlink()
        yield place
    finally:
        if _is_still_at(handle, place):
            shutil.rmtree(place)
        os.close(handle)


def _lock(place: Path) -> int | None:
    """Lock a folder; None if another process holds it or it was moved in the meantime."""
    try:
        handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    with suppress(BlockingIOError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_still_at(handle, place):
            return handle
    os.close(handle)
    return None


def _is_still_at(handle: int, place: Path) -> bool:
    """Whether an open folder is still the one at ``place``."""
    return place.exists() and os.path.samestat(os.fstat(handle), place.stat())


def _remove_abandoned(place: Path) -> None:
    """Remove the folder of a preparation that was killed."""
    handle = _lock(place)
    if handle is not None:
        shutil.rmtree(place, ignore_errors=True)
        os.close(handle)
