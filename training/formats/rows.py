"""Rows of files: what every container gives, and what can be wrong with one."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One row of a file, with the names of its columns as they are written."""

    number: int
    """Line of a text file, else element of the array or row of the table; from 1."""
    values: dict[str, Any]


class Problem(NamedTuple):
    """What is wrong with one row, and what to do about it."""

    row: int
    """0 for the file as a whole."""
    reason: str
    column: str = ""

    def __str__(self) -> str:
        colon = "" if _SENTENCE.match(self.reason) else ":"
        what = f"“{self.column}”{colon} {self.reason}" if self.column else self.reason
        return f"row {self.row:,}: {what}" if self.row else what


class FileProblem(ValueError):  # noqa: N818 - a problem of the file, with a message for its owner
    """The file cannot be read at all; the message says why and what to do."""


Rows = Iterator[Row | Problem]

_SENTENCE = re.compile(r"(is|has|holds|does|differs|and|of|ends|needs)\b")
"""How a reason begins that the column is the subject of."""
_NAMED = re.compile(r'"([^"]{1,80})"(?: \d+)?:? (.*)', re.DOTALL)


def problem_of(row: int, message: str) -> Problem:
    """A problem from the message of an error; a quoted name that it begins with is the column."""
    found = _NAMED.fullmatch(message)
    return Problem(row, found[2], found[1]) if found else Problem(row, message)


_ESCAPED_BYTES = re.compile("[\udc80-\udcff]")


def undecodable(text: str) -> str:
    """Why a text that was decoded with `surrogateescape` cannot be used; empty if it can."""
    if text.isascii() or not _ESCAPED_BYTES.search(text):
        return ""
    return "is not UTF-8: save the file as UTF-8, or name its encoding."


def text_problem(value: Any) -> str:
    """Why a text, or one inside a value, cannot be stored; empty if it can."""
    if isinstance(value, str):
        if "\x00" in value:
            return "holds a NUL character: remove it."
        try:
            value.encode()
        except UnicodeEncodeError:
            return "holds half a character (a lone surrogate): write the text again as UTF-8."
        return ""
    if isinstance(value, dict):
        return next(filter(None, (text_problem(each) for pair in value.items() for each in pair)), "")
    if isinstance(value, list):
        return next(filter(None, map(text_problem, value)), "")
    return ""


def checked(number: int, values: dict[str, Any]) -> Row | Problem:
    """The row, or the problem with the first of its texts that cannot be stored."""
    for name, value in values.items():
        if reason := text_problem(name) or text_problem(value):
            return Problem(number, reason, name.encode("ascii", "replace").decode().replace("\x00", "?"))
    return Row(number, values)
