"""Corpora to read: what the tests of reading share."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from training.gpt.config import CorpusConfig
from training.gpt.corpus.corpus_reader import CorpusReader
from training.gpt.corpus.shards import Spool
from training.gpt.corpus.sources import find_files
from training.gpt.corpus.splits import SPLITS

DATA = Path(__file__).parents[3] / "shared" / "data" / "text"


def shared(name: str) -> Path:
    """A file of the shared test data; the test is skipped where it is not there."""
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there")
    return DATA / name


def write(path: Path, content: str | bytes) -> Path:
    """A file, its folders made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(source: object, *, raw: Path = Path("nowhere"), **options: Any) -> tuple[CorpusReader, list[str]]:
    """What a reading of a corpus came to, and its documents."""
    config = CorpusConfig(source=str(source), **options)
    reading = CorpusReader.for_splits(config, find_files(config.source, raw), wanted=SPLITS)
    with tempfile.TemporaryDirectory() as folder, Spool(Path(folder) / "spool") as spool:
        reading.read(spool, lambda what, share: None)
        texts, begun = [], ""
        for part in spool:
            begun += part.text
            if part.ends:
                texts.append(begun)
                begun = ""
    return reading, texts


def documents(source: object, **options: Any) -> list[str]:
    """The documents of a corpus, cleaned."""
    return read(source, **options)[1]
