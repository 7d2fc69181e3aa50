"""The status of several projects, read for all of them at once in a fixed number of queries."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F, QuerySet, Window
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import RowNumber

from labeling.models import Project
from labeling.project_counts import ProjectCounts, count_projects, count_training_data
from training.forms.judges import PEOPLE
from training.models import Automation, Decision, Endpoint, Gate, ModelVersion, Round, Run
from training.registry.gate_evidence import Evidence
from training.reports.evaluation_report import Interval
from training.rounds import last_snapshots

LAST_VERSIONS = 5


@dataclass(frozen=True, kw_only=True)
class HeadToHeadResult:
    """How often a policy's texts are preferred to another's."""

    version: ModelVersion
    win_rate: Interval
    against: str
    judge: str
    """Who judged: people, or a reward model by its name."""

    @property
    def by_people(self) -> bool:
        return self.judge == PEOPLE


@dataclass(frozen=True, kw_only=True)
class ProjectStatus:
    """The status of one project's loop."""

    project: Project
    counts: ProjectCounts
    new: int
    """Comparisons that the last reward model was not trained on; in a project where people rewrite, texts
    that the last supervised fine-tune was not trained on."""
    automation: Automation | None = None
    production: ModelVersion | None = None
    reward: ModelVersion | None = None
    """The newest."""
    policies: Sequence[ModelVersion] = ()
    """The project's last policies that are not archived, newest first."""
    decided: Collection[int] = ()
    """The ids of versions about which a decision was made."""
    results: dict[int, HeadToHeadResult] = field(default_factory=dict)
    """The results of the policies that were compared, by the policy's id."""
    gates: dict[int, Gate] = field(default_factory=dict)
    """The last gate of each candidate against the version in production now, by the candidate's id."""
    active: Sequence[Run] = ()
    """Queued and running runs, running ones first."""
    last_run: Run | None = None
    """The newest of all runs."""
    round: Round | None = None
    """The newest."""
    has_shared_models: bool = False
    """Whether there are policies of no project, or endpoints, which can write for this one."""

    @property
    def comparisons_per_round(self) -> int:
        """The number of new comparisons that makes another round worthwhile."""
        return (self.automation or Automation()).every

    @property
    def is_automatic(self) -> bool:
        return self.automation is not None and self.automation.is_on

    @property
    def is_in_a_round(self) -> bool:
        return self.round is not None and self.round.outcome == Round.Outcome.IN_PROGRESS

    @property
    def candidate(self) -> ModelVersion | None:
        """The newest policy, if it was tuned from another one, is newer than the one in production, and no
        decision about it was made yet."""
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
        """The accuracy of the newest reward model on held-out comparisons."""
        value = self.reward.metrics.get("accuracy") if self.reward else None
        return float(value) if value is not None else None

    @property
    def last_result(self) -> HeadToHeadResult | None:
        """The result of the newest policy that was compared with another."""
        return next((self.results[each.pk] for each in self.policies if each.pk in self.results), None)

    @property
    def compared_policies(self) -> list[tuple[ModelVersion, HeadToHeadResult | None, Gate | None]]:
        """The last policies with their head-to-head results and gates."""
        return [(each, self.results.get(each.pk), self.gates.get(each.pk)) for each in self.policies]

    @property
    def round_percent(self) -> int:
        """The share of the next round's comparisons that are there, in percent."""
        return min(100, 100 * self.new // self.comparisons_per_round)

    def active_run(self, kind: Run.Kind) -> Run | None:
        """The active run of a kind."""
        return next((run for run in self.active if run.kind == kind), None)


def project_statuses(projects: Collection[Project]) -> list[ProjectStatus]:
    """The status of each project, in the given order."""
    keys = [project.pk for project in projects]
    counted = count_projects(projects)
    learned = {
        **last_snapshots([each for each in projects if each.kind.is_comparative], Run.Kind.TRAIN_REWARD),
        **last_snapshots([each for each in projects if not each.kind.is_comparative], Run.Kind.SUPERVISED),
    }
    new = count_training_data(projects, excluded_snapshots=learned.values())
    policies = _last_policies(keys)
    production = _by_project(
        ModelVersion.objects.policies().filter(project__in=keys, stage=ModelVersion.Stage.PRODUCTION)
    )
    gates = _last_gates(production.values())
    shown = [version for rows in policies.values() for version in rows]
    results = _head_to_head_results(shown, gates)
    decided = Decision.objects.filter(version__in=[version.pk for version in shown])
    decided_on = set(decided.values_list("version", flat=True))
    active: dict[int, list[Run]] = {}
    runs = Run.objects.filter(project__in=keys).defer("metrics", "parameters").select_related("owner")
    for run in runs.active().order_by("-status", "pk"):  # running comes before queued
        active.setdefault(run.project_id or 0, []).append(run)
    newest = {
        "automation": _by_project(Automation.objects.filter(project__in=keys)),
        "production": production,
        "reward": _newest_by_project(ModelVersion.objects.rewards().filter(project__in=keys)),
        "last_run": _newest_by_project(runs),
        "round": _newest_by_project(Round.objects.filter(project__in=keys)),
    }
    shared_policies = ModelVersion.objects.policies().filter(project=None)
    has_shared_models = shared_policies.exists() or Endpoint.objects.exists()
    return [
        ProjectStatus(
            project=project,
            counts=counted[project.pk],
            new=new[project.pk],
            policies=policies.get(project.pk, []),
            decided=decided_on,
            results=results,
            gates=gates,
            active=active.get(project.pk, []),
            has_shared_models=has_shared_models,
            **{name: rows.get(project.pk) for name, rows in newest.items()},
        )
        for project in projects
    ]


def _newest_by_project(rows: QuerySet[Any]) -> dict[int, Any]:
    """The newest row of each project."""
    return _by_project(rows.order_by("project_id", "-id").distinct("project_id"))


def _by_project(rows: Iterable[Any]) -> dict[int, Any]:
    return {row.project_id: row for row in rows}


def _last_policies(projects: Sequence[int]) -> dict[int, list[ModelVersion]]:
    mine = ModelVersion.objects.policies().filter(project__in=projects).with_history()
    place = Window(RowNumber(), partition_by="project", order_by=F("pk").desc())
    last = mine.exclude(stage=ModelVersion.Stage.ARCHIVED).annotate(place=place)
    rows = last.filter(place__lte=LAST_VERSIONS).select_related("parent", "run__reward").order_by("-pk")
    found: dict[int, list[ModelVersion]] = {}
    for version in rows.defer("run__metrics", "run__parameters", "parent__metrics", "run__reward__metrics"):
        found.setdefault(version.project_id or 0, []).append(version)
    return found


def _last_gates(production: Iterable[ModelVersion]) -> dict[int, Gate]:
    """The last gate of each candidate against these versions, by the candidate's id."""
    against = Gate.objects.filter(against__in=[version.pk for version in production])
    rows = against.exclude(outcome=Gate.Outcome.WITHDRAWN).order_by("candidate_id", "-pk")
    return {gate.candidate_id: gate for gate in rows.distinct("candidate_id").select_related("against")}


def _head_to_head_results(
    versions: Sequence[ModelVersion], gates: dict[int, Gate]
) -> dict[int, HeadToHeadResult]:
    """The versions' results by id: of a closed gate, else judged by people, else by the last other judge."""
    found: dict[int, HeadToHeadResult] = {}
    by_key = {version.pk: version for version in versions}
    measured = Run.objects.filter(kind=Run.Kind.EVALUATE, status=Run.Status.SUCCEEDED, policy__in=by_key)
    judges = KeyTransform("judges", "metrics")
    against = KeyTransform("against", "parameters")
    for key, opponent, rows in measured.order_by("pk").values_list("policy", against, judges):
        for row in rows or []:
            won = Interval.of(row["won"])
            if won is not None and not (key in found and found[key].by_people and row["judge"] != PEOPLE):
                found[key] = HeadToHeadResult(
                    version=by_key[key], win_rate=won, against=opponent, judge=row["judge"]
                )
    for version in versions:
        gate = gates.get(version.pk)
        if gate is not None and gate.evidence and (won := _gate_interval(gate)) is not None:
            found[version.pk] = HeadToHeadResult(
                version=version, win_rate=won, against=gate.against.name, judge=PEOPLE
            )
    return found


def _gate_interval(gate: Gate) -> Interval | None:
    kept = Evidence.stored(gate)
    if kept.rate is None:
        return None
    return Interval(rate=kept.rate, low=kept.low, high=kept.high, count=kept.compared)
