"""Pages for reviewers: agreement in a project, and metrics of each annotator."""

import csv
from collections.abc import Iterable
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, allowed_project, signed_in
from labeling.models import Annotation, Project
from labeling.proportions import Share
from labeling.quality.adjudication import own_tasks, with_tasks
from labeling.quality.annotators import Person
from labeling.quality.bradley_terry import strengths
from labeling.quality.charts import Bar
from labeling.quality.report import OneOverTime, Quality
from labeling.quality.warnings import rest_of

MAX_ANNOTATORS = 200
MAX_DISAGREEMENTS = 8
MAX_COMMENTS = 24

REVIEW = "labeling.review"

# /projects/<slug>/quality/


@require_GET
@signed_in
@never_cache
def quality(request: UserRequest, slug: str) -> HttpResponse:
    """The quality report of a project."""
    found = Quality.of(allowed_project(request.user, slug, REVIEW))
    warned = {finding.person.pk for finding in found.findings}
    low = found.disagreements
    context = {
        "project": found.project,
        "quality": found,
        "rows": [annotator_row(person, found.usual) for person in found.people[:MAX_ANNOTATORS]],
        "more_annotators": len(found.people) - MAX_ANNOTATORS,
        "warned": warned,
        "disagreements": with_tasks(low[:MAX_DISAGREEMENTS]),
        "disagreement_count": len(low),
        "flags_and_comments": flags_and_comments(request, found.project, hidden={row.task for row in low}),
    }
    return render(request, "labeling/quality/project.html", context)


@require_GET
@signed_in
@never_cache
def quality_strengths(request: UserRequest, slug: str) -> HttpResponse:
    """The strength of each generator, loaded after the page because it takes longest."""
    project = allowed_project(request.user, slug, REVIEW)
    rows = [
        {
            "strength": row,
            "bar": Bar(row.chance, *row.interval, usual=0.5)
            if row.chance is not None and row.interval is not None
            else None,
        }
        for row in strengths(project)
    ]
    return render(request, "labeling/quality/_generator_strengths.html", {"rows": rows})


@require_GET
@signed_in
@never_cache
def quality_annotator(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """One annotator of a project, over time."""
    found = Quality.of(allowed_project(request.user, slug, REVIEW))
    person = next((each for each in found.people if each.pk == pk), None)
    if person is None:
        return render(request, "404.html", status=404)
    context = {
        "project": found.project,
        "person": person,
        "findings": [finding for finding in found.findings if finding.person is person],
        "over_time": OneOverTime(found.answers, person, found.usual),
        "metrics": annotator_metrics(person, found.people),
        "flags_and_comments": flags_and_comments(
            request, found.project, hidden={row.task for row in found.disagreements}, annotator=pk
        ),
    }
    return render(request, "labeling/quality/annotator.html", context)


@require_GET
@signed_in
@never_cache
def quality_csv(request: UserRequest, slug: str) -> HttpResponse:
    """The table of annotators as CSV."""
    found = Quality.of(allowed_project(request.user, slug, REVIEW))
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{found.project.slug}-annotators.csv"'
    writer = csv.writer(response)
    shares = ("gold", "repeats", "others", "reliability", "first", "tied", "all_bad", "skipped", "flagged",
              "too_fast", "training")  # fmt: skip
    columns = [f"{name}_{part}" for name in shares for part in ("share", "low", "high", "of")]
    writer.writerow(
        ["annotator", "answers", "last", "passed", "entry_answers", "seconds_median", "seconds_low",
         "seconds_high", *columns, "warnings"]
    )  # fmt: skip
    for person in found.people:
        times = person.seconds
        row: list[Any] = [
            csv_safe(person.name),
            person.answers,
            person.last.isoformat(sep=" "),
            "" if person.qualified is None else person.qualified.date().isoformat(),
            person.tries,
            *(("", "", "") if times is None else _rounded(times.value, times.low, times.high)),
        ]
        for name in shares:
            share = getattr(person, name)
            row += [""] * 4 if share is None else [*_rounded(share.share, share.low, share.high), share.of]
        row.append("; ".join(finding.name for finding in found.findings if finding.person is person))
        writer.writerow(row)
    return response


def csv_safe(text: str) -> str:
    """Text that a spreadsheet will not run as a formula."""
    return f"'{text}" if text.startswith(("\t", "\r", "\n")) or text.lstrip()[:1] in set("=+-@|") else text


def annotator_row(person: Person, usual: dict[str, Any]) -> dict[str, Any]:
    """An annotator's row in the table, with its interval charts."""
    times = person.seconds
    longest = 3 * (usual["seconds"] or 1)
    return {
        "person": person,
        "gold": _bar(person.gold, usual["gold"]),
        "others": _bar(person.others, usual["others"]),
        "reliability": _bar(person.reliability, 0.5),
        "first": _bar(person.first, person.chance),
        "seconds": None
        if times is None
        else Bar(times.value, times.low, times.high, usual=usual["seconds"], high_end=longest),
        "has_position_bias": person.first is not None
        and not person.first.low <= person.chance <= person.first.high,
    }


def annotator_metrics(person: Person, people: list[Person]) -> list[dict[str, Any]]:
    """An annotator's proportions beside those of all others; only those with data."""
    rows = (
        ("Gold accuracy", "gold", "gold tasks"),
        ("Self-agreement on repeats", "repeats", "repeats"),
        ("Picks first shown", "first", "answers"),
        ("Ties", "tied", "answers"),
        ("All bad", "all_bad", "answers"),
        ("Skipped", "skipped", "tasks"),
        ("Flagged", "flagged", "answers"),
        ("Faster than the texts can be skimmed", "too_fast", "answers"),
        ("Training task accuracy", "training", "tasks"),
    )
    metrics = []
    if person.others is not None:
        metrics.append(_metric("Agreement with others", person.others, person.without, "answers"))
    if person.reliability is not None:
        metrics.append(_metric("Reliability (50 % is guessing)", person.reliability, None, "answers"))
    for label, name, things in rows:
        share = getattr(person, name)
        if share is not None:
            rest = rest_of(person, people, lambda each, name=name: getattr(each, name))  # type: ignore[misc]
            metrics.append(_metric(label, share, rest, things))
    return metrics


def flags_and_comments(
    request: UserRequest, project: Project, *, hidden: Iterable[int], annotator: int | None = None
) -> list[dict[str, Any]]:
    """The latest flags and comments. The text stays hidden on tasks the reviewer still has to answer."""
    rows = Annotation.objects.of(project).counting().remarked()
    if annotator is not None:
        rows = rows.filter(assignment__annotator=annotator)
    rows = rows.select_related("assignment__annotator", "assignment__task__prompt").order_by("-pk")
    hidden = set(hidden) - own_tasks(request.user, project)
    return [{"annotation": row, "is_hidden": row.assignment.task_id in hidden} for row in rows[:MAX_COMMENTS]]


def _bar(share: Any, usual: float | None) -> Bar | None:
    return None if share is None else Bar(share.share, share.low, share.high, usual=usual)


def _metric(label: str, share: Any, rest: Share | None, things: str) -> dict[str, Any]:
    return {
        "label": label,
        "share": share,
        "rest": rest,
        "things": things,
        "bar": _bar(share, rest.share if rest else None),
    }


def _rounded(*values: float) -> list[float]:
    return [round(value, 4) for value in values]
