"""Options of a study at the command line: the fields of its frozen dataclass, with their help and limits."""

import sys
from argparse import SUPPRESS, Action, ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Sequence
from dataclasses import Field, fields, replace
from typing import Any, TypeVar

from training.gpt.errors import InputError

Options = TypeVar("Options")

RENAMED = {
    "task": "subject",
    "tasks": "subjects",
    "arms": "ways",
    "aggregations": "uses",
    "tuned_seeds": "tuned",
}
"""Option names and their old spellings, which are accepted with a note."""


def add_options(parser: ArgumentParser, options: type[Any]) -> None:
    """Add an option for each field. One that is not given stays None, so that `--quick` can set it."""
    for entry in fields(options):
        text = str(entry.metadata.get("help", "")).replace("%", "%%")
        default = entry.default if entry.default != "" else "none"
        common: dict[str, Any] = {"dest": entry.name, "default": None, "help": f"{text} (default: {default})"}
        flag = _flag(entry.name)
        if entry.type is bool:
            parser.add_argument(flag, action=BooleanOptionalAction, **common)
        else:
            parser.add_argument(flag, metavar=entry.name.rpartition("_")[2].upper(), **common)
        if entry.name in RENAMED:
            old = _flag(RENAMED[entry.name])
            parser.add_argument(old, dest=entry.name, default=None, action=_Renamed, help=SUPPRESS)


def read_options(base: Options, given: Namespace) -> Options:
    """`base` with the options that were given. Raises InputError that names a wrong one."""
    changes = {
        entry.name: _value(entry, getattr(given, entry.name))
        for entry in fields(base)  # type: ignore[arg-type]
        if getattr(given, entry.name) is not None
    }
    return replace(base, **changes)  # type: ignore[type-var]


def parse_numbers(text: str, *, name: str, max_value: float, min_value: float = 0) -> list[float]:
    """The distinct numbers of a list such as "250,1000,4000", in rising order.

    Raises InputError that names the option.
    """
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or not all(min_value <= each <= max_value for each in found):
        raise InputError(
            f"{name}: {text!r} should be numbers from {min_value:g} to {max_value:g}, joined by commas"
        )
    return found


def parse_seeds(text: str) -> list[int]:
    """The option `seeds` as whole numbers."""
    return [int(seed) for seed in parse_numbers(text, name="seeds", max_value=1e6)]


def parse_names(text: str, *, name: str, choices: Sequence[str]) -> list[str]:
    """The distinct words of a list such as "stories,reviews", as given; InputError for an unknown one."""
    found = list(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [each for each in found if each not in choices]
    if unknown:
        raise InputError(f"{name}: {unknown[0]!r} is unknown; choose among {', '.join(choices)}")
    return found


class _Renamed(Action):
    """Takes the value of an option given by its old spelling."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        print(f"{parser.prog}: {option_string} is now {_flag(self.dest)}", file=sys.stderr)
        setattr(namespace, self.dest, values)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _value(entry: "Field[Any]", text: Any) -> Any:
    if entry.type in {int, float}:
        try:
            return entry.type(text)
        except ValueError:
            kind = "a whole number" if entry.type is int else "a number"
            raise InputError(f"{entry.name}: expected {kind}, not {text!r}") from None
    return text
