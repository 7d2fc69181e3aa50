"""What people's answers say of two versions at a gate: the figures that it is decided by, and kept with."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any, Self

from labeling.head_to_head import complete, observations, standing, tasks_between
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
    """The compared prompts and what is left of the tasks, when it was looked at; when the gate closed, if it
    is closed."""

    points: Sequence[float] = field(default_factory=list)
    """Of each compared prompt, in the order in which they were completed: 1 where the candidate's text is
    preferred, 0 where the other's is, the mean where several people answered."""
    answers: int = 0
    """Those that compare, on these prompts."""
    tasks: int = 0
    complete: int = 0
    open: int = 0
    """Places that nobody holds."""
    all_bad: int = 0
    skipped: int = 0
    annotators: int = 0
    """How many people gave these answers."""

    @classmethod
    def current(cls, gate: Gate) -> Self:
        """What there is now. Points after the one that decided are left out: however late somebody looks, it
        is decided as if they had looked after each."""
        project, generators = gate.project, generators_of(gate)
        seen = observations(project, *generators)
        at = confidence_sequence([each.points for each in seen]).decided_at
        counted = seen[:at]
        tasks = tasks_between(project, *generators)
        found = standing(project, *generators)
        people = Assignment.objects.submitted().filter(task__in=[each.task for each in counted])
        return cls(
            points=[each.points for each in counted],
            answers=sum(each.answers for each in counted),
            tasks=found.tasks,
            complete=complete(tasks).count(),
            open=found.open,
            all_bad=found.all_bad,
            skipped=found.skipped,
            annotators=people.values("annotator").distinct().count(),
        )

    @classmethod
    def stored(cls, gate: Gate) -> Self:
        """What there was when the gate closed."""
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
        """The candidate's win rate, ties half."""
        return fmean(self.points) if self.points else None

    @property
    def low(self) -> float:
        return float(self.sequence.lows[-1]) if self.points else 0.0

    @property
    def high(self) -> float:
        return float(self.sequence.highs[-1]) if self.points else 1.0

    @property
    def interval(self) -> Interval | None:
        """The rate with its ends, as pages show it."""
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
        """Tasks that are not complete."""
        return self.tasks - self.complete

    @property
    def outcome(self) -> Gate.Outcome | None:
        """Met or refused, once the interval no longer holds a half."""
        if self.sequence.decided_at is None:
            return None
        return Gate.Outcome.MET if self.low >= 0.5 else Gate.Outcome.REFUSED


def summarise(gate: Gate, found: Evidence) -> str:
    """How a gate stands, in one sentence."""
    if found.rate is None:
        is_open = gate.outcome == Gate.Outcome.OPEN
        return (
            "Nobody has compared the two yet."
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
    """The figures of a gate: as they are while it is open, and as they were when it closed."""
    return Evidence.current(gate) if gate.outcome == Gate.Outcome.OPEN else Evidence.stored(gate)


def generators_of(gate: Gate) -> tuple[Generator, Generator]:
    """The candidate and the version it is compared with, as writers of samples."""
    assert gate.candidate.generator is not None
    assert gate.against.generator is not None
    return gate.candidate.generator, gate.against.generator


def answers_by_annotator(gate: Gate) -> list[tuple[str, int]]:
    """Who answered how many of the tasks, most first; those whose answers were deleted are not among them."""
    names: dict[str, int] = {}
    tasks = tasks_between(gate.project, *generators_of(gate))
    answers = Annotation.objects.of(gate.project).counting().filter(assignment__task__in=tasks)
    for name in answers.values_list("assignment__annotator__username", flat=True):
        names[name] = names.get(name, 0) + 1
    return sorted(names.items(), key=lambda each: (-each[1], each[0]))
