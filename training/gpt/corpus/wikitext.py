"""WikiText by name: a local copy in one of its published layouts, else from the hub."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path

from training.gpt.errors import InputError

NAMES = ("wikitext-2", "wikitext-103", "wikitext-2-raw", "wikitext-103-raw")
HUB = "Salesforce/wikitext"

# " = Title = " heads an article, " = = Section = = " a section of it.
_TITLE = re.compile(r"\s*= (?!=).*(?<!=) =\s*")


def find_or_download(name: str, raw: Path) -> Path:
    """The folder or archive under ``raw`` with the data set ``name``; downloaded from the hub if there is
    none.

    Recognises the names of the first publication (``wikitext-2``, with ``wiki.train.tokens`` in it), of the
    archives it came in and of the folders on the hub (``wikitext-2-v1``, with Parquet files in it).
    """
    for place in (name, f"{name}-v1", f"{name}.zip", f"{name}-v1.zip", f"wikitext/{name}-v1"):
        if (raw / place).exists():
            return raw / place
    return _download(name, raw)


def is_title(line: str) -> bool:
    """Whether a line has the form of the heading of an article."""
    return _TITLE.fullmatch(line) is not None


def join_articles(lines: Iterable[str]) -> Iterator[str]:
    """Join lines into articles, which begin at a top-level heading between blank lines."""
    article: list[str] = []
    before = ""
    for line, after in pairwise(chain(lines, [""])):
        # Tables hold lines that look like headings, but no blank ones around them.
        if is_title(line) and not before.strip() and not after.strip():
            yield "\n".join(article)
            article = []
        article.append(line if line.strip() else "")
        before = line
    yield "\n".join(article)


def _download(name: str, raw: Path) -> Path:
    """Download a data set from the hub into ``raw``, so that the next time needs no network."""
    try:
        import datasets
        from huggingface_hub import HfApi

        # A quick check first: the download itself would retry for half a minute before failing.
        HfApi().dataset_info(HUB, timeout=10)
        partial = raw / f".{name}.{os.getpid()}"
        try:
            loaded = datasets.load_dataset(HUB, f"{name}-v1", cache_dir=str(partial / "cache"))
            loaded.save_to_disk(str(partial / name))
            if not (raw / name).exists():  # not downloaded by another process in the meantime
                (partial / name).rename(raw / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except Exception as error:
        # Whichever network layer failed, the remedy is the same.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{name}: there is no copy at {raw / name}, and none can be had from the hub ({reason});"
            " put the published files there, or give their folder as the source"
        ) from error
    return raw / name
