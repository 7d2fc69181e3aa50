"""How far to trust a reward model and the people it learned from: rows of a page, lines in a terminal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User

from training.models import Run
from training.reports.charts import number
from training.reports.evaluation_report import Interval, columns
from training.reports.interval_plot import IntervalPlot, Point

MOST_LINES = 20
"""People named in a terminal; a page names all."""

HARDLY = 0.2
"""The weight below which answers hardly count."""

HOPELESS = 100.0
"""The temperature above which every comparison is a coin's toss."""

Named = tuple[str, Interval]


@dataclass(frozen=True, kw_only=True)
class Person:
    """One annotator: how reliable, by what they answered in training, and how well the model foretells their
    answers to prompts it never saw."""

    name: str
    reliability: Interval | None
    accuracy: Interval | None

    @property
    def is_careless(self) -> bool:
        """Whether their answers count less than a fifth of what those of a careful person count."""
        return self.reliability is not None and 2 * self.reliability.rate - 1 < HARDLY


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Everything there is to show of one reward model; parts that were not measured are empty."""

    people: list[Person] = field(default_factory=list)
    accuracies: list[Named] = field(default_factory=list)  # of the model, and of what it must beat
    strengths: list[Named] = field(default_factory=list)
    plots: list[IntervalPlot] = field(default_factory=list)
    confidence: str = ""

    def __bool__(self) -> bool:
        return bool(self.people or self.accuracies)

    @property
    def weighed(self) -> bool:
        """Whether reliabilities were learned."""
        return any(person.reliability for person in self.people)


def trust_in(run: Run) -> Trust:
    """What a run measured; nothing for a run of another kind."""
    found = run.metrics
    if run.kind != Run.Kind.TRAIN_REWARD or "annotators" not in found:
        return Trust()
    names = names_of(run)
    people = [
        Person(
            name=names.get(row["annotator"], row["annotator"]),
            reliability=interval(row, share="reliability"),
            accuracy=interval(row, share="heldout_accuracy", prefix="heldout_"),
        )
        for row in found["annotators"]
    ]
    people.sort(key=lambda person: person.reliability.rate if person.reliability else 1.0)
    return Trust(
        people=people,
        accuracies=accuracies(found),
        strengths=strengths(found),
        plots=[plot for plot in (reliability_curve(found), learning_curve(found)) if plot],
        confidence=confidence(found),
    )


def names_of(run: Run) -> dict[str, str]:
    """The names of a project's annotators, who are numbers in its snapshots; those of a file have names."""
    if run.project is None:
        return {}
    numbers = [row["annotator"] for row in run.metrics["annotators"] if row["annotator"].isdecimal()]
    return {str(user.pk): user.get_username() for user in User.objects.filter(pk__in=numbers)}


def interval(row: Mapping[str, Any], *, share: str, prefix: str = "") -> Interval | None:
    """A share in a row of metrics, if it was measured."""
    if row.get(share) is None:
        return None
    low, high, count = (row[f"{prefix}{name}"] for name in ("low", "high", "comparisons"))
    return Interval(rate=row[share], low=low, high=high, count=count)


def accuracies(found: Mapping[str, Any]) -> list[Named]:
    """Held-out accuracy of the model, and of preferring the longer text.

    Where tasks were chosen, those that came at random are what counts, and stand first.
    """
    count, chosen = found["heldout_comparisons"], found.get("heldout_chosen", 0)
    asked = ""
    if chosen:
        asked = ", tasks at random" if chosen < count else ", tasks chosen for being hard"
        count -= chosen if chosen < count else 0
    rows = []
    for name, share, ends in (
        ("This model", "accuracy", "interval"),
        ("The longer text wins", "longer_wins", "longer_wins_interval"),
    ):
        if found.get(share) is not None and found.get(ends):
            low, high = found[ends]
            rows.append((name + asked, Interval(rate=found[share], low=low, high=high, count=count)))
    if rows and (of_all := interval(found.get("accuracy_of_all") or {}, share="accuracy")):
        rows.insert(1, ("This model, chosen tasks too", of_all))
    return rows


def strengths(found: Mapping[str, Any]) -> list[Named]:
    """Accuracy by how much better people found the one; nothing where nobody said."""
    rows = found.get("by_strength") or []
    if len(rows) < 2:
        return []
    named = [(number(row["strength"]), interval(row, share="accuracy")) for row in rows]
    return [(name, found) for name, found in named if found]


def reliability_curve(found: Mapping[str, Any]) -> IntervalPlot | None:
    """How often the model was right, by how sure it was."""
    if not found.get("calibration"):
        return None
    bins = found["calibration"]["bins"]
    points = [
        Point(each["predicted"], each["observed"], each["low"], each["high"], each["count"]) for each in bins
    ]
    said = ", ".join(f"{point.share:.0%} right where {point.x:.0%} sure" for point in points)
    return IntervalPlot(
        title="Reliability curve",
        across="how sure it was",
        up="right, held out",
        summary=f"Reliability curve: {said}",
        points=points,
        diagonal=True,
    )


def learning_curve(found: Mapping[str, Any]) -> IntervalPlot | None:
    """Held-out accuracy by the number of comparisons learned from."""
    rows = found.get("learning_curve") or []
    points = [
        Point(row["comparisons"], row["accuracy"], row["low"], row["high"], found["heldout_comparisons"])
        for row in rows
        if row["accuracy"] is not None
    ]
    if len(points) < 2:
        return None
    said = ", ".join(f"{point.share:.0%} from {point.x:,}" for point in points)
    return IntervalPlot(
        title="Learning curve",
        across="comparisons learned from",
        up="accuracy, held out",
        summary=f"Learning curve: {said} comparisons",
        points=points,
        doubling=True,
    )


def confidence(found: Mapping[str, Any]) -> str:
    """What the temperature says, in a sentence."""
    if not found.get("calibration"):
        return ""
    temperature, before, after = (
        found["calibration"][name] for name in ("temperature", "ece_before", "ece_after")
    )
    if temperature > HOPELESS:
        return "No more often right where it is surer: its confidence says nothing."
    off = f"its confidence is off by {100 * before:.1f} points on average"
    if 0.9 <= temperature <= 1.1:
        return f"About as sure as it is right: {off}."
    how = "More sure than it is right" if temperature > 1 else "Less sure than it is right"
    rest = "" if after is None else f", by {100 * after:.1f} with differences divided by {temperature:.2f}"
    return f"{how}: {off}{rest}."


def lines(run: Run) -> list[str]:
    """The same for a terminal."""
    trust = trust_in(run)
    if not trust:
        return []
    found = []
    if trust.accuracies:
        rows = [(name, *shown(each)) for name, each in (*trust.accuracies, *by_strength(trust))]
        found += columns(("held-out comparisons", "accuracy", "95 % interval", "of"), rows)
    if trust.people:
        heads = ("annotator", "reliability", "95 % interval", "of", "accuracy", "95 % interval", "of")
        people = trust.people[:MOST_LINES]
        found += columns(
            heads, [(each.name, *shown(each.reliability), *shown(each.accuracy)) for each in people]
        )
        if more := len(trust.people) - len(people):
            found.append(f"  and {more} more, as reliable as the last of these or more so")
    for plot in trust.plots[1:] if trust.confidence else trust.plots:
        found += ["", f"  {plot.summary}."]
    return found + (["", f"  {trust.confidence}"] if trust.confidence else [])


def by_strength(trust: Trust) -> list[Named]:
    """Strengths as rows beside the others."""
    return [(f"of strength {name}", each) for name, each in trust.strengths]


def shown(found: Interval | None) -> tuple[str, str, str]:
    return (str(found), found.range, str(found.count)) if found else ("–", "", "")
