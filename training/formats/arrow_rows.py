"""Rows of Parquet and Arrow files, batch by batch. pyarrow is imported when one is read: it takes time."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from training.formats.rows import FileProblem, Row, Rows, checked

BATCH = 1000
PARQUET, ARROW_FILE, ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"


def read_parquet(file: BinaryIO) -> Rows:
    """The rows of a Parquet file that can be sought. Raises FileProblem if it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _readable("Parquet"):
        table = pq.ParquetFile(file, pre_buffer=False)
        _refuse_media(table.schema_arrow)
        batches = table.iter_batches(batch_size=BATCH)
    return _rows(batches, pa.ArrowException)


def read_arrow(file: BinaryIO, *, is_stream: bool) -> Rows:
    """The rows of an Arrow file or stream. Raises FileProblem if it is damaged."""
    import pyarrow as pa

    with _readable("Arrow"):
        reader = pa.ipc.open_stream(file) if is_stream else pa.ipc.open_file(file)
        _refuse_media(reader.schema)
        found: Iterable[Any] = (
            reader if is_stream else (reader.get_batch(number) for number in range(reader.num_record_batches))
        )
    return _rows(_parts(found), pa.ArrowException)


def _parts(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches in small parts, each checked: a damaged one would end the process."""
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH):
            part = batch.slice(start, BATCH)
            part.validate(full=True)
            yield part


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Turn the errors of pyarrow into problems of the file."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0][:120]
        raise FileProblem(f"is damaged, or not {what} ({reason}): copy or download it again.") from None


def _refuse_media(schema: Any) -> None:
    """Images and sounds are structures with bytes, which no text can be made of."""
    import pyarrow as pa

    for field in schema:
        inner = field.type.value_type if pa.types.is_list(field.type) else field.type
        names = {each.name for each in inner} if pa.types.is_struct(inner) else set()
        if names == {"bytes", "path"}:
            raise FileProblem(
                f"the column “{field.name}” holds images or sounds; only text can be used: "
                "remove the column, and the rows that need it."
            )


def _rows(batches: Iterator[Any] | Iterable[Any], damaged: type[Exception]) -> Rows:
    number = 0
    try:
        for batch in batches:
            for values in batch.to_pylist():
                number += 1
                yield _row(number, values)
    except (damaged, OSError, UnicodeDecodeError, OverflowError) as error:
        reason = str(error).split("\n")[0][:120]
        raise FileProblem(f"is damaged after row {number:,} ({reason}): copy or download it again.") from None


def _row(number: int, values: dict[str, Any]) -> Any:
    for value in values.values():
        if not isinstance(value, str) or not value.isascii() or "\x00" in value:
            return checked(number, values)
    return Row(number, values)
