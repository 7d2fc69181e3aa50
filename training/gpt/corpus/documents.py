"""The documents of a file: text split by lines or blank lines; rows of JSON Lines, Parquet and data sets."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from random import Random
from typing import Any

from training.formats.conversation import Conversation
from training.formats.messages import parse_dialogue, parse_messages
from training.formats.prompt_completions import CONVERSATION_COLUMNS
from training.gpt.config import CorpusConfig
from training.gpt.corpus.encodings import decode, detect_encoding
from training.gpt.corpus.sources import CorpusFile
from training.gpt.corpus.stories import write_story
from training.gpt.corpus.wikitext import is_title, join_articles
from training.gpt.errors import InputError

OnBytes = Callable[[int], None]

_PEEK_CHARACTERS = 2**20  # characters of a text by which `auto` decides how to split it
_ROWS_PER_BATCH = 256  # rows of a table in memory at once


def read_documents(file: CorpusFile, config: CorpusConfig, *, on_bytes: OnBytes) -> Iterator[str]:
    """The documents of one file as they are, empty ones included; ``on_bytes`` is called with the bytes read.

    Rows of tables are documents, except in WikiText, whose rows are lines and are joined to articles. With
    the option ``chat``, documents that are not empty are a ``Conversation``.
    """
    if file.format == "stories":
        rng = Random(config.seed)
        for number in range(config.stories):
            yield write_story(rng)
            on_bytes(_share_of_bytes(file.size, number, number + 1, config.stories))
    elif file.format == "text":
        texts = split_documents(read_text(file, config, on_bytes=on_bytes), config.documents)
        yield from (_conversation(text, str(file)) for text in texts) if config.chat else texts
    else:
        rows = {"jsonl": _read_json_lines, "parquet": _read_parquet, "dataset": _read_dataset}[file.format]
        texts = rows(file, config, on_bytes)
        first, texts = _peek(texts, 1)
        if config.chat:
            yield from texts
            return
        if config.documents == "article" or (config.documents == "auto" and is_title(first)):
            texts = join_articles(text.removesuffix("\n") for text in texts)
        yield from texts


def read_text(file: CorpusFile, config: CorpusConfig, *, on_bytes: OnBytes) -> Iterator[str]:
    """A text file in pieces, with line ends normalised to \\n."""
    encoding = detect_encoding(file.chunks(), config.encoding, name=str(file))
    return decode(file.chunks(on_bytes), encoding, name=str(file))


def split_documents(text: Iterable[str], documents: str) -> Iterator[str]:
    """Split a text, given in pieces, into documents.

    These are lines, paragraphs (between blank lines), the whole ``file``, or each ``article`` of WikiText.
    ``auto`` takes articles if the text begins with an article's heading, paragraphs if at least one line in
    twenty is blank, otherwise lines.
    """
    head, text = _peek(text, _PEEK_CHARACTERS)
    if documents == "auto":
        lines = head.strip().split("\n")
        blank = sum(not line.strip() for line in lines)
        documents = "paragraph" if blank * 20 >= len(lines) else "line"
        if is_title(lines[0]):
            documents = "article"
    if documents == "file":
        return iter(["".join(text)])
    if documents == "line":
        return _lines(text)
    return (_paragraphs if documents == "paragraph" else join_articles)(_lines(text))


def _peek(texts: Iterable[str], characters: int) -> tuple[str, Iterator[str]]:
    """The beginning of a text, at least so many characters, and an iterator over the full text."""
    texts, seen, count = iter(texts), [], 0
    while count < characters and (piece := next(texts, None)) is not None:
        seen.append(piece)
        count += len(piece.strip())
    return "".join(seen), chain(seen, texts)


def _lines(text: Iterable[str]) -> Iterator[str]:
    """The lines of a text in pieces. Not splitlines(), which takes some Latin-1 characters for line ends."""
    unfinished: list[str] = []
    for piece in text:
        first, *rest = piece.split("\n")
        unfinished.append(first)
        for line in rest:
            yield "".join(unfinished)
            unfinished = [line]
    yield "".join(unfinished)


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    paragraph: list[str] = []
    for line in lines:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield "\n".join(paragraph)
            paragraph = []
    yield "\n".join(paragraph)


def _read_json_lines(file: CorpusFile, config: CorpusConfig, on_bytes: OnBytes) -> Iterator[str]:
    encoding = detect_encoding(file.chunks(), config.encoding, name=str(file))
    for number, line in enumerate(_lines(decode(file.chunks(on_bytes), encoding, name=str(file))), 1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            reason = (
                f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            )
            raise InputError(f"{place}: not JSON ({reason}); each line must be one whole object") from None
        if not isinstance(row, dict):
            raise InputError(f'{place}: not an object; each line must be like {{"{config.field}": "…"}}')
        field = _field(config, list(row), place)
        text = _cell_text(row[field], f"{place}: {field!r}", chat=config.chat)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = text[error.start].encode("unicode_escape").decode()
            raise InputError(f"{place}: holds half a character ({half}); mend or remove the line") from None
        yield text


def _read_parquet(file: CorpusFile, config: CorpusConfig, on_bytes: OnBytes) -> Iterator[str]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # A small buffer: a row group, which may be large, is not read as a whole.
        with parquet.ParquetFile(file.path, buffer_size=2**20, pre_buffer=False) as table:
            field = _field(config, table.schema_arrow.names, str(file))
            batches = table.iter_batches(batch_size=_ROWS_PER_BATCH, columns=[field])
            columns = (batch.column(0).to_pylist() for batch in batches)
            yield from _rows(columns, table.metadata.num_rows, file, config, on_bytes)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file}: cannot be read as Parquet ({reason}); copy or download it again") from None


def _read_dataset(file: CorpusFile, config: CorpusConfig, on_bytes: OnBytes) -> Iterator[str]:
    import datasets
    import pyarrow as pa

    try:
        table = datasets.load_from_disk(str(file.path))
        field = _field(config, table.column_names, str(file))
        batches = table.with_format(None).select_columns([field]).iter(_ROWS_PER_BATCH)
        columns = (batch[field] for batch in batches)
        yield from _rows(columns, len(table), file, config, on_bytes)
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{file}: cannot be read by datasets ({reason}); save it again") from None


def _rows(
    columns: Iterable[list[Any]], count: int, file: CorpusFile, config: CorpusConfig, on_bytes: OnBytes
) -> Iterator[str]:
    """The texts of a column that comes in batches."""
    done = 0
    for column in columns:
        for number, value in enumerate(column, done + 1):
            yield _cell_text(value, f"{file}, row {number}: {config.field!r}", chat=config.chat)
        before, done = done, done + len(column)
        on_bytes(_share_of_bytes(file.size, before, done, count))


def _share_of_bytes(size: int, before: int, after: int, count: int) -> int:
    """The share of ``size`` bytes for going from ``before`` to ``after`` of ``count`` rows."""
    return size * after // count - size * before // count


def _cell_text(value: Any, place: str, *, chat: bool) -> str:
    """The text of a cell, or its conversation; null counts as empty."""
    if value is None:
        return ""
    if chat:
        return _conversation(value, place)
    if not isinstance(value, str):
        raise InputError(f"{place} holds {type(value).__name__}, not text; name another field")
    return value


def _conversation(value: Any, place: str) -> str:
    """The conversation in a list of messages, or in a text with turns; an empty text stays one."""
    if isinstance(value, str) and not value.strip():
        return ""
    try:
        messages = parse_dialogue(value) if isinstance(value, str) else parse_messages(value)
    except ValueError as error:
        raise InputError(f"{place}: {error}") from None
    if messages is None:
        raise InputError(
            f"{place}: no conversation; with chat, write a list of messages, or a text with Human: and"
            " Assistant: turns"
        )
    return Conversation(messages)


def _field(config: CorpusConfig, there: list[str], place: str) -> str:
    """The field that holds the text; of conversations also one that usually does."""
    names: list[str] = [config.field, *(CONVERSATION_COLUMNS if config.chat else ())]
    if found := next((name for name in names if name in there), None):
        return found
    known = ", ".join(there[:8]) or "none"
    raise InputError(
        f"{place}: has no field {config.field!r}; name the one that holds the text (there are: {known})"
    )
