"""The files of a corpus: paths, folders, archives and named data sets, with their published splits."""

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Literal

from training.gpt.corpus import wikitext
from training.gpt.corpus.splits import SplitName
from training.gpt.errors import InputError

Format = Literal["stories", "text", "jsonl", "parquet", "dataset"]

STORIES = "stories"
NAMED_CORPORA = (STORIES, *wikitext.NAMES)
"""Corpora with a name of their own."""

_FORMATS: dict[str, Format] = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".tokens": "text",  # WikiText's own endings
    ".raw": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
_ABOUT_FILES = {"readme", "license", "licence", "copying", "notice"}  # files about a corpus, not part of it
_SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_SPLIT_IN_NAME = re.compile(rf"(?:^|[._-])({'|'.join(_SPLIT_NAMES)})(?:$|[._-])")
_CHUNK_BYTES = 2**18  # bytes


@dataclass(frozen=True)
class CorpusFile:
    """One file of a corpus, one member of a zip archive, or one folder that ``datasets`` saved."""

    path: Path
    format: Format
    split: SplitName | None = None  # in which it was published
    member: str = ""
    size: int = 0  # in bytes, for progress reports

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    def chunks(self, on_bytes: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
        """The unpacked content in pieces; ``on_bytes`` is called with the bytes of ``size`` that each
        took."""
        try:
            with self._opened() as (stream, position):
                before = 0
                while piece := stream.read(_CHUNK_BYTES):
                    after = position()
                    on_bytes(after - before)
                    before = after
                    yield piece
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise InputError(f"{self}: is damaged ({error}); copy or download it again") from None
        except (RuntimeError, NotImplementedError) as error:  # what zipfile raises for a password
            raise InputError(f"{self}: cannot be unpacked ({error}); unpack it yourself") from None
        except OSError as error:
            raise InputError(f"{self}: cannot be read ({error.strerror})") from None

    def fingerprint(self) -> tuple[str, ...]:
        """Values that change when the content does, found without reading it."""
        if self.format == "stories":
            return (STORIES,)
        paths = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        # The kernel sets the time of change at every write, so an altered file never looks the same.
        stats = [each.stat() for each in paths]
        marks = [(each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in stats]
        return (str(self.path.resolve()), self.member, str(self.split), *map(str, marks))

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
        if self.member:
            with _archive(self.path, self.path.stat().st_mtime_ns).open(self.member) as stream:
                yield stream, stream.tell
            return
        with self.path.open("rb") as raw:
            packed = self.path.suffix.lower() == ".gz"
            yield (io.BufferedReader(gzip.GzipFile(fileobj=raw)) if packed else raw), raw.tell


@dataclass(frozen=True)
class CorpusFiles:
    """The files of a corpus, and the files in its folders that belong to none of its published splits."""

    files: list[CorpusFile] = field(default_factory=list)
    left_out: list[CorpusFile] = field(default_factory=list)


def split_source(source: str) -> list[str]:
    """The names and paths in a comma-separated source; a path that exists may contain commas."""
    whole = source.strip()
    if Path(whole).expanduser().exists():
        return [whole]
    return [name for part in source.split(",") if (name := part.strip())]


def find_files(source: str, raw: Path) -> CorpusFiles:
    """The files that ``source`` names: 'stories', data sets by name, files and folders, joined by commas.

    A folder or zip archive stands for all readable files in it, at any depth. If their names give the split
    (``train-00000-of-00002.parquet``, ``wiki.valid.tokens``, ``test/a.txt``), and there is a train split and
    another one, those splits are kept. ``raw`` is the folder of named data sets.
    """
    found, alone = CorpusFiles(), []
    for name in split_source(source):
        path = Path(name).expanduser()
        if name == STORIES:
            found.files.append(CorpusFile(Path(STORIES), "stories", size=1000))
        elif name in wikitext.NAMES:
            _add_files(found, _files_in(wikitext.find_or_download(name, raw)), wanted=name)
        elif path.is_dir() or (path.is_file() and path.suffix.lower() == ".zip"):
            _add_files(found, _files_in(path))
        elif path.is_file():
            # A file named explicitly is read as text, whatever its extension, unless that is JSON.
            kind = file_format(path) or ("jsonl" if path.suffix.lower() == ".json" else "text")
            alone.append((path.name, CorpusFile(path, kind, size=path.stat().st_size)))
        else:
            raise InputError(
                f"{name}: no such file or folder; corpora that go by a name are {', '.join(NAMED_CORPORA)}"
            )
    _add_files(found, alone, keep_rest=True)
    return found


def file_format(path: Path) -> Format | None:
    """The format of a file by its extension, gzipped or not; None if that is unknown."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return _FORMATS.get(suffixes[-1]) if suffixes else None


def split_from_name(name: str) -> SplitName | None:
    """The split named in a file's path within its folder; the file's own name comes before its folders'."""
    for part in reversed(Path(name.lower()).parts):
        if match := _SPLIT_IN_NAME.search(part):
            return _SPLIT_NAMES[match.group(1)]
    return None


def _files_in(path: Path) -> list[tuple[str, CorpusFile]]:
    """The readable files in a folder or archive, sorted by their paths in it."""
    inside: list[tuple[str, CorpusFile]] = []
    if not path.is_dir():
        inside = _zip_members(path)
    elif not (inside := _saved_by_datasets(path)):
        for each in sorted(path.rglob("*")):
            name = str(each.relative_to(path))
            if each.suffix.lower() == ".zip":
                inside += [(f"{name}/{member}", file) for member, file in _zip_members(each)]
            elif (kind := file_format(each)) and each.is_file():
                inside.append((name, CorpusFile(each, kind, size=each.stat().st_size)))
    inside = [(name, file) for name, file in inside if not _is_hidden(name)]
    texts = [(name, file) for name, file in inside if Path(name).stem.lower() not in _ABOUT_FILES]
    if not inside:
        raise InputError(
            f"{path}: holds no text that can be read (.txt, .md, .jsonl, .parquet, these with .gz or in a"
            " .zip, or saved by datasets); name the files themselves"
        )
    return texts or inside


def _zip_members(path: Path) -> list[tuple[str, CorpusFile]]:
    """The readable members of a zip archive, without packed ones and formats that need random access."""
    try:
        members = sorted(_archive(path, path.stat().st_mtime_ns).infolist(), key=lambda each: each.filename)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path}: not a readable zip archive ({error}); copy it again") from None
    return [
        (each.filename, CorpusFile(path, kind, member=each.filename, size=each.file_size))
        for each in members
        if (kind := file_format(Path(each.filename))) in {"text", "jsonl"}
        and not each.filename.endswith(".gz")
    ]


@lru_cache(maxsize=1)
def _archive(path: Path, time: int) -> zipfile.ZipFile:  # noqa: ARG001 - a changed file is another
    """An archive, kept open: reading its table of contents takes longer than most members."""
    return zipfile.ZipFile(path)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__")) for part in Path(name).parts)


def _saved_by_datasets(folder: Path) -> list[tuple[str, CorpusFile]]:
    """The data sets that ``save_to_disk`` wrote into ``folder``: one, or one for each split."""
    index = folder / "dataset_dict.json"
    try:
        if not index.is_file() and not (folder / "state.json").is_file():
            return []
        names = json.loads(index.read_text())["splits"] if index.is_file() else [""]
        sizes = [sum(each.stat().st_size for each in (folder / name).iterdir()) for name in names]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: is not whole as datasets saved it ({error}); save it again") from None
    return [
        (name, CorpusFile(folder / name, "dataset", size=size))
        for name, size in zip(names, sizes, strict=True)
    ]


def _add_files(
    found: CorpusFiles, group: list[tuple[str, CorpusFile]], *, keep_rest: bool = False, wanted: str = ""
) -> None:
    """Add files, with the splits in their names if these form a set of published splits."""
    splits = [(file, split_from_name(name)) for name, file in group]
    named = {split for _, split in splits}
    if "train" not in named or len(named - {None}) < 2:
        if wanted:
            raise InputError(
                f"{wanted}: {group[0][1].path.parent} lacks the train split or all others; copy the whole set"
            )
        found.files.extend(file for file, _ in splits)
        return
    for file, split in splits:
        kept = found.files if split or keep_rest else found.left_out
        kept.append(replace(file, split=split))
