"""Rows out: JSON Lines, a JSON array, CSV or Parquet, compressed or not, in constant memory.

`encode` gives the bytes of a file piece by piece, for a response that streams; `write_file` makes the file,
whole or not at all. Errors are ValueError and say what to do.

Cells of CSV are written as they are, and lists and objects as JSON: a cell such as `=1+1` is data, and a
quotation mark or space before it would change what programs read. Only a `spreadsheet` neutralises formulas.
"""

import contextlib
import csv
import io
import json
import os
import re
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Row = Mapping[str, Any]
ColumnType = Literal["string", "bool", "int64", "double", "integers", "messages", "samples", "json"]
"""The type of a column: `messages` is a list of messages, `samples` a list of `{"text", "model"}`, and `json`
any object, which a table holds as text."""
Columns = Mapping[str, ColumnType]
"""The columns of a file, by name, in order. Rows may leave some out."""

CONTAINERS = ("jsonl", "jsonl.gz", "jsonl.zst", "json", "csv", "csv.gz", "parquet")
CONTENT_TYPES = {
    "jsonl": "application/x-ndjson",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "gz": "application/gzip",
    "zst": "application/zstd",
}
PIECE = 1 << 16
"""Bytes that are passed on together, at least."""
ROW_GROUP = 5000
"""Rows of a row group of Parquet."""
_FORMULA = re.compile(r"[=+\-@\t\r]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def container_of(name: str | os.PathLike[str]) -> str:
    """The container that the end of a file's name says; ValueError for any other end."""
    lower = Path(name).name.lower()
    # The longest end first: .jsonl.gz before .gz.
    for container in sorted(CONTAINERS, key=len, reverse=True):
        if lower.endswith("." + container):
            return container
    if lower.endswith(".ndjson"):
        return "jsonl"
    raise ValueError(
        f"{Path(name).name}: name it by what it holds: {', '.join('.' + each for each in CONTAINERS)}."
    )


def content_type(container: str) -> str:
    """The media type of a container."""
    return CONTENT_TYPES[container.rpartition(".")[2]]


def encode(
    rows: Iterable[Row], container: str, columns: Columns, *, spreadsheet: bool = False
) -> Iterator[bytes]:
    """The bytes of a file with these rows, piece by piece.

    `columns` are needed by CSV and Parquet: there rows without one have an empty cell or null, and those that
    no row can have are refused. `spreadsheet` writes CSV for people who open it in a spreadsheet: cells that
    it would take for a formula get an apostrophe, and are no longer what was stored.
    """
    if container not in CONTAINERS:
        raise ValueError(f"“{container}” is not a container: use one of {', '.join(CONTAINERS)}.")
    kind, _, compression = container.partition(".")
    encoders: dict[str, Callable[[], Iterator[bytes]]] = {
        "jsonl": lambda: map(json_line, rows),
        "json": lambda: _encode_array(rows),
        "csv": lambda: _encode_csv(rows, columns, spreadsheet=spreadsheet),
        "parquet": lambda: _encode_parquet(rows, columns),
    }
    pieces = _join(encoders[kind]())
    return _COMPRESSIONS[compression](pieces)


def write_file(path: str | os.PathLike[str], pieces: Iterable[bytes]) -> None:
    """Write a file of these bytes: it appears when it is whole, and an error leaves none."""
    path = Path(path)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.writelines(pieces)
                file.flush()
                # Readable as any other file; temporary ones are private.
                umask = os.umask(0)
                os.umask(umask)
                Path(file.name).chmod(0o666 & ~umask)
                Path(file.name).replace(path)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    Path(file.name).unlink()
                raise
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}; name a file that can be written.") from error


def json_line(row: Row) -> bytes:
    """A row as a line of JSON Lines; lone surrogates, which UTF-8 cannot hold, are escaped."""
    line = json.dumps(row, ensure_ascii=False, separators=(", ", ": "), allow_nan=False)
    try:
        return line.encode() + b"\n"
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", line).encode() + b"\n"


# -- Containers -------------------------------------------------------------------------------------------


def _encode_array(rows: Iterable[Row]) -> Iterator[bytes]:
    before = b"[\n"
    for row in rows:
        yield before + json_line(row)[:-1]
        before = b",\n"
    yield b"\n]\n" if before == b",\n" else b"[]\n"


def _encode_csv(rows: Iterable[Row], columns: Columns, *, spreadsheet: bool) -> Iterator[bytes]:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    if spreadsheet:
        text.write("\ufeff")  # else a spreadsheet takes it for the encoding of the system
    writer.writerow(columns)
    for row in rows:
        _check_columns(row, columns)
        cells = [_cell(row.get(name)) for name in columns]
        writer.writerow([neutralise_formula(cell) for cell in cells] if spreadsheet else cells)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value.encode("utf-8", "replace").decode() if _LONE_SURROGATE.search(value) else value
        case int() | float():
            return repr(value)
    return json.dumps(value, ensure_ascii=False)


def neutralise_formula(cell: str) -> str:
    """A cell that a spreadsheet shows as it is: an apostrophe before what would be a formula."""
    return f"'{cell}" if _FORMULA.match(cell) and not _is_number(cell) else cell


def _is_number(cell: str) -> bool:
    with contextlib.suppress(ValueError):
        float(cell)
        return True
    return False


def _encode_parquet(rows: Iterable[Row], columns: Columns) -> Iterator[bytes]:
    # Not at the top: commands that write no table start without it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(columns)
    sink = _Sink()
    as_text = [name for name, kind in columns.items() if kind == "json"]
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        for portion in _portions(rows, ROW_GROUP):
            for row in portion:
                _check_columns(row, columns)
            values = [_with_text(row, as_text) for row in portion]
            writer.write_table(pa.Table.from_pylist(values, schema=schema))
            yield sink.take()
    yield sink.take()


def _with_text(row: Row, names: Iterable[str]) -> Row:
    """A row whose objects under `names` are JSON texts."""
    texts = {name: json.dumps(row[name], ensure_ascii=False) for name in names if row.get(name) is not None}
    return {**row, **texts}


def arrow_schema(columns: Columns) -> Any:
    """The Arrow schema of columns."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    sample = pa.struct([("text", pa.string()), ("model", pa.string())])
    types = {
        "string": pa.string(),
        "bool": pa.bool_(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "integers": pa.list_(pa.int64()),
        "messages": pa.list_(message),
        "samples": pa.list_(sample),
        "json": pa.string(),
    }
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


def _check_columns(row: Row, columns: Columns) -> None:
    if unknown := [name for name in row if name not in columns]:
        raise ValueError(f"a row has the column “{unknown[0]}”, which the table has not.")


# -- Compression ------------------------------------------------------------------------------------------


def _gzip(pieces: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)  # 31: with the header of gzip, without a time
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _zstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    import pyarrow as pa

    sink = _Sink()
    with pa.CompressedOutputStream(pa.PythonFile(sink, mode="w"), "zstd") as stream:
        for piece in pieces:
            stream.write(piece)
            yield sink.take()
    yield sink.take()


_COMPRESSIONS: Mapping[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    "": lambda pieces: pieces,
    "gz": _gzip,
    "zst": _zstd,
}


class _Sink(io.RawIOBase):
    """A file in memory whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _join(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)


def _portions(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(rows)
    while portion := list(islice(iterator, size)):
        yield portion
