"""Gates: people compare a candidate blindly with the version in production before it is promoted.

The win rate is estimated by a confidence sequence (`training.registry.confidence_sequence`), which is valid
however often it is looked at, so that a gate can close as soon as the result is clear. The observations are
all complete blind tasks of the two versions in the project, whoever opened them and when
(`labeling.head_to_head.observations`). As none is left out, neither peeking before opening a gate, nor
withdrawing it and opening another, nor asking for more comparisons increases the error rate.

The results of an open gate follow the answers, including revisions and deletions. When it closes, its results
are stored and do not change any more: later revisions and deletions do not undo a decision. The stored
results contain no names and no texts.
"""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from labeling.head_to_head import move_to_back, move_to_front, tasks_between
from labeling.models import Project, Prompt
from training import runs
from training.forms.judges import PEOPLE
from training.models import Gate, ModelVersion, Run
from training.registry.gate_evidence import Evidence, evidence_of, generators_of, summarise
from training.reports.evaluation_report import Interval

MAX_PROMPTS = 200
"""The number of prompts a gate compares, if there are as many. It detects a win rate of two in three nearly
always, and one of 60 % in half of the cases."""

ADDITIONAL_PROMPTS = 100
"""The number of prompts that `ask_more` adds."""


class NotOpened(Exception):  # noqa: N818 -- a refusal, in one line for the person who asked
    """A gate cannot be opened or extended; the message says why and what to do."""


def open_gate(candidate: ModelVersion, *, project: Project, by: User | None) -> Gate:
    """Compare a candidate with the version in production: a run opens the blind tasks.

    If the gate is open already, it is returned. Answers to earlier blind tasks of the two versions count, so
    a new gate may close at once. Raises NotOpened.
    """
    with transaction.atomic():
        # The lock serialises two that are opened at the same time.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        against = _opponent(candidate, project)
        last = _gates_between(candidate, against, project).first()
        if last is not None and last.outcome == Gate.Outcome.OPEN:
            return last
        if last is not None:
            raise NotOpened(_existing_gate_message(last))
        covered, remaining = _count_prompts(project, candidate, against)
        wanted = min(max(MAX_PROMPTS - covered, 0), remaining)
        if covered + wanted == 0:
            raise NotOpened(f"“{project.slug}” has no held-out prompts for a comparison: add some first.")
        gate = Gate.objects.create(
            project=project,
            candidate=candidate,
            against=against,
            max_prompts=covered + wanted,
            run=_start_evaluation(candidate, against, project, tasks=wanted, by=by) if wanted else None,
            opened_by=by,
        )
        move_to_front(project, *generators_of(gate))
    return close_if_decided(gate)


def ask_more(gate: Gate, *, by: User | None) -> Gate:
    """Compare on more prompts if a gate is undecided, or if the run that was to open its tasks failed.
    Existing comparisons keep counting. Raises NotOpened."""
    with transaction.atomic():
        locked = Gate.objects.select_for_update().get(pk=gate.pk)
        if not can_ask_more(locked):
            raise NotOpened(
                f"No more prompts can be added: {locked.get_outcome_display()[:1].lower()}"
                f"{locked.get_outcome_display()[1:]}."
            )
        if _opponent(locked.candidate, locked.project) != locked.against:
            raise NotOpened(
                f"{locked.against} is no longer in production: open a gate against the version that is."
            )
        covered, remaining = _count_prompts(locked.project, locked.candidate, locked.against)
        wanted = min(ADDITIONAL_PROMPTS, remaining)
        if wanted == 0:
            raise NotOpened(
                f"The versions were compared on all {covered} held-out prompts of "
                f"“{locked.project.slug}”: add more."
            )
        locked.outcome, locked.closed_at, locked.evidence = Gate.Outcome.OPEN, None, {}
        locked.max_prompts = covered + wanted
        locked.run = _start_evaluation(locked.candidate, locked.against, locked.project, tasks=wanted, by=by)
        locked.save()
        move_to_front(locked.project, *generators_of(locked))
    gate.refresh_from_db()
    return gate


def withdraw(gate: Gate) -> bool:
    """Withdraw an open gate; False if it is closed. Its answers are kept, and count in a later comparison."""
    with transaction.atomic():
        locked = Gate.objects.select_for_update().get(pk=gate.pk)
        if locked.outcome != Gate.Outcome.OPEN:
            return False
        _close(locked, Gate.Outcome.WITHDRAWN, Evidence.current(locked))
        if locked.run is not None:
            runs.cancel(locked.run)
    gate.refresh_from_db()
    return True


def close_if_decided(gate: Gate) -> Gate:
    """Close the gate if its answers decide it, and return it refreshed. Safe to call concurrently."""
    with transaction.atomic():
        waiting = Gate.objects.select_for_update(of=("self",), skip_locked=True)
        locked = waiting.filter(pk=gate.pk, outcome=Gate.Outcome.OPEN).first()
        if locked is not None:
            found = Evidence.current(locked)
            if outcome := _outcome(locked, found):
                _close(locked, outcome, found)
    gate.refresh_from_db()
    return gate


def close_decided() -> int:
    """Close the open gates that are decided; returns their number."""
    return sum(
        close_if_decided(gate).outcome != Gate.Outcome.OPEN for gate in Gate.objects.filter(outcome="open")
    )


def gate_for(version: ModelVersion, project: Project) -> Gate | None:
    """The gate of a version against the one in production in the project; None if there is none or it was
    withdrawn."""
    against = ModelVersion.objects.production(project)
    return _gates_between(version, against, project).first() if against else None


def is_met(version: ModelVersion, project: Project) -> bool:
    """Whether people prefer the version to the one in production in the project.

    True if there is nothing to compare: nothing or the version itself is in production, or it is a reward
    model.
    """
    against = ModelVersion.objects.production(project)
    if against is None or against == version or version.kind != ModelVersion.Kind.POLICY:
        return True
    gate = _gates_between(version, against, project).first()
    return gate is not None and close_if_decided(gate).outcome == Gate.Outcome.MET


def can_ask_more(gate: Gate) -> bool:
    """Whether more prompts could decide the gate: it is undecided, or its run failed or was cancelled."""
    if gate.outcome == Gate.Outcome.OPEN:
        return gate.run is not None and gate.run.status in Run.ENDED_EARLY
    return gate.outcome == Gate.Outcome.UNDECIDED


@dataclass(frozen=True, kw_only=True)
class GateCard:
    """A version's gate in one project, as the version's page shows it."""

    project: Project
    against: ModelVersion | None
    gate: Gate | None
    evidence: Evidence | None
    is_met: bool
    may_open: bool
    """Whether the user may open one, and it is possible."""

    @property
    def summary(self) -> str:
        return summarise(self.gate, self.evidence) if self.gate and self.evidence else ""

    @property
    def interval(self) -> Interval | None:
        """The candidate's win rate with its interval."""
        return self.evidence.interval if self.evidence else None


def gate_cards_context(version: ModelVersion, user: User | AnonymousUser) -> dict[str, Any]:
    """The context of `training/gates/_card.html`: a version's gate in its project, or, where it has none yet,
    in each with a version in production to compare with; nothing for what writes nothing."""
    if version.kind != ModelVersion.Kind.POLICY:
        return {"gate_cards": []}
    if version.project is not None:
        return {"gate_cards": [_gate_card(version, version.project, user)]}
    elsewhere = ModelVersion.objects.policies().filter(stage=ModelVersion.Stage.PRODUCTION)
    projects = Project.objects.allowed(user, "training.view_modelversion").filter(versions__in=elsewhere)
    return {"gate_cards": [_gate_card(version, project, user) for project in projects]}


def _gate_card(version: ModelVersion, project: Project, user: User | AnonymousUser) -> GateCard:
    against = ModelVersion.objects.production(project)
    gate = gate_for(version, project)
    if gate is not None:
        close_if_decided(gate)
    comparable = against is not None and against != version and project.kind.is_comparative
    return GateCard(
        project=project,
        against=against,
        gate=gate,
        evidence=evidence_of(gate) if gate else None,
        is_met=is_met(version, project),
        may_open=comparable
        and gate is None
        and version.stage == ModelVersion.Stage.CANDIDATE
        and user.has_perm("training.add_run", project),
    )


def _gates_between(candidate: ModelVersion, against: ModelVersion, project: Project) -> QuerySet[Gate]:
    gates = Gate.objects.filter(project=project, candidate=candidate, against=against)
    return gates.exclude(outcome=Gate.Outcome.WITHDRAWN).select_related("run")


def _opponent(candidate: ModelVersion, project: Project) -> ModelVersion:
    """The version that the candidate is compared with. Raises NotOpened."""
    against = ModelVersion.objects.production(project)
    if candidate.kind != ModelVersion.Kind.POLICY:
        raise NotOpened(f"{candidate} is a reward model: people compare the texts of policies.")
    if candidate.stage == ModelVersion.Stage.ARCHIVED:
        raise NotOpened(f"{candidate} is archived: restore it first.")
    if candidate.project not in {None, project}:
        raise NotOpened(f"{candidate} belongs to “{candidate.project}”: it is compared there.")
    if against is None:
        raise NotOpened(f"Nothing is in production in “{project}” yet: {candidate} needs no gate.")
    if against == candidate:
        raise NotOpened(f"{candidate} is in production already.")
    if not project.kind.is_comparative:
        raise NotOpened(f"People rewrite in “{project}”, so there are no comparisons.")
    return against


def _existing_gate_message(gate: Gate) -> str:
    """Why no second gate is opened: repeating a comparison until it succeeds would let chance decide."""
    if gate.outcome == Gate.Outcome.UNDECIDED:
        return f"{gate} is undecided: ask more on the page of its gate."
    return f"{gate} is decided: {gate.get_outcome_display()}."


def _count_prompts(project: Project, candidate: ModelVersion, against: ModelVersion) -> tuple[int, int]:
    """The numbers of held-out prompts with and without tasks that compare the two versions."""
    assert candidate.generator is not None
    assert against.generator is not None
    tasks = tasks_between(project, candidate.generator, against.generator)
    covered = tasks.values("prompt").distinct().count()
    return covered, project.prompts.filter(split=Prompt.Split.HELDOUT).count() - covered


def _start_evaluation(
    candidate: ModelVersion, against: ModelVersion, project: Project, *, tasks: int, by: User | None
) -> Run:
    """Start the run that samples both versions and opens the tasks, with the candidate's training length.

    Raises NotOpened.
    """
    parameters = {
        "policy": candidate.name,
        "against": against.name,
        "project": project.slug,
        "judge": PEOPLE,
        "tasks": tasks,
    }
    learned = candidate.run.parameters if candidate.run else {}
    parameters |= {name: learned[name] for name in ("max_new_tokens", "temperature") if learned.get(name)}
    form = runs.form_for(Run.Kind.EVALUATE, parameters, user=by)
    if not form.is_valid():
        raise NotOpened(" ".join(str(message) for messages in form.errors.values() for message in messages))
    return runs.start(form, owner=by)


def _outcome(gate: Gate, found: Evidence) -> Gate.Outcome | None:
    """The outcome to close the gate with; None while it stays open."""
    if decided := found.outcome:
        return decided
    asking = gate.run is not None and gate.run.status != Run.Status.SUCCEEDED
    if found.compared >= gate.max_prompts or not (asking or found.waiting):
        return Gate.Outcome.UNDECIDED
    return None


def _close(gate: Gate, outcome: Gate.Outcome, found: Evidence) -> None:
    """Store the outcome and its evidence, and move tasks that nobody has begun to the end of the queue."""
    gate.outcome, gate.evidence, gate.closed_at = outcome, found.as_json(), timezone.now()
    gate.save(update_fields=["outcome", "evidence", "closed_at"])
    move_to_back(gate.project, *generators_of(gate))
