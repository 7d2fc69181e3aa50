"""Files and streams as rows, whatever contains them; what a file is, its content says, not its name.

JSON Lines, JSON arrays and wrappers, tables, plain text, Parquet, Arrow, folders of these and those that
`datasets` saves; each may be in gzip, Zstandard or a zip archive. Memory stays small, however long a file is.
"""

import gzip
import io
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

from training.formats.arrow_rows import ARROW_FILE, ARROW_STREAM, PARQUET, read_arrow, read_parquet
from training.formats.encodings import check_encoding, find_encoding
from training.formats.json_rows import read_json
from training.formats.rows import FileProblem, Problem, Row, Rows
from training.formats.text_rows import Paragraphs, read_plain_text, read_table, table_delimiter

GZIP, ZSTD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
HEAD = 1 << 16
"""Bytes from which a container and an encoding are recognised."""
ENDINGS = re.compile(
    r"\.(jsonl|ndjson|json|csv|tsv|tab|txt|parquet|arrow)(\.(gz|gzip|zst|zip))?\Z|\.zip\Z", re.IGNORECASE
)
"""Names of the files of a folder that hold rows."""
NOT_ROWS = re.compile(
    r"[._].*|.*\.md|licen[cs]e.*|notice.*|requirements.*\.txt|dataset_infos?\.json|dataset_dict\.json|state\.json|croissant.*\.json",
    re.IGNORECASE,
)
CONFIGURATION = re.compile(r"^\s*- config_name: *(\S+)", re.MULTILINE)
JSON_ENDING = re.compile(r"\.(jsonl|ndjson|json)\b", re.IGNORECASE)
TABLE_ENDING = re.compile(r"\.(csv|tsv|tab)\b", re.IGNORECASE)
SPLIT_IN_NAME = re.compile(
    r"(?:\A|.*[-_.])?(train|test|validation|valid|dev|eval|heldout)(?:[-_.].*)?\Z", re.IGNORECASE
)
LOOKS_LIKE_JSON = re.compile(r'\s*(\{\s*(["}]|\Z)|\[\s*[\[{"\]]|\[\s*\Z)')
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, OSError)


Buffered: TypeAlias = "io.BufferedReader[Any]"


class Part(NamedTuple):
    """One file of the source: its name, what it is, and its rows."""

    name: str
    container: str
    rows: Rows


def read_parts(
    source: Path | BinaryIO,
    *,
    name: str,
    is_known: Callable[[str], bool],
    encoding: str = "",
    paragraphs: Paragraphs = "lines",
) -> Iterator[Part]:
    """The files of a source, each with its rows, which must be read before the next part.

    `is_known` tells names of columns, by which tables are recognised. An `encoding` is that of all texts.
    Raises FileProblem for what cannot be read at all.
    """
    opener = _Opener(is_known, check_encoding(encoding) if encoding else "", paragraphs)
    if not isinstance(source, Path):
        yield from opener.parts(source, name, "")
        return
    try:
        paths = _files_of(source) if source.is_dir() else [(source, "")]
        for path, split in paths:
            with path.open("rb") as file:
                yield from opener.parts(
                    file, str(path.relative_to(source)) if path != source else name, split
                )
    except FileProblem:
        raise
    except OSError as error:
        raise FileProblem(f"{error.strerror or error}; give a file that can be read.") from None


def _files_of(folder: Path) -> list[tuple[Path, str]]:
    """The files with rows in a folder, and the split of each; raises FileProblem if there are none."""
    if (saved := folder / "dataset_dict.json").is_file():
        splits = json.loads(saved.read_text(encoding="utf-8"))["splits"]
        return [(path, split) for split in splits for path, _ in _files_of(folder / split)]
    if (state := folder / "state.json").is_file():
        files = json.loads(state.read_text(encoding="utf-8"))["_data_files"]
        return [(folder / each["filename"], "") for each in files]
    _refuse_several(folder)
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(NOT_ROWS.fullmatch(part) for part in path.relative_to(folder).parts)
        and ENDINGS.search(path.name)
    ]  # fmt: skip
    if not found:
        raise FileProblem("is a folder without rows: give one of JSON Lines, CSV, Parquet or Arrow.")
    return [(path, _split_in(path.relative_to(folder))) for path in found]


def _refuse_several(folder: Path) -> None:
    """Raise FileProblem for a data set whose card names several configurations: their rows differ."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    names = CONFIGURATION.findall(text.split("\n---")[0]) if text.startswith("---") else []
    if len(names) > 1:
        raise FileProblem(
            f"is a data set with several configurations: give one of its folders, {', '.join(names)}."
        )


def _split_in(path: Path) -> str:
    """The split that the name of a shard or of its folder tells, as in `train-00000-of-00002.parquet`."""
    for part in (path.name, *reversed(path.parts[:-1])):
        if found := SPLIT_IN_NAME.fullmatch(part):
            return found[1].lower()
    return ""


class _Opener:
    """Opens the containers of one source."""

    def __init__(self, is_known: Callable[[str], bool], encoding: str, paragraphs: Paragraphs) -> None:
        self.is_known, self.encoding, self.paragraphs = is_known, encoding, paragraphs

    def parts(self, file: BinaryIO, name: str, split: str) -> Iterator[Part]:
        """The parts of an open file; a zip archive has several."""
        with ExitStack() as stack:
            try:
                buffered: Buffered = io.BufferedReader(cast(io.RawIOBase, file), HEAD)
                stack.callback(buffered.detach)  # the file is its opener's to close
                head = buffered.peek(HEAD)[:HEAD]
                if head.startswith(ZIP):
                    yield from self._archive(stack.enter_context(_seekable(buffered)), name, split)
                    return
                buffered, how = self._decompressed(buffered, head)
                container, rows = self._open(buffered, name, stack)
            except FileProblem:
                raise
            except UnicodeDecodeError as error:
                raise FileProblem(f"is not {error.encoding}: name the encoding of the file.") from None
            except DAMAGED as error:
                raise FileProblem(f"is damaged ({_short(error)}): copy or download it again.") from None
            yield Part(name, container + how, _with_split(_until_damage(rows), split))

    def _archive(self, file: BinaryIO, name: str, split: str) -> Iterator[Part]:
        try:
            archive = zipfile.ZipFile(file)
        except DAMAGED as error:
            raise FileProblem(
                f"is a damaged zip archive ({_short(error)}): copy or download it again."
            ) from None
        with archive:
            names = sorted(each.filename for each in archive.infolist() if not each.is_dir())
            if "[Content_Types].xml" in names:
                raise FileProblem("is a spreadsheet workbook or a document: export it as CSV.")
            names = [
                each for each in names
                if not any(NOT_ROWS.fullmatch(part) or part == "__MACOSX" for part in Path(each).parts)
            ]  # fmt: skip
            if not names:
                raise FileProblem("is a zip archive without rows.")
            for each in names:
                try:
                    member = archive.open(each)
                except (RuntimeError, NotImplementedError, *DAMAGED) as error:
                    raise FileProblem(
                        f"{each} in the archive cannot be read ({_short(error)}): unpack it."
                    ) from None
                with member:
                    yield from self.parts(
                        cast(BinaryIO, member),
                        f"{name}/{each}" if name else each,
                        split or _split_in(Path(each)),
                    )

    @staticmethod
    def _decompressed(file: Buffered, head: bytes) -> tuple[Buffered, str]:
        if head.startswith(GZIP):
            return io.BufferedReader(gzip.GzipFile(fileobj=file), HEAD), ", gzip"
        if head.startswith(ZSTD):
            import pyarrow as pa

            stream = pa.CompressedInputStream(pa.PythonFile(_KeptOpen(file), mode="r"), "zstd")
            return io.BufferedReader(cast(io.RawIOBase, _Readinto(stream)), HEAD), ", Zstandard"
        return file, ""

    def _open(self, file: Buffered, name: str, stack: ExitStack) -> tuple[str, Rows]:
        head = file.peek(HEAD)[:HEAD]
        if head.startswith(PARQUET):
            return "Parquet", read_parquet(stack.enter_context(_seekable(file)))
        if head.startswith(ARROW_FILE):
            return "Arrow", read_arrow(stack.enter_context(_seekable(file)), is_stream=False)
        if head.startswith(ARROW_STREAM):
            return "Arrow stream", read_arrow(cast(BinaryIO, file), is_stream=True)
        encoding = self._encoding_of(head)
        beginning = head.decode(encoding, errors="ignore").lstrip("\ufeff")
        kind = self._kind_of(beginning, name)
        text = io.TextIOWrapper(
            file,
            encoding=encoding,
            errors="surrogateescape" if encoding.startswith("utf-8") else "strict",
            newline="" if kind == "table" else None,
        )
        stack.callback(text.detach)
        if kind == "JSON":
            return kind, read_json(text)
        if kind == "table":
            return kind, read_table(text, self.is_known)
        return kind, read_plain_text(text, self.paragraphs)

    def _encoding_of(self, head: bytes) -> str:
        if not self.encoding:
            return find_encoding(head)
        if self.encoding == "utf-8":
            return "utf-8-sig"
        return self.encoding

    def _kind_of(self, beginning: str, name: str) -> str:
        if JSON_ENDING.search(name) or LOOKS_LIKE_JSON.match(beginning):
            return "JSON"
        first = next((line for line in beginning.splitlines() if line.strip()), "")
        if TABLE_ENDING.search(name) or table_delimiter(first, self.is_known):
            return "table"
        return "text"


class _KeptOpen:
    """A file that pyarrow does not close with its own stream."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read

    def close(self) -> None:
        """Nothing: the file is its opener's to close."""


class _Readinto(io.RawIOBase):
    """A stream of pyarrow, as Python's buffers read one."""

    def __init__(self, stream: object) -> None:
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self.stream.read(len(buffer))  # type: ignore[attr-defined]
        buffer[: len(piece)] = piece
        return len(piece)


@contextmanager
def _seekable(file: Buffered) -> Iterator[BinaryIO]:
    """A file as one that can be sought: itself, or a copy on disk."""
    is_packed = isinstance(file.raw, gzip.GzipFile | zipfile.ZipExtFile)  # seeking would unpack it again
    if file.seekable() and not is_packed:
        file.seek(0)
        yield cast(BinaryIO, file)
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def _until_damage(rows: Rows) -> Rows:
    """The rows up to a place where the file is damaged, which is then the last problem."""
    number = 0
    try:
        for row in rows:
            number = row[0]
            yield row
    except FileProblem as error:
        yield Problem(0, str(error))
    except UnicodeDecodeError as error:
        yield Problem(number + 1, f"is not {error.encoding}: name the encoding of the file.")
    except DAMAGED as error:
        yield Problem(
            0, f"is damaged or cut off after row {number:,} ({_short(error)}): copy or download it again."
        )


def _with_split(rows: Rows, split: str) -> Rows:
    """The rows, with the split of their file where they name none."""
    if not split:
        return rows
    return (
        Row(row.number, {"split": split, **row.values})
        if isinstance(row, Row) and row.values.get("split") is None
        else row
        for row in rows
    )


def _short(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error)).split("\n")[0][:120]
