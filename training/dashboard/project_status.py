"""Where the loops of several projects stand: read for all of them at once, in a fixed number of queries."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F, QuerySet, Window
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import RowNumber

from labeling.models import Project
from labeling.project_counts import Tally, count_to_learn_from, tallies
from training.forms.judges import PEOPLE
from training.models import Automation, Decision, Gate, ModelVersion, Round, Run
from training.registry.gate_evidence import Evidence
from training.reports.evaluation_report import Interval
from training.rounds import last_learned

LAST_VERSIONS = 5


@dataclass(frozen=True, kw_only=True)
class Versus:
    """How often a policy's text is preferred to another's."""

    version: ModelVersion
    won: Interval
    over: str
    judge: str
    """Who decided: people, or a reward model by its name."""

    @property
    def by_people(self) -> bool:
        return self.judge == PEOPLE


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where one project's loop stands."""

    project: Project
    tally: Tally
    new: int
    """Comparisons that the last reward model has not learned from; where people rewrite, texts that the last
    supervised fine-tune has not."""
    automation: Automation | None = None
    production: ModelVersion | None = None
    reward: ModelVersion | None = None
    """The newest."""
    policies: Sequence[ModelVersion] = ()
    """The last ones of the project that are not archived, newest first."""
    decided: Collection[int] = ()
    """The keys of versions about which there is a decision."""
    wins: dict[int, Versus] = field(default_factory=dict)
    """Of those that were compared, by their keys."""
    gates: dict[int, Gate] = field(default_factory=dict)
    """The last gate of each candidate against what is in production now, by the candidate's key."""
    active: Sequence[Run] = ()
    """Runs that wait or are being executed, the one that is executed first."""
    last_run: Run | None = None
    """The newest of all that were asked for."""
    round: Round | None = None
    """The newest."""
    others_write: bool = False
    """Whether there are policies that belong to no project, and so can write for this one."""

    @property
    def every(self) -> int:
        """How many new comparisons are enough for another reward model."""
        return (self.automation or Automation()).every

    @property
    def is_automatic(self) -> bool:
        return self.automation is not None and self.automation.is_on

    @property
    def is_in_a_round(self) -> bool:
        return self.round is not None and self.round.outcome == Round.Outcome.IN_PROGRESS

    @property
    def candidate(self) -> ModelVersion | None:
        """The newest policy, if it was made from another one after what is in production, and nobody has
        decided about it yet."""
        newest = self.policies[0] if self.policies else None
        if newest is None or newest.parent_id is None or newest.pk in self.decided:
            return None
        return newest if self.production is None or newest.pk > self.production.pk else None

    @property
    def gate(self) -> Gate | None:
        """The candidate's gate."""
        return self.gates.get(self.candidate.pk) if self.candidate else None

    @property
    def accuracy(self) -> float | None:
        """The newest reward model's, on comparisons that it did not learn from."""
        value = self.reward.metrics.get("accuracy") if self.reward else None
        return float(value) if value is not None else None

    @property
    def last_win(self) -> Versus | None:
        """Of the newest policy that was compared with another."""
        return next((self.wins[each.pk] for each in self.policies if each.pk in self.wins), None)

    @property
    def compared(self) -> list[tuple[ModelVersion, Versus | None, Gate | None]]:
        """The last policies with how they compare and their gates."""
        return [(each, self.wins.get(each.pk), self.gates.get(each.pk)) for each in self.policies]

    @property
    def enough_percent(self) -> int:
        """How far the new comparisons are on the way to enough."""
        return min(100, 100 * self.new // self.every)

    def doing(self, kind: Run.Kind) -> Run | None:
        """The active run of a kind."""
        return next((run for run in self.active if run.kind == kind), None)


def standings(projects: Collection[Project]) -> list[Standing]:
    """Where each of the projects stands, in their order."""
    keys = [project.pk for project in projects]
    counted = tallies(projects)
    learned = {
        **last_learned([each for each in projects if each.kind.compares], Run.Kind.TRAIN_REWARD),
        **last_learned([each for each in projects if not each.kind.compares], Run.Kind.SUPERVISED),
    }
    new = count_to_learn_from(projects, beyond=learned.values())
    policies = _last_policies(keys)
    production = _by_project(
        ModelVersion.objects.policies().filter(project__in=keys, stage=ModelVersion.Stage.PRODUCTION)
    )
    gates = _gates(production.values())
    shown = [version for rows in policies.values() for version in rows]
    wins = _wins(shown, gates)
    decided = Decision.objects.filter(version__in=[version.pk for version in shown])
    decided_on = set(decided.values_list("version", flat=True))
    active: dict[int, list[Run]] = {}
    runs = Run.objects.filter(project__in=keys).defer("metrics", "parameters").select_related("owner")
    for run in runs.active().order_by("-status", "pk"):  # running comes before queued
        active.setdefault(run.project_id or 0, []).append(run)
    newest = {
        "automation": _by_project(Automation.objects.filter(project__in=keys)),
        "production": production,
        "reward": _newest(ModelVersion.objects.rewards().filter(project__in=keys)),
        "last_run": _newest(runs),
        "round": _newest(Round.objects.filter(project__in=keys)),
    }
    others_write = ModelVersion.objects.policies().filter(project=None).exists()
    return [
        Standing(
            project=project,
            tally=counted[project.pk],
            new=new[project.pk],
            policies=policies.get(project.pk, []),
            decided=decided_on,
            wins=wins,
            gates=gates,
            active=active.get(project.pk, []),
            others_write=others_write,
            **{name: rows.get(project.pk) for name, rows in newest.items()},
        )
        for project in projects
    ]


def _newest(rows: QuerySet[Any]) -> dict[int, Any]:
    """The newest row of each project."""
    return _by_project(rows.order_by("project_id", "-id").distinct("project_id"))


def _by_project(rows: Iterable[Any]) -> dict[int, Any]:
    return {row.project_id: row for row in rows}


def _last_policies(projects: Sequence[int]) -> dict[int, list[ModelVersion]]:
    mine = ModelVersion.objects.policies().filter(project__in=projects)
    place = Window(RowNumber(), partition_by="project", order_by=F("pk").desc())
    last = mine.exclude(stage=ModelVersion.Stage.ARCHIVED).annotate(place=place)
    rows = last.filter(place__lte=LAST_VERSIONS).select_related("parent", "run__reward").order_by("-pk")
    found: dict[int, list[ModelVersion]] = {}
    for version in rows.defer("run__metrics", "run__parameters", "parent__metrics", "run__reward__metrics"):
        found.setdefault(version.project_id or 0, []).append(version)
    return found


def _gates(production: Iterable[ModelVersion]) -> dict[int, Gate]:
    """The last gate of each candidate against these, by the candidate's key."""
    against = Gate.objects.filter(against__in=[version.pk for version in production])
    rows = against.exclude(outcome=Gate.Outcome.WITHDRAWN).order_by("candidate_id", "-pk")
    return {gate.candidate_id: gate for gate in rows.distinct("candidate_id").select_related("against")}


def _wins(versions: Sequence[ModelVersion], gates: dict[int, Gate]) -> dict[int, Versus]:
    """How the versions compare: by a gate that was closed, else by people, else by whoever judged last."""
    found: dict[int, Versus] = {}
    by_key = {version.pk: version for version in versions}
    measured = Run.objects.filter(kind=Run.Kind.EVALUATE, status=Run.Status.SUCCEEDED, policy__in=by_key)
    judges = KeyTransform("judges", "metrics")
    against = KeyTransform("against", "parameters")
    for key, over, rows in measured.order_by("pk").values_list("policy", against, judges):
        for row in rows or []:
            won = Interval.of(row["won"])
            if won is not None and not (key in found and found[key].by_people and row["judge"] != PEOPLE):
                found[key] = Versus(version=by_key[key], won=won, over=over, judge=row["judge"])
    for version in versions:
        gate = gates.get(version.pk)
        if gate is not None and gate.evidence and (won := _at_gate(gate)) is not None:
            found[version.pk] = Versus(version=version, won=won, over=gate.against.name, judge=PEOPLE)
    return found


def _at_gate(gate: Gate) -> Interval | None:
    kept = Evidence.kept(gate)
    if kept.rate is None:
        return None
    return Interval(rate=kept.rate, low=kept.low, high=kept.high, count=kept.compared)
