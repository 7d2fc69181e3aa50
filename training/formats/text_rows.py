"""Rows of tables (comma, semicolon, tab or pipe between the cells), and prompts in plain text."""

import csv
import io
import re
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import Any, Literal, TextIO

from training.formats.rows import FileProblem, Problem, Row, Rows, checked, undecodable

Paragraphs = Literal["lines", "blocks"]
"""Whether each line of a plain text is a prompt, or each block between blank lines."""
DELIMITERS = ",;\t|"
MAX_CELL = 1 << 24
"""Characters of a cell; more is a quotation mark that is not closed."""
_SEPARATOR = re.compile(r"sep=(.)\r?\n?\Z")


def normalise_name(name: Any) -> str:
    """A column name in lower case with underscores: `Response 1` is `response_1`."""
    return re.sub(r"[\s.-]+", "_", str(name).strip().lower())


def read_plain_text(stream: TextIO, paragraphs: Paragraphs) -> Rows:
    """Prompts, one per line or separated by blank lines. Only line ends separate lines."""
    block: list[str] = []
    first = 0
    for number, line in enumerate(chain(stream, [""]), start=1):
        text = line.rstrip()
        if text:
            first = first if block else number
            block.append(text)
        if block and (paragraphs == "lines" or not text):
            whole = "\n".join(block)
            reason = undecodable(whole)
            yield Problem(first, reason) if reason else checked(first, {"prompt": whole})
            block = []


def table_delimiter(line: str, is_known: Callable[[str], bool]) -> str:
    """The delimiter by which a line is the header of a table with two known columns, or that it names; empty
    if there is none."""
    if found := _SEPARATOR.match(line):
        return found[1]
    for delimiter in DELIMITERS:
        names = _header(line, delimiter)
        if len(names) > 1 and len(names) == len(set(names)) and sum(map(is_known, names)) >= 2:
            return delimiter
    return ""


def read_table(stream: TextIO, is_known: Callable[[str], bool]) -> Rows:
    """The records under a header, with the delimiter that gives the most known column names.

    Cells are texts; empty ones are left out. Raises FileProblem without a header.
    """
    csv.field_size_limit(MAX_CELL)
    first = stream.readline()
    delimiters, skipped = DELIMITERS, 0
    if found := _SEPARATOR.match(first):  # spreadsheets may name it on the first line
        delimiters, skipped, first = found[1], 1, stream.readline()
    delimiter = max(
        delimiters, key=lambda each: (sum(map(is_known, _header(first, each))), len(_header(first, each)))
    )
    reader = csv.reader(chain([first], stream), delimiter=delimiter, strict=True)
    header = _read_header(reader)
    if not any(is_known(name) for name in header):
        names = ", ".join(f"“{name[:40]}”" for name in header[:8] if name) or "none"
        raise FileProblem(
            "a table needs a header with the names of its columns, one of them “prompt”; "
            f"the first line here has {names}."
        )
    for name in header:
        if name and is_known(name) and header.count(name) > 1:
            raise FileProblem(f"two columns are named “{name}”: rename one of them.")
    return _read_records(reader, header, skipped)


def _header(line: str, delimiter: str) -> list[str]:
    try:
        return [normalise_name(name) for name in next(csv.reader(io.StringIO(line), delimiter=delimiter), [])]
    except csv.Error:
        return []


def _read_header(reader: Any) -> list[str]:
    try:
        return [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise FileProblem(f"the header cannot be read ({error}): is a quotation mark not closed?") from None


def _read_records(reader: Any, header: Collection[str], skipped: int) -> Iterator[Row | Problem]:
    names = list(header)
    while True:
        number = reader.line_num + 1 + skipped
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"a cell of more than {MAX_CELL:,} characters" if "limit" in str(error) else str(error)
            yield Problem(number, f"{reason}: is a quotation mark not closed? Nothing after it was read.")
            return
        if not any(map(str.strip, cells)):
            continue
        if (len(cells) != len(names) and any(map(str.strip, cells[len(names) :]))) or len(cells) < len(names):
            yield Problem(
                number, f"{len(cells)} cells, but the header has {len(names)}: quote cells with separators."
            )
            continue
        values = {name: cell for name, cell in zip(names, cells, strict=False) if name and cell.strip()}
        joined = "".join(values.values())
        if reason := undecodable(joined):
            yield Problem(number, reason)
        else:
            yield (
                Row(number, values) if joined.isascii() and "\x00" not in joined else checked(number, values)
            )
