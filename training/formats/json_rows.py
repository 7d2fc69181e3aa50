"""Rows of JSON: lines, an array, objects one after another, or a wrapper such as `{"rows": [{"row": {…}}]}`.

Which of them it is, the content says. Memory stays small: arrays are decoded element by element.
"""

import json
import re
from collections.abc import Iterable
from itertools import chain
from typing import Any, TextIO

from training.formats.messages import is_conversation
from training.formats.rows import Problem, Row, Rows, checked, undecodable

CHUNK = 1 << 18
"""Characters read at a time."""
MAX_VALUE = 1 << 26
"""Characters of the longest row."""
WRAPPERS = ("rows", "data", "records", "examples", "instances", "train", "validation", "test")
"""Keys of an object around all rows."""
SPLITS = ("train", "validation", "test")
"""Those of them that name the split of their rows."""

_SPACE = re.compile(r"\s*")
_SPACE_OR_COMMA = re.compile(r"[\s,]*")
_FIRST_OBJECT = re.compile(r"\[\s*\{")
_COMMA_BEFORE_BRACKET = re.compile(r",\s*[}\]]")
_MAY_BE_ODD = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
_DECODER = json.JSONDecoder()

TOO_DEEP = "is nested too deeply: write the row as plain columns"
TOO_LONG_NUMBER = "holds a number of too many digits: shorten it"
BY_COLUMNS = (
    "is a whole table by columns: write one object for each row (pandas: orient='records', lines=True)."
)
CUT_OFF = "not JSON: it ends in the middle; is the file cut off? Copy or download it again"


def read_json(stream: TextIO) -> Rows:
    """The rows of a text that is JSON."""
    number, line = _next_line(stream, size=CHUNK)
    begin = line.lstrip()[:1]
    if len(line) >= CHUNK and not line.endswith("\n"):
        if begin == "[" or _is_wrapper(line):
            return _ValueReader(line, stream, line=number).rows()
        line += stream.readline()
    skipped, second = _next_line(stream)
    is_value = not isinstance(_decode(line), Problem)
    if is_value:
        are_lines = bool(second) or not (begin == "[" or _is_wrapper(line))
    else:
        are_lines = begin != "[" and second.lstrip()[:1] == begin
    if are_lines:
        numbered = enumerate(stream, start=number + skipped + 1)
        return _read_lines(chain([(number, line), (number + skipped, second)], numbered))
    return _ValueReader(line + "\n" * (skipped - 1) + second, stream, line=number).rows()


# -- Lines ------------------------------------------------------------------------------------------------


def _next_line(stream: TextIO, *, size: int = -1) -> tuple[int, str]:
    """The next line that is not blank, and its number from here; empty at the end."""
    number = 0
    while line := stream.readline(size):
        number += 1
        if line.strip():
            return number, line
    return number, ""


def _read_lines(lines: Iterable[tuple[int, str]]) -> Rows:
    for number, line in lines:
        if not line.strip():
            continue
        if reason := undecodable(line):
            yield Problem(number, reason)
            continue
        value = _decode(line)
        yield value._replace(row=number) if isinstance(value, Problem) else _row_of(number, value, line)


def _decode(line: str) -> Any:
    """The value of a line, or its Problem."""
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        return Problem(0, f"{_why(line, error, f'column {error.colno}')}.")
    except RecursionError:
        return Problem(0, f"{TOO_DEEP}.")
    except ValueError:
        return Problem(0, f"{TOO_LONG_NUMBER}.")


def _why(text: str, error: json.JSONDecodeError, where: str) -> str:
    """What is wrong with a text that is not JSON, and what to do."""
    if "\x00" in text[: error.pos + 1]:
        return "holds a NUL character: remove it"
    if error.msg == "Extra data" and text[error.pos :].strip() == ",":
        return "not JSON: a comma after the object; remove it, or put all rows between [ and ]"
    if _COMMA_BEFORE_BRACKET.search(text[max(error.pos - 2, 0) : error.pos + 2]):
        return f"not JSON: a comma before the closing bracket ({where}); remove it"
    if error.msg.startswith("Unterminated") or error.pos >= len(text.rstrip()):
        return CUT_OFF
    return f"not JSON ({error.msg}, {where}): correct it, or write one object on each line"


# -- Values one after another -----------------------------------------------------------------------------


class _StopReading(Exception):  # noqa: N818 - it ends the reading, and says why
    pass


class _ValueReader:
    """Reads values from a stream: those of an array or a wrapper, or such that follow one another."""

    def __init__(self, begin: str, stream: TextIO, *, line: int) -> None:
        self.text, self.at, self.line = begin, 0, line
        self.stream = stream
        self.number = 0

    def rows(self) -> Rows:
        """The rows of all values; a problem that hides where the next row begins ends them."""
        try:
            while mark := self._peek():
                if mark == "[":
                    yield from self._array()
                elif mark == "{" and self._is_at_wrapper():
                    yield from self._wrapper()
                else:
                    yield self._row()
                if self._peek() == ",":
                    raise _StopReading("not JSON: a comma between rows; put all rows between [ and ]")
        except _StopReading as stop:
            yield Problem(self.number + 1, f"{stop}; nothing after it was read.")

    def _row(self, split: str = "") -> Row | Problem:
        value, text = self._value()
        self.number += 1
        if reason := undecodable(text):
            return Problem(self.number, reason)
        row = _row_of(self.number, value, text)
        if split and isinstance(row, Row):
            return Row(row.number, {"split": split, **row.values})
        return row

    def _array(self, split: str = "") -> Rows:
        """The rows of an array."""
        self.at += 1
        after_comma = False
        while mark := self._peek():
            if mark == "]":
                self.at += 1
                if after_comma:
                    yield Problem(self.number + 1, "not JSON: a comma after the last row; remove it.")
                return
            yield self._row(split)
            mark = self._peek()
            after_comma = mark == ","
            if after_comma:
                self.at += 1
            elif mark and mark != "]":
                raise _StopReading("not JSON: no comma between this row and the one before it; write one")
        raise _StopReading("the array is not closed: is the file cut off? Copy or download it again")

    def _is_at_wrapper(self) -> bool:
        while len(self.text) - self.at < CHUNK and self._read_on(1):
            pass
        return _is_wrapper(self.text[self.at : self.at + CHUNK])

    def _wrapper(self) -> Rows:
        """The rows of a wrapper, whatever stands beside them."""
        self.at += 1
        while mark := self._peek():
            if mark in "},":
                self.at += 1
                if mark == "}":
                    return
                continue
            key, _ = self._value()
            if self._peek() != ":":
                raise _StopReading("not JSON: a name without a value")
            self.at += 1
            if self._peek() == "[" and key in WRAPPERS:
                yield from self._array(key if key in SPLITS else "")
            else:
                self._value()
        raise _StopReading("the object is not closed: is the file cut off? Copy or download it again")

    def _peek(self) -> str:
        """The next character that is not space; empty at the end."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._read_on(1):
                return ""

    def _read_on(self, characters: int) -> bool:
        """Read at least so many more, and let go of what was used; False if none are left."""
        self.line += self.text.count("\n", 0, self.at)
        piece = self.stream.read(max(characters, CHUNK))
        self.text, self.at = self.text[self.at :] + piece, 0
        return bool(piece)

    def _value(self) -> tuple[Any, str]:
        """The next value, and its text."""
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or error.pos >= len(self.text) - 16
                # Twice as much each time, so that a long value is tried few times.
                if is_cut and len(self.text) < MAX_VALUE and self._read_on(len(self.text) - self.at):
                    continue
                line = self.line + self.text.count("\n", 0, error.pos)
                raise _StopReading(_why(self.text, error, f"line {line:,}")) from None
            except RecursionError:
                raise _StopReading(TOO_DEEP) from None
            except ValueError:
                raise _StopReading(TOO_LONG_NUMBER) from None
            is_open = end == len(self.text) and not isinstance(value, dict | list | str)
            if is_open and self._read_on(1):  # a number may go on
                continue
            text, self.at = self.text[self.at : end], end
            return value, text


def _is_wrapper(text: str) -> bool:
    """Whether a text begins with an object that has a list of objects under one of WRAPPERS."""
    at = _SPACE.match(text).end()  # type: ignore[union-attr]
    if text[at : at + 1] != "{":
        return False
    at += 1
    try:
        while True:
            at = _SPACE_OR_COMMA.match(text, at).end()  # type: ignore[union-attr]
            key, at = _DECODER.raw_decode(text, at)
            at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
            if text[at : at + 1] != ":" or not isinstance(key, str):
                return False
            at = _SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
            if key in WRAPPERS and _FIRST_OBJECT.match(text, at):
                return True
            _, at = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return False


# -- Values as rows ---------------------------------------------------------------------------------------


def _row_of(number: int, value: Any, text: str) -> Row | Problem:
    """The row that a value is; `text` is its JSON."""
    if isinstance(value, str):
        value = {"prompt": value}
    elif is_conversation(value):
        value = {"messages": value}
    elif not isinstance(value, dict):
        return Problem(number, 'is neither an object nor a text: write {"prompt": "…"}.')
    elif "row" in value and value.keys() <= {"row", "row_idx", "truncated_cells"}:
        if value.get("truncated_cells"):
            return Problem(number, "holds cells that were cut short: download the whole data set.")
        if not isinstance(value["row"], dict):
            return Problem(number, "is not an object.", "row")
        value = value["row"]
    if reason := _why_not_a_row(value):
        return Problem(number, reason)
    may_be_odd = not text.isascii() or _MAY_BE_ODD.search(text)
    return checked(number, value) if may_be_odd else Row(number, value)


def _why_not_a_row(value: dict[str, Any]) -> str:
    """Why an object is no row but a whole table, column by column; empty if it is a row."""
    columns = list(value.values())
    first = columns[0] if len(columns) > 1 else None
    if isinstance(first, dict):
        is_table = "0" in first and all(
            isinstance(each, dict) and each.keys() == first.keys() for each in columns
        )
    else:
        is_table = isinstance(first, list) and all(
            isinstance(each, list) and len(each) == len(first) and all(isinstance(cell, str) for cell in each)
            for each in columns
        )
    return BY_COLUMNS if is_table else ""
