"""The rows of a file: JSON Lines, a JSON array, CSV, or plain text. Each knows the line it began on."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from labeling.setup.imports.encodings import ImportProblem

Paragraphs = Literal["lines", "blocks"]
DELIMITERS = ",;\t|"
SAMPLE = r"(?:completion|response|sample|answer|output|prediction|candidate)"
PROMPT_NAMES = ("prompt", "question", "instruction", "query", "input", "text")
KNOWN = re.compile(
    rf"{'|'.join(PROMPT_NAMES)}|{SAMPLE}(?:s|_?\d|_[a-i])?|chosen|rejected|(?:generator|model)(?:_?\d|_[a-i])?"
    r"|split|gold_answer|training_answer|explanation"
)
"""Names of columns that mean something here."""
SPACE = re.compile(r"[\s,]*")


class Problem(NamedTuple):
    """What is wrong with one line of a file."""

    line: int
    message: str


@dataclass(frozen=True)
class Row:
    """One object or record, its names in lower case with underscores."""

    line: int
    values: Mapping[str, Any]


def named(name: Any) -> str:
    """The name of a column as it is compared: `Response 1` is `response_1`."""
    return re.sub(r"[\s.-]+", "_", str(name).strip().lower())


def read_rows(text: str, *, name: str = "", paragraphs: Paragraphs = "lines") -> Iterator[Row | Problem]:
    """The rows of a file called `name`, or of pasted text; what is wrong with a line comes in its place.

    What looks like JSON is read as such, whatever it is called. Raises ImportProblem for a table whose
    columns say nothing.
    """
    called = name.lower()
    if called.endswith((".json", ".jsonl", ".ndjson")) or re.match(r'\s*(\{|\[\s*[{"\]])', text):
        return _json(text)
    if name and not called.endswith((".txt", ".md")):
        return _table(text)
    return _plain(text, paragraphs)


def _plain(text: str, paragraphs: Paragraphs) -> Iterator[Row | Problem]:
    """Prompts: one on each line, or blocks with blank lines between them."""
    block: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            block.append(line.rstrip())
        if block and (paragraphs == "lines" or not line.strip()):
            yield Row(number - len(block) + bool(line.strip()), {"prompt": "\n".join(block)})
            block = []


# -- JSON -------------------------------------------------------------------------------------------------


def _json(text: str) -> Iterator[Row | Problem]:
    if text.lstrip().startswith("["):
        return _values(text, text.index("[") + 1, array=True)
    lines = text.split("\n")  # not splitlines: JSON strings may hold other separators
    first = next(line for line in lines if line.strip())
    if isinstance(_decoded(first, 1), Problem) and not isinstance(next(_values(text, 0)), Problem):
        return _values(text, 0)
    return (_decoded(line, number) for number, line in enumerate(lines, start=1) if line.strip())


def _values(text: str, at: int, *, array: bool = False) -> Iterator[Row | Problem]:
    """The objects of an array, or one after another; an array ends with its bracket."""
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
            said = getattr(error, "msg", "nested too deeply")
            where = getattr(error, "lineno", line)
            yield Problem(where, f"not JSON ({said}); nothing after it was read.")
            return
        yield _object(value, line)
        line += text.count("\n", after, at)


def _decoded(line: str, number: int) -> Row | Problem:
    try:
        return _object(json.loads(line), number)
    except json.JSONDecodeError as error:
        return Problem(number, f"not JSON ({error.msg}, column {error.colno}).")
    except (ValueError, RecursionError):
        return Problem(number, "not JSON that can be read (a number too long, or nested too deeply).")


def _object(value: Any, line: int) -> Row | Problem:
    if isinstance(value, str):
        return Row(line, {"prompt": value})
    if not isinstance(value, dict):
        return Problem(line, 'neither a text nor an object; write {"prompt": "…"}.')
    # Label Studio's tasks keep their texts under "data".
    inner = value.get("data")
    value = inner if isinstance(inner, dict) and "prompt" not in value else value
    return Row(line, {named(name): each for name, each in value.items()})


# -- Tables -----------------------------------------------------------------------------------------------


def _table(text: str) -> Iterator[Row | Problem]:
    """The records under a header, separated by whatever separates the header's names."""
    stated = re.match(r"sep=(.)\r?\n", text)  # spreadsheets may say so on the first line
    skipped = stated.end() if stated else 0
    body = text[skipped:]
    reader, header = max(
        (_opened(body, delimiter) for delimiter in (stated[1] if stated else DELIMITERS)),
        key=lambda each: (sum(map(_is_known, each[1])), len(each[1])),
    )
    if not {"chosen", "rejected", *PROMPT_NAMES} & set(header):
        there = ", ".join(f"“{name[:40]}”" for name in header[:8] if name) or "none"
        raise ImportProblem(
            "A table needs a first line with the names of its columns, one of them “prompt”. "
            f"The first line here has {there}."
        )
    for name in header:
        if _is_known(name) and header.count(name) > 1:
            raise ImportProblem(f"Two columns are named “{name}”: rename one of them.")
    return _records(reader, header, before=bool(stated))


def _is_known(name: str) -> bool:
    return KNOWN.fullmatch(name) is not None


def _opened(text: str, delimiter: str) -> tuple[Any, list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return reader, [named(name) for name in next(reader, [])]
    except csv.Error:
        return reader, []


def _records(reader: Any, header: list[str], *, before: bool) -> Iterator[Row | Problem]:
    while True:
        line = reader.line_num + 1 + before
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            too_long = "field larger" in str(error)
            said = "a cell of more than 131,072 characters" if too_long else str(error)
            yield Problem(line, f"{said}: is a quotation mark not closed? Nothing after it was read.")
            return
        if not any(map(str.strip, cells)):
            continue
        if len(cells) != len(header):
            yield Problem(line, f"{len(cells)} cells, but the first line has {len(header)}.")
            continue
        yield Row(line, {name: cell for name, cell in zip(header, cells, strict=True) if cell.strip()})
