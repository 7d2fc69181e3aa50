"""Options of a study at the command line: the fields of its frozen dataclass, with their help and limits."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Sequence
from dataclasses import Field, fields, replace
from typing import Any, TypeVar

from training.gpt.errors import InputError

Options = TypeVar("Options")


def add_options(parser: ArgumentParser, options: type[Any]) -> None:
    """An option for each field; what is not given stays None, so that `--quick` may say what it is then."""
    for entry in fields(options):
        text = str(entry.metadata.get("help", "")).replace("%", "%%")
        shown = entry.default if entry.default != "" else "none"
        common: dict[str, Any] = {"dest": entry.name, "default": None, "help": f"{text} (default: {shown})"}
        flag = f"--{entry.name.replace('_', '-')}"
        if entry.type is bool:
            parser.add_argument(flag, action=BooleanOptionalAction, **common)
        else:
            parser.add_argument(flag, metavar=entry.name.rpartition("_")[2].upper(), **common)


def read_options(base: Options, given: Namespace) -> Options:
    """`base`, changed by what was given; the dataclass checks it. Raises InputError that names the option."""
    changes = {
        entry.name: _value(entry, getattr(given, entry.name))
        for entry in fields(base)  # type: ignore[arg-type]
        if getattr(given, entry.name) is not None
    }
    return replace(base, **changes)  # type: ignore[type-var]


def numbers(text: str, *, name: str, most: float, least: float = 0) -> list[float]:
    """The different numbers of a list such as "250,1000,4000", in rising order, each from `least` to `most`.

    Raises InputError that names the option.
    """
    try:
        found = sorted({float(part) for part in text.split(",")})
    except ValueError:
        found = []
    if not found or not all(least <= each <= most for each in found):
        raise InputError(f"{name}: {text!r} should be numbers from {least:g} to {most:g}, joined by commas")
    return found


def _value(entry: "Field[Any]", text: Any) -> Any:
    if entry.type in {int, float}:
        try:
            return entry.type(text)
        except ValueError:
            kind = "a whole number" if entry.type is int else "a number"
            raise InputError(f"{entry.name}: expected {kind}, not {text!r}") from None
    return text


def names(text: str, *, name: str, choices: Sequence[str]) -> list[str]:
    """The different words of a list such as "stories,reviews", as given; InputError for an unknown one."""
    found = list(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [each for each in found if each not in choices]
    if unknown:
        raise InputError(f"{name}: {unknown[0]!r} is unknown; choose among {', '.join(choices)}")
    return found
