"""Forms on the command line: fields become options, and the first error becomes a CommandError."""

from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Sequence
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.core.management.base import CommandError

from training.formats.reader import AUTO, FORMATS

Form = TypeVar("Form", bound=forms.BaseForm)


def add_options(parser: ArgumentParser, form: forms.BaseForm, *, arguments: Sequence[str] = ()) -> None:
    """Add an option for each field of a form. Argparse only collects strings; the form validates them.

    The fields in `arguments` become positional arguments, in that order.
    """
    for name in arguments:
        field = form.fields[name]
        parser.add_argument(
            name, metavar=name.upper(), nargs=None if field.required else "?", help=str(field.help_text)
        )
    for name, field in form.fields.items():
        if name in arguments:
            continue
        options: dict[str, Any] = {"dest": name, "default": None, "metavar": name.rpartition("_")[2].upper()}
        text = str(field.help_text).replace("%", "%%").rstrip(".")
        if isinstance(field, forms.BooleanField):
            options |= {"action": BooleanOptionalAction}
            del options["metavar"]
        elif isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
            text += f": {', '.join(str(key) for key, _ in list(field.widget.choices))}"
        if field.initial not in (None, ""):
            text += f" (default: {field.initial})"
        parser.add_argument(f"--{name.replace('_', '-')}", help=text, **options)


def add_file_options(parser: ArgumentParser) -> None:
    """Add the options that say how a file is read."""
    parser.add_argument(
        "--format",
        choices=(AUTO, *FORMATS),
        default=AUTO,
        help=f"Format of the file (default: {AUTO}, by its columns).",
    )
    parser.add_argument(
        "--columns",
        default="",
        help="What columns of the file are taken for: prompt=question_text,chosen=selected.",
    )
    parser.add_argument(
        "--encoding",
        default="",
        help="Encoding of the file, if it is neither UTF-8 nor UTF-16: cp1252.",
    )


def given_values(form: forms.BaseForm, options: dict[str, Any]) -> dict[str, Any]:
    """The values of those form fields that were given on the command line."""
    return {name: options[name] for name in form.fields if options.get(name) is not None}


def require_valid(form: Form, *, arguments: Sequence[str] = ()) -> Form:
    """Return the form if it is valid; else raise CommandError with its first error, naming the option.

    The fields in `arguments` are positional.
    """
    if form.is_valid():
        return form
    name, messages = next(iter(form.errors.items()))
    where = "" if name == NON_FIELD_ERRORS else f"--{name.replace('_', '-')}: "
    if name in arguments:
        where = f"{name.upper()}: "
    raise CommandError(f"{where}{messages[0]}")
