"""Win rates of versions by judge and opponent: from gates, evaluations, and the version's own tuning."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db.models import F

from training.forms.judges import PEOPLE
from training.models import Gate, ModelVersion, Run
from training.registry.gate_evidence import Evidence
from training.reports.evaluation_report import Interval

Changes = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """The share of prompts on which a version's text was preferred, with a 95 % interval. Ties count half."""

    judge: str
    against: str
    interval: Interval
    source: Run | Gate
    """The closed gate, the evaluation, or the run that made the version."""
    is_from_training: bool = False
    """Whether it was measured during the tuning, where the version was selected by it."""

    @property
    def is_gate(self) -> bool:
        return isinstance(self.source, Gate)

    @property
    def by_people(self) -> bool:
        return self.judge == PEOPLE


def win_rates(versions: Collection[ModelVersion]) -> dict[int, list[WinRate]]:
    """The latest win rate of each version per judge and opponent, by the version's id; people's come first.

    `versions` have their runs and parents loaded. Two queries.
    """
    found: dict[int, list[WinRate]] = defaultdict(list)
    seen: set[tuple[int, str, str]] = set()
    closed = Gate.objects.filter(candidate__in=versions).exclude(outcome=Gate.Outcome.OPEN)
    for gate in closed.select_related("against").order_by("-closed_at"):
        key = (gate.candidate_id, PEOPLE, gate.against.name)
        interval = _interval(tuple(gate.evidence.get("points", ())))
        if interval is not None and key not in seen:
            seen.add(key)
            rate = WinRate(judge=PEOPLE, against=gate.against.name, interval=interval, source=gate)
            found[gate.candidate_id].append(rate)
    evaluations = (
        Run.objects.filter(kind=Run.Kind.EVALUATE, status=Run.Status.SUCCEEDED, policy__in=versions)
        .exclude(parameters__against="")
        .exclude(parameters__best_of__gt=1)
        .order_by("-pk")
        .values_list("pk", "policy_id", "parameters__against", F("metrics__judges"))
    )
    for pk, version, against, judges in evaluations:
        for row in judges or []:
            key = (version, row["judge"], against)
            if row["won"] and key not in seen:
                seen.add(key)
                found[version].append(
                    WinRate(
                        judge=row["judge"],
                        against=against,
                        interval=Interval(**row["won"]),
                        source=Run(pk=pk),
                    )
                )
    for version in versions:
        found[version.pk] = sorted(found[version.pk], key=lambda each: not each.by_people)
        own = training_win_rate(version)
        if own is not None and (version.pk, own.judge, own.against) not in seen:
            found[version.pk].append(own)
    return found


@lru_cache(maxsize=1024)
def _interval(points: tuple[float, ...]) -> Interval | None:
    """The interval of a closed gate. Cached, as it never changes and takes some 30 ms to compute."""
    return Evidence(points=points).interval


def training_win_rate(version: ModelVersion) -> WinRate | None:
    """The win rate that the version's tuning measured on held-out prompts against its parent."""
    report = version.metrics.get("tuning")
    if not report or version.run is None or version.parent is None:
        return None
    for measure, judge in (
        ("gold_win_rate", version.run.parameters.get("gold")),
        ("win_rate", version.run.parameters.get("reward")),
    ):
        row = find_change(report["changes"], measure)
        if row is not None and judge and row["low"] is not None and row["after"] is not None:
            low, high = (min(max(row["before"] + row[end], 0.0), 1.0) for end in ("low", "high"))
            interval = Interval(rate=row["after"], low=low, high=high, count=report["prompts"])
            return WinRate(
                judge=judge,
                against=version.parent.name,
                interval=interval,
                source=version.run,
                is_from_training=True,
            )
    return None


def find_change(changes: Changes, measure: str) -> dict[str, Any] | None:
    """The row of one measure among the changes of a tuning."""
    return next((row for row in changes if row["measure"] == measure), None)


def headline_metric(version: ModelVersion) -> str:
    """The main metric of a version for lists: accuracy, reward or perplexity."""
    metrics = version.metrics
    if version.kind == ModelVersion.Kind.REWARD:
        accuracy = metrics.get("gold_accuracy") or metrics.get("accuracy")
        return "" if accuracy is None else f"accuracy {accuracy:.0%}"
    row = find_change((metrics.get("tuning") or {}).get("changes", []), "reward")
    if row is not None and row["after"] is not None:
        return f"reward {row['before']:z.2f} → {row['after']:z.2f}".replace("-", "−")
    perplexity = metrics.get("perplexity")
    return "" if perplexity is None else f"perplexity {perplexity:.4g}"
