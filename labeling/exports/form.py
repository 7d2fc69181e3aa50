"""The form of the export page."""

from typing import Any

from django import forms

from labeling.exports.formats import FORMATS
from labeling.exports.options import ExportError, parse_options
from labeling.models import Project

CONTAINERS = {
    "jsonl": "JSON Lines",
    "jsonl.gz": "JSON Lines, compressed (.gz)",
    "json": "JSON",
    "parquet": "Parquet",
    "csv": "CSV for a spreadsheet",
}
"""The kinds of file that a browser downloads."""


class ExportForm(forms.Form):
    """The options of an export."""

    format = forms.ChoiceField(
        choices=[(each.name, each.description) for each in FORMATS.values()],
        widget=forms.RadioSelect,
        initial="trl-preference",
    )
    container = forms.ChoiceField(
        choices=list(CONTAINERS.items()),
        initial="jsonl",
        label="File",
        help_text="In the CSV file, an apostrophe stands before cells that would be formulas.",
    )
    split = forms.ChoiceField(
        required=False,
        label="Prompts",
        help_text="Usually those for training; for other labelling tools, all of them.",
        choices=[
            ("", "as usual for the format"),
            ("train", "for training"),
            ("heldout", "held out"),
            ("all", "all of them"),
        ],
    )
    aggregate = forms.ChoiceField(
        required=False,
        label="Several people’s answers",
        choices=[
            ("none", "each on its own"),
            ("majority", "as one, by majority"),
            ("reliability", "as one, weighted by reliability"),
        ],
    )
    ties = forms.ChoiceField(
        required=False, choices=[("drop", "leave them out"), ("keep", "keep them as rows")]
    )
    messages = forms.ChoiceField(
        required=False,
        label="Conversations",
        choices=[
            ("", "messages, if there are any"),
            ("true", "messages"),
            ("false", "text"),
        ],
    )
    snapshot = forms.CharField(
        required=False,
        max_length=64,
        help_text="Its hash, or the beginning of it; empty: all answers given so far.",
    )
    names = forms.BooleanField(required=False, label="Annotators by name, not as numbers")

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.project = project

    def clean(self) -> dict[str, Any]:
        """Check that the choices go together."""
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        cleaned["messages"] = {"": None, "true": True, "false": False}[cleaned["messages"]]
        cleaned["spreadsheet"] = cleaned["container"] == "csv"
        try:
            chosen = parse_options(self.project, cleaned).format
        except ExportError as error:
            field, _, reason = str(error).partition(": ")
            self.add_error(field if field in self.fields else None, reason or str(error))
            return cleaned
        if cleaned["container"] not in chosen.containers:
            self.add_error("container", f"{chosen.name} is written as JSON: choose JSON or JSON Lines.")
        return cleaned
