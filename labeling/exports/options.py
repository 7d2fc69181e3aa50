"""What may be chosen of an export, checked once for the command, the page and the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from labeling.exports.formats import FORMATS, ExportFormat, Split
from labeling.models import PreferenceSnapshot, Project

Aggregate = Literal["none", "majority", "reliability"]
CHOICES: Mapping[str, tuple[str, ...]] = {
    "format": tuple(FORMATS),
    "ties": ("drop", "keep"),
    "aggregate": ("none", "majority", "reliability"),
    "split": ("train", "heldout", "all"),
}
FEEDBACK_OF_SOURCE = {
    "comparisons": "has no comparisons: its annotators {what}; export prompt-completion instead.",
    "labels": "has no judged samples: its annotators {what}; export prompt-completion instead.",
}


class ExportError(ValueError):
    """An export that cannot be made; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The choices of an export of a project."""

    format: ExportFormat
    messages: bool | None = None
    """Prompts and completions as messages; None: if any prompt of the project is a conversation."""
    ties: Literal["drop", "keep"] = "drop"
    aggregate: Aggregate = "none"
    split: Split | None = None
    """None: as the format has it."""
    snapshot: PreferenceSnapshot | None = None
    """Only the answers of this snapshot, in the revisions it has."""
    names: bool = False
    """Annotators by their names; else as numbers."""

    @property
    def chosen_split(self) -> Split:
        return self.split or self.format.split


def parse_options(project: Project, given: Mapping[str, Any]) -> ExportOptions:
    """The options from their names and texts, as in a query; empty ones have their defaults.

    Raises ExportError for what is not there, or does not go together.
    """
    for name, choices in CHOICES.items():
        if given.get(name) and given[name] not in choices:
            raise ExportError(f"{name}: “{given[name]}” is not one of {', '.join(choices)}.")
    if not given.get("format"):
        raise ExportError(f"format: choose one of {', '.join(FORMATS)}.")
    options = ExportOptions(
        format=FORMATS[given["format"]],
        messages=given.get("messages"),
        ties=given.get("ties") or "drop",
        aggregate=given.get("aggregate") or "none",
        split=given.get("split") or None,
        snapshot=_find_snapshot(project, given.get("snapshot") or ""),
        names=bool(given.get("names")),
    )
    check_options(project, options)
    return options


def file_choices(given: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    """The choices for one file: a cell of CSV cannot hold messages that TRL reads, so it has text."""
    if given.get("messages") is None and container.startswith("csv"):
        return {**given, "messages": False}
    return given


def check_options(project: Project, options: ExportOptions) -> None:
    """Raise ExportError if the project or the format has no such thing."""
    chosen = options.format
    writes = project.feedback == Project.FeedbackKind.REWRITE
    if writes and chosen.source in FEEDBACK_OF_SOURCE and chosen.name.startswith("trl-"):
        reason = FEEDBACK_OF_SOURCE[chosen.source].format(what="write texts")
        raise ExportError(f"format: {project.slug} {reason}")
    if options.ties == "keep" and not chosen.has_ties:
        with_ties = ", ".join(each.name for each in FORMATS.values() if each.has_ties)
        raise ExportError(f"ties: {chosen.name} cannot say that two are equal; {with_ties} can.")
    if options.aggregate != "none":
        if not chosen.can_aggregate:
            raise ExportError(f"aggregate: {chosen.name} has each person's answer; leave it out.")
        if writes:
            raise ExportError("aggregate: texts that people wrote cannot be counted as votes; leave it out.")
    if options.snapshot is not None and chosen.source == "prompts":
        raise ExportError("snapshot: prompts are not part of snapshots; leave it out.")


def _find_snapshot(project: Project, beginning: str) -> PreferenceSnapshot | None:
    """The snapshot whose hash begins so; None for an empty text."""
    if not beginning:
        return None
    found = list(project.snapshots.filter(hash__startswith=beginning.lower()).defer("content")[:2])
    if len(found) == 1:
        return found[0]
    if found:
        raise ExportError(f"snapshot: several begin with “{beginning}”; give more of the hash.")
    known = ", ".join(each[:12] for each in project.snapshots.values_list("hash", flat=True)[:5])
    there = f"there are {known}" if known else "it has none yet; training makes them"
    raise ExportError(f"snapshot: {project.slug} has none that begins with “{beginning}”; {there}.")
