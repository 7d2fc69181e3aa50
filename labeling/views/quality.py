"""Pages for reviewers: agreement in a project, and metrics of each annotator."""

import csv
from collections.abc import Iterable
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, allowed_project, login_required
from labeling.models import Annotation, Project
from labeling.proportions import Proportion
from labeling.quality.adjudication import answered_task_ids, attach_tasks
from labeling.quality.annotators import AnnotatorMetrics
from labeling.quality.bradley_terry import generator_strengths
from labeling.quality.charts import IntervalBar
from labeling.quality.report import AnnotatorCharts, QualityReport
from labeling.quality.warnings import pooled_proportion

MAX_ANNOTATORS = 200
MAX_DISAGREEMENTS = 8
MAX_COMMENTS = 24

REVIEW = "labeling.review"
CSV_COLUMNS = {
    "gold": "gold_accuracy",
    "repeats": "self_agreement",
    "others": "agreement_with_others",
    "reliability": "reliability",
    "first": "first_shown_picked",
    "tied": "tied",
    "all_bad": "all_bad",
    "skipped": "skipped",
    "flagged": "flagged",
    "too_fast": "too_fast",
    "training": "training_accuracy",
}
"""Column prefixes of the CSV file, and the metrics in them."""

# /projects/<slug>/quality/


@require_GET
@login_required
@never_cache
def quality(request: UserRequest, slug: str) -> HttpResponse:
    """The quality report of a project."""
    report = QualityReport.for_project(allowed_project(request.user, slug, REVIEW))
    warned = {warning.annotator.pk for warning in report.warnings}
    disagreements = report.disagreements
    context = {
        "project": report.project,
        "quality": report,
        "rows": [annotator_row(person, report.baselines) for person in report.annotators[:MAX_ANNOTATORS]],
        "more_annotators": len(report.annotators) - MAX_ANNOTATORS,
        "warned": warned,
        "disagreements": attach_tasks(disagreements[:MAX_DISAGREEMENTS]),
        "disagreement_count": len(disagreements),
        "flags_and_comments": flags_and_comments(
            request, report.project, hidden={row.task for row in disagreements}
        ),
    }
    return render(request, "labeling/quality/project.html", context)


@require_GET
@login_required
@never_cache
def quality_strengths(request: UserRequest, slug: str) -> HttpResponse:
    """The strength of each generator, loaded after the page because it takes longest."""
    project = allowed_project(request.user, slug, REVIEW)
    rows = [
        {
            "strength": row,
            "bar": IntervalBar(row.win_probability, *row.interval, baseline=0.5)
            if row.win_probability is not None and row.interval is not None
            else None,
        }
        for row in generator_strengths(project)
    ]
    return render(request, "labeling/quality/_generator_strengths.html", {"rows": rows})


@require_GET
@login_required
@never_cache
def quality_annotator(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """One annotator of a project, over time."""
    report = QualityReport.for_project(allowed_project(request.user, slug, REVIEW))
    person = next((each for each in report.annotators if each.pk == pk), None)
    if person is None:
        return render(request, "404.html", status=404)
    context = {
        "project": report.project,
        "person": person,
        "warnings": [warning for warning in report.warnings if warning.annotator is person],
        "charts": AnnotatorCharts(report.answers, person, report.baselines),
        "metrics": metric_rows(person, report.annotators),
        "flags_and_comments": flags_and_comments(
            request, report.project, hidden={row.task for row in report.disagreements}, annotator=pk
        ),
    }
    return render(request, "labeling/quality/annotator.html", context)


@require_GET
@login_required
@never_cache
def quality_csv(request: UserRequest, slug: str) -> HttpResponse:
    """The table of annotators as CSV."""
    report = QualityReport.for_project(allowed_project(request.user, slug, REVIEW))
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{report.project.slug}-annotators.csv"'
    writer = csv.writer(response)
    columns = [f"{name}_{part}" for name in CSV_COLUMNS for part in ("share", "low", "high", "of")]
    writer.writerow(
        ["annotator", "answers", "last", "passed", "entry_answers", "seconds_median", "seconds_low",
         "seconds_high", *columns, "warnings"]
    )  # fmt: skip
    for person in report.annotators:
        times = person.seconds
        row: list[Any] = [
            csv_safe(person.name),
            person.answers,
            person.last.isoformat(sep=" "),
            "" if person.passed_entry_test is None else person.passed_entry_test.date().isoformat(),
            person.training_attempts,
            *(("", "", "") if times is None else _rounded(times.value, times.low, times.high)),
        ]
        for name in CSV_COLUMNS.values():
            metric = getattr(person, name)
            row += (
                [""] * 4 if metric is None else [*_rounded(metric.value, metric.low, metric.high), metric.n]
            )
        row.append("; ".join(warning.name for warning in report.warnings if warning.annotator is person))
        writer.writerow(row)
    return response


def csv_safe(text: str) -> str:
    """Text that a spreadsheet will not run as a formula."""
    return f"'{text}" if text.startswith(("\t", "\r", "\n")) or text.lstrip()[:1] in set("=+-@|") else text


def annotator_row(person: AnnotatorMetrics, baselines: dict[str, Any]) -> dict[str, Any]:
    """An annotator's row in the table, with its interval charts."""
    times, picked = person.seconds, person.first_shown_picked
    longest = 3 * (baselines["seconds"] or 1)
    return {
        "person": person,
        "gold": _bar(person.gold_accuracy, baselines["gold_accuracy"]),
        "others": _bar(person.agreement_with_others, baselines["agreement_with_others"]),
        "reliability": _bar(person.reliability, 0.5),
        "first": _bar(person.first_shown_picked, person.first_shown_chance),
        "seconds": None
        if times is None
        else IntervalBar(times.value, times.low, times.high, baseline=baselines["seconds"], axis_max=longest),
        "has_position_bias": picked is not None
        and not picked.low <= person.first_shown_chance <= picked.high,
    }


def metric_rows(person: AnnotatorMetrics, people: list[AnnotatorMetrics]) -> list[dict[str, Any]]:
    """An annotator's proportions beside those of all others; only those with data."""
    rows = (
        ("Gold accuracy", "gold_accuracy", "gold tasks"),
        ("Self-agreement on repeats", "self_agreement", "repeats"),
        ("Picks first shown", "first_shown_picked", "answers"),
        ("Ties", "tied", "answers"),
        ("All bad", "all_bad", "answers"),
        ("Skipped", "skipped", "tasks"),
        ("Flagged", "flagged", "answers"),
        ("Faster than the texts can be skimmed", "too_fast", "answers"),
        ("Training task accuracy", "training_accuracy", "tasks"),
    )
    metrics = []
    if person.agreement_with_others is not None:
        others = person.agreement_among_others
        metrics.append(_metric("Agreement with others", person.agreement_with_others, others, "answers"))
    if person.reliability is not None:
        metrics.append(_metric("Reliability (50 % is guessing)", person.reliability, None, "answers"))
    for label, name, things in rows:
        estimate = getattr(person, name)
        if estimate is not None:
            others = pooled_proportion(person, people, lambda each, name=name: getattr(each, name))  # type: ignore[misc]
            metrics.append(_metric(label, estimate, others, things))
    return metrics


def flags_and_comments(
    request: UserRequest, project: Project, *, hidden: Iterable[int], annotator: int | None = None
) -> list[dict[str, Any]]:
    """The latest flags and comments. The text stays hidden on tasks the reviewer still has to answer."""
    rows = Annotation.objects.for_project(project).latest_revisions().flagged_or_commented()
    if annotator is not None:
        rows = rows.filter(assignment__annotator=annotator)
    rows = rows.select_related("assignment__annotator", "assignment__task__prompt").order_by("-pk")
    hidden = set(hidden) - answered_task_ids(request.user, project)
    return [{"annotation": row, "is_hidden": row.assignment.task_id in hidden} for row in rows[:MAX_COMMENTS]]


def _bar(estimate: Any, baseline: float | None) -> IntervalBar | None:
    if estimate is None:
        return None
    return IntervalBar(estimate.value, estimate.low, estimate.high, baseline=baseline)


def _metric(label: str, estimate: Any, others: Proportion | None, things: str) -> dict[str, Any]:
    return {
        "label": label,
        "estimate": estimate,
        "others": others,
        "things": things,
        "bar": _bar(estimate, others.value if others else None),
    }


def _rounded(*values: float) -> list[float]:
    return [round(value, 4) for value in values]
