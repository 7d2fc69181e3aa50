"""The evidence of a gate: the results of comparing two versions, by which it is decided."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any, Self

from labeling.head_to_head import completed_tasks, head_to_head_progress, observations, tasks_between
from labeling.models import Annotation, Assignment, Generator
from training.models import Gate
from training.registry.confidence_sequence import ConfidenceSequence, confidence_sequence
from training.reports.evaluation_report import Interval

OUTCOME_PHRASES = {
    Gate.Outcome.OPEN: "So far",
    Gate.Outcome.MET: "People prefer {candidate}",
    Gate.Outcome.REFUSED: "People prefer {against}",
    Gate.Outcome.UNDECIDED: "People see no clear difference",
    Gate.Outcome.WITHDRAWN: "Withdrawn before it was decided",
}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The results and task counts of a gate: current ones while it is open, else those when it closed.

    The field names are the keys of `Gate.evidence`.
    """

    points: Sequence[float] = field(default_factory=list)
    """One per compared prompt, in order of completion: 1 if the candidate's text is preferred, 0 if the
    other's is, 0.5 for a tie; the mean if several people answered."""
    answers: int = 0
    """Answers on these prompts."""
    tasks: int = 0
    completed_tasks: int = 0
    open: int = 0
    """Unassigned places of tasks."""
    all_bad: int = 0
    skipped: int = 0
    annotators: int = 0
    """The number of people who gave these answers."""

    @classmethod
    def current(cls, gate: Gate) -> Self:
        """The evidence now. Points after the deciding one are left out, so that the outcome does not depend
        on when somebody looks."""
        project, generators = gate.project, generators_of(gate)
        seen = observations(project, *generators)
        at = confidence_sequence([each.points for each in seen]).decided_at
        counted = seen[:at]
        tasks = tasks_between(project, *generators)
        found = head_to_head_progress(project, *generators)
        people = Assignment.objects.submitted().filter(task__in=[each.task for each in counted])
        return cls(
            points=[each.points for each in counted],
            answers=sum(each.answers for each in counted),
            tasks=found.tasks,
            completed_tasks=completed_tasks(tasks).count(),
            open=found.open,
            all_bad=found.all_bad,
            skipped=found.skipped,
            annotators=people.values("annotator").distinct().count(),
        )

    @classmethod
    def stored(cls, gate: Gate) -> Self:
        """The evidence stored when the gate closed."""
        return cls(**gate.evidence)

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @cached_property
    def sequence(self) -> ConfidenceSequence:
        return confidence_sequence(self.points)

    @property
    def compared(self) -> int:
        return len(self.points)

    @property
    def rate(self) -> float | None:
        """The candidate's win rate; ties count half."""
        return fmean(self.points) if self.points else None

    @property
    def low(self) -> float:
        return float(self.sequence.lows[-1]) if self.points else 0.0

    @property
    def high(self) -> float:
        return float(self.sequence.highs[-1]) if self.points else 1.0

    @property
    def interval(self) -> Interval | None:
        """The win rate with its confidence interval."""
        if self.rate is None:
            return None
        return Interval(rate=self.rate, low=self.low, high=self.high, count=self.compared)

    @property
    def wins(self) -> int:
        return sum(each > 0.5 for each in self.points)

    @property
    def ties(self) -> int:
        return sum(each == 0.5 for each in self.points)

    @property
    def losses(self) -> int:
        return sum(each < 0.5 for each in self.points)

    @property
    def waiting(self) -> int:
        """The number of incomplete tasks."""
        return self.tasks - self.completed_tasks

    @property
    def outcome(self) -> Gate.Outcome | None:
        """MET or REFUSED once the interval excludes 1/2; None before."""
        if self.sequence.decided_at is None:
            return None
        return Gate.Outcome.MET if self.low >= 0.5 else Gate.Outcome.REFUSED


def summarise(gate: Gate, found: Evidence) -> str:
    """The state of a gate in one sentence."""
    if found.rate is None:
        is_open = gate.outcome == Gate.Outcome.OPEN
        return (
            "Nobody has compared the two versions yet."
            if is_open
            else f"{OUTCOME_PHRASES[Gate.Outcome(gate.outcome)]}."
        )
    lead = OUTCOME_PHRASES[Gate.Outcome(gate.outcome)].format(candidate=gate.candidate, against=gate.against)
    prompts = "prompt" if found.compared == 1 else "prompts"
    return (
        f"{lead}: the candidate wins {found.rate:.0%} on {found.compared} compared {prompts} "
        f"(interval {found.low:.0%} to {found.high:.0%})."
    )


def evidence_of(gate: Gate) -> Evidence:
    """The evidence of a gate: current while it is open, else as stored when it closed."""
    return Evidence.current(gate) if gate.outcome == Gate.Outcome.OPEN else Evidence.stored(gate)


def generators_of(gate: Gate) -> tuple[Generator, Generator]:
    """The generators of the candidate and of the version it is compared with."""
    assert gate.candidate.generator is not None
    assert gate.against.generator is not None
    return gate.candidate.generator, gate.against.generator


def answers_by_annotator(gate: Gate) -> list[tuple[str, int]]:
    """The number of answers by each annotator, most first, without deleted answers."""
    names: dict[str, int] = {}
    tasks = tasks_between(gate.project, *generators_of(gate))
    answers = (
        Annotation.objects.for_project(gate.project).latest_revisions().filter(assignment__task__in=tasks)
    )
    for name in answers.values_list("assignment__annotator__username", flat=True):
        names[name] = names.get(name, 0) + 1
    return sorted(names.items(), key=lambda each: (-each[1], each[0]))
