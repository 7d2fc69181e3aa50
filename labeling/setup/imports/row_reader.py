"""Reading the rows of a file (JSON Lines, a JSON array, CSV or plain text) with their line numbers."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from labeling.setup.imports.encodings import ImportProblem
from training.formats.prompt_completions import CONVERSATION_COLUMNS, SYSTEM_COLUMNS

Paragraphs = Literal["lines", "blocks"]
DELIMITERS = ",;\t|"
SAMPLE = r"(?:completion|response|sample|answer|output|prediction|candidate)"
PROMPT_NAMES = ("prompt", "question", "instruction", "query", "input", "text")
KNOWN_COLUMNS = re.compile(
    rf"{'|'.join((*PROMPT_NAMES, *CONVERSATION_COLUMNS, *SYSTEM_COLUMNS))}"
    rf"|{SAMPLE}(?:s|_?\d|_[a-i])?|chosen|rejected|(?:generator|model)(?:_?\d|_[a-i])?"
    r"|split|gold_answer|training_answer|explanation"
)
"""Names of columns that are recognised."""
SPACE = re.compile(r"[\s,]*")


class Problem(NamedTuple):
    """A problem in one line of a file."""

    line: int
    message: str


@dataclass(frozen=True)
class Row:
    """One object or record, with normalised names."""

    line: int
    values: Mapping[str, Any]


def normalise_name(name: Any) -> str:
    """A column name in lower case with underscores: `Response 1` is `response_1`."""
    return re.sub(r"[\s.-]+", "_", str(name).strip().lower())


def read_rows(text: str, *, name: str = "", paragraphs: Paragraphs = "lines") -> Iterator[Row | Problem]:
    """Read the rows of a file called `name`, or of pasted text; invalid lines give a Problem.

    Text that looks like JSON is read as JSON, whatever the name. Raises ImportProblem for a table without
    known columns.
    """
    file_name = name.lower()
    if file_name.endswith((".json", ".jsonl", ".ndjson")) or re.match(r'\s*(\{|\[\s*[{"\]])', text):
        return _read_json(text)
    if name and not file_name.endswith((".txt", ".md")):
        return _read_table(text)
    return _read_plain_text(text, paragraphs)


def _read_plain_text(text: str, paragraphs: Paragraphs) -> Iterator[Row | Problem]:
    """Prompts, one per line or separated by blank lines."""
    block: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            block.append(line.rstrip())
        if block and (paragraphs == "lines" or not line.strip()):
            yield Row(number - len(block) + bool(line.strip()), {"prompt": "\n".join(block)})
            block = []


# -- JSON -------------------------------------------------------------------------------------------------


def _read_json(text: str) -> Iterator[Row | Problem]:
    if text.lstrip().startswith("["):
        return _parse_values(text, text.index("[") + 1, array=True)
    lines = text.split("\n")  # not splitlines: JSON strings may hold other separators
    first = next(line for line in lines if line.strip())
    if isinstance(_parse_line(first, 1), Problem) and not isinstance(next(_parse_values(text, 0)), Problem):
        return _parse_values(text, 0)
    return (_parse_line(line, number) for number, line in enumerate(lines, start=1) if line.strip())


def _parse_values(text: str, at: int, *, array: bool = False) -> Iterator[Row | Problem]:
    """The objects of an array, or concatenated objects."""
    decoder = json.JSONDecoder()
    line = 1 + text.count("\n", 0, at)
    while True:
        after = SPACE.match(text, at).end()  # type: ignore[union-attr]
        line += text.count("\n", at, after)
        if after == len(text) or (array and text[after] == "]"):
            if array and after == len(text):
                yield Problem(line, "the array is not closed: is the file cut off?")
            return
        try:
            value, at = decoder.raw_decode(text, after)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "nested too deeply")
            line = getattr(error, "lineno", line)
            yield Problem(line, f"not JSON ({reason}); nothing after it was read.")
            return
        yield _row_from_value(value, line)
        line += text.count("\n", after, at)


def _parse_line(line: str, number: int) -> Row | Problem:
    try:
        return _row_from_value(json.loads(line), number)
    except json.JSONDecodeError as error:
        return Problem(number, f"not JSON ({error.msg}, column {error.colno}).")
    except (ValueError, RecursionError):
        return Problem(number, "not JSON (a number is too long, or it is nested too deeply).")


def _row_from_value(value: Any, line: int) -> Row | Problem:
    if isinstance(value, str):
        return Row(line, {"prompt": value})
    if not isinstance(value, dict):
        return Problem(line, 'neither a text nor an object: write {"prompt": "…"}.')
    # Label Studio's tasks have their texts under "data".
    inner = value.get("data")
    value = inner if isinstance(inner, dict) and "prompt" not in value else value
    return Row(line, {normalise_name(name): each for name, each in value.items()})


# -- Tables -----------------------------------------------------------------------------------------------


def _read_table(text: str) -> Iterator[Row | Problem]:
    """The records under a header, with the delimiter that gives the most known column names."""
    separator = re.match(r"sep=(.)\r?\n", text)  # spreadsheets may name it on the first line
    skipped = separator.end() if separator else 0
    body = text[skipped:]
    reader, header = max(
        (_open_table(body, delimiter) for delimiter in (separator[1] if separator else DELIMITERS)),
        key=lambda each: (sum(map(_is_known, each[1])), len(each[1])),
    )
    if not {"chosen", "rejected", *PROMPT_NAMES, *CONVERSATION_COLUMNS} & set(header):
        names = ", ".join(f"“{name[:40]}”" for name in header[:8] if name) or "none"
        raise ImportProblem(
            "A table needs a header with the names of its columns, one of them “prompt”. "
            f"The first line here has {names}."
        )
    for name in header:
        if _is_known(name) and header.count(name) > 1:
            raise ImportProblem(f"Two columns are named “{name}”: rename one of them.")
    return _read_records(reader, header, before=bool(separator))


def _is_known(name: str) -> bool:
    return KNOWN_COLUMNS.fullmatch(name) is not None


def _open_table(text: str, delimiter: str) -> tuple[Any, list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return reader, [normalise_name(name) for name in next(reader, [])]
    except csv.Error:
        return reader, []


def _read_records(reader: Any, header: list[str], *, before: bool) -> Iterator[Row | Problem]:
    while True:
        line = reader.line_num + 1 + before
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            too_long = "field larger" in str(error)
            reason = "a cell of more than 131,072 characters" if too_long else str(error)
            yield Problem(line, f"{reason}: is a quotation mark not closed? Nothing after it was read.")
            return
        if not any(map(str.strip, cells)):
            continue
        if len(cells) != len(header):
            yield Problem(line, f"{len(cells)} cells, but the header has {len(header)}.")
            continue
        yield Row(line, {name: cell for name, cell in zip(header, cells, strict=True) if cell.strip()})
