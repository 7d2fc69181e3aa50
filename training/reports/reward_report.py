"""The report of a reward model: its accuracy and calibration, and the reliability of its annotators."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User

from training.models import Run
from training.reports.evaluation_report import Interval, format_table
from training.reports.interval_plot import IntervalPlot, Point
from training.reports.number_format import format_number

MAX_ANNOTATORS = 20
"""Annotators listed in a terminal; a page lists all."""

MIN_WEIGHT = 0.2
"""Annotators with a lower weight are marked."""

MAX_TEMPERATURE = 100.0
"""Above this calibration temperature, confidence says nothing."""

NamedInterval = tuple[str, Interval]


@dataclass(frozen=True, kw_only=True)
class AnnotatorRow:
    """One annotator: their reliability, learned in training, and the accuracy of the model on their held-out
    comparisons."""

    name: str
    reliability: Interval | None
    accuracy: Interval | None

    @property
    def is_careless(self) -> bool:
        """Whether their annotations count less than a fifth of a reliable annotator's."""
        return self.reliability is not None and 2 * self.reliability.rate - 1 < MIN_WEIGHT


@dataclass(frozen=True, kw_only=True)
class RewardReport:
    """The metrics of one reward model; those that were not measured are empty."""

    annotators: list[AnnotatorRow] = field(default_factory=list)
    accuracy_rows: list[NamedInterval] = field(default_factory=list)  # of the model, and of the baseline
    accuracy_by_strength: list[NamedInterval] = field(default_factory=list)
    plots: list[IntervalPlot] = field(default_factory=list)
    calibration_summary: str = ""

    def __bool__(self) -> bool:
        return bool(self.annotators or self.accuracy_rows)

    @property
    def has_reliabilities(self) -> bool:
        """Whether reliabilities were learned."""
        return any(annotator.reliability for annotator in self.annotators)


def reward_report(run: Run) -> RewardReport:
    """The report of a run; empty for other kinds of run."""
    found = run.metrics
    if run.kind != Run.Kind.TRAIN_REWARD or "annotators" not in found:
        return RewardReport()
    names = annotator_names(run)
    annotators = [
        AnnotatorRow(
            name=names.get(row["annotator"], row["annotator"]),
            reliability=measured_interval(row, share="reliability"),
            accuracy=measured_interval(row, share="heldout_accuracy", prefix="heldout_"),
        )
        for row in found["annotators"]
    ]
    annotators.sort(key=lambda annotator: annotator.reliability.rate if annotator.reliability else 1.0)
    return RewardReport(
        annotators=annotators,
        accuracy_rows=accuracy_rows(found),
        accuracy_by_strength=accuracy_by_strength(found),
        plots=[plot for plot in (calibration_plot(found), learning_curve_plot(found)) if plot],
        calibration_summary=calibration_summary(found),
    )


def annotator_names(run: Run) -> dict[str, str]:
    """User names by annotator id. Snapshots have ids, preference files have names already."""
    if run.project is None:
        return {}
    numbers = [row["annotator"] for row in run.metrics["annotators"] if row["annotator"].isdecimal()]
    return {str(user.pk): user.get_username() for user in User.objects.filter(pk__in=numbers)}


def measured_interval(row: Mapping[str, Any], *, share: str, prefix: str = "") -> Interval | None:
    """A share with its interval in a row of metrics, if it was measured."""
    if row.get(share) is None:
        return None
    low, high, count = (row[f"{prefix}{name}"] for name in ("low", "high", "comparisons"))
    return Interval(rate=row[share], low=low, high=high, count=count)


def accuracy_rows(found: Mapping[str, Any]) -> list[NamedInterval]:
    """Held-out accuracy of the model, and of a baseline that prefers the longer text.

    If some tasks were prioritised by score or are live comparisons, the accuracy on random tasks comes first.
    """
    count, chosen = found["heldout_comparisons"], found.get("heldout_chosen", 0)
    asked = ""
    if chosen:
        asked = ", random tasks" if chosen < count else ", no random tasks"
        count -= chosen if chosen < count else 0
    rows = []
    for name, share, ends in (
        ("This model", "accuracy", "interval"),
        ("Baseline: longer text", "longer_wins", "longer_wins_interval"),
    ):
        if found.get(share) is not None and found.get(ends):
            low, high = found[ends]
            rows.append((name + asked, Interval(rate=found[share], low=low, high=high, count=count)))
    if rows and (of_all := measured_interval(found.get("accuracy_of_all") or {}, share="accuracy")):
        rows.insert(1, ("This model, all tasks", of_all))
    return rows


def accuracy_by_strength(found: Mapping[str, Any]) -> list[NamedInterval]:
    """Accuracy by how much better the preferred sample is; empty if annotators gave no strength."""
    rows = found.get("by_strength") or []
    if len(rows) < 2:
        return []
    named = [(format_number(row["strength"]), measured_interval(row, share="accuracy")) for row in rows]
    return [(name, found) for name, found in named if found]


def calibration_plot(found: Mapping[str, Any]) -> IntervalPlot | None:
    """Accuracy by confidence, on held-out comparisons."""
    if not found.get("calibration"):
        return None
    bins = found["calibration"]["bins"]
    points = [
        Point(each["predicted"], each["observed"], each["low"], each["high"], each["count"]) for each in bins
    ]
    summary = ", ".join(f"{point.share:.0%} right at {point.x:.0%} confidence" for point in points)
    return IntervalPlot(
        title="Calibration",
        x_label="confidence",
        y_label="accuracy, held out",
        summary=f"Calibration: {summary}",
        points=points,
        diagonal=True,
    )


def learning_curve_plot(found: Mapping[str, Any]) -> IntervalPlot | None:
    """Held-out accuracy by the number of training comparisons."""
    rows = found.get("learning_curve") or []
    points = [
        Point(row["comparisons"], row["accuracy"], row["low"], row["high"], found["heldout_comparisons"])
        for row in rows
        if row["accuracy"] is not None
    ]
    if len(points) < 2:
        return None
    summary = ", ".join(f"{point.share:.0%} from {point.x:,}" for point in points)
    return IntervalPlot(
        title="Learning curve",
        x_label="training comparisons",
        y_label="accuracy, held out",
        summary=f"Learning curve: {summary} comparisons",
        points=points,
        log_x=True,
    )


def calibration_summary(found: Mapping[str, Any]) -> str:
    """The calibration error, and that after temperature scaling, in a sentence."""
    if not found.get("calibration"):
        return ""
    temperature, before, after = (
        found["calibration"][name] for name in ("temperature", "ece_before", "ece_after")
    )
    if temperature > MAX_TEMPERATURE:
        return "Not calibrated: it is not more accurate where it is more confident."
    error = f"expected calibration error {100 * before:.1f} points"
    if 0.9 <= temperature <= 1.1:
        return f"Well calibrated: {error}."
    how = "Overconfident" if temperature > 1 else "Underconfident"
    rest = "" if after is None else f", {100 * after:.1f} after temperature scaling by {temperature:.2f}"
    return f"{how}: {error}{rest}."


def terminal_lines(run: Run) -> list[str]:
    """The report for a terminal."""
    report = reward_report(run)
    if not report:
        return []
    found = []
    if report.accuracy_rows:
        rows = [
            (name, *format_interval(each)) for name, each in (*report.accuracy_rows, *strength_rows(report))
        ]
        found += format_table(("held-out comparisons", "accuracy", "95 % interval", "of"), rows)
    if report.annotators:
        heads = ("annotator", "reliability", "95 % interval", "of", "accuracy", "95 % interval", "of")
        annotators = report.annotators[:MAX_ANNOTATORS]
        found += format_table(
            heads,
            [
                (each.name, *format_interval(each.reliability), *format_interval(each.accuracy))
                for each in annotators
            ],
        )
        if more := len(report.annotators) - len(annotators):
            found.append(f"  and {more} more, at least as reliable")
    for plot in report.plots[1:] if report.calibration_summary else report.plots:
        found += ["", f"  {plot.summary}."]
    return found + (["", f"  {report.calibration_summary}"] if report.calibration_summary else [])


def strength_rows(report: RewardReport) -> list[NamedInterval]:
    """Accuracy by strength as rows of the table."""
    return [(f"preference strength {name}", each) for name, each in report.accuracy_by_strength]


def format_interval(found: Interval | None) -> tuple[str, str, str]:
    return (str(found), found.range, str(found.count)) if found else ("–", "", "")
