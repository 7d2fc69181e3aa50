"""Gates: a blind comparison by people of a candidate with the version in production, before it is promoted.

The win rate is estimated by a confidence sequence (`training.registry.confidence_sequence`), so that anybody
may look at any time and a gate may close at the first moment at which it is clear. Its observations are all
complete blind tasks of the two versions in the project, whoever opened them and when
(`labeling.head_to_head.observations`): as none is left out, neither looking before opening a gate, nor
withdrawing one and opening another, nor asking more, gives chance a second chance.

While a gate is open its figures follow the answers: one that is revised or deleted counts as it is now, or
not. When it closes, its figures are kept with it and stand. What is said later, or deleted, does not undo a
decision that was made; the figures hold no name and no text.
"""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from labeling.access import may
from labeling.head_to_head import put_ahead, put_behind, tasks_between
from labeling.models import Project, Prompt
from training import runs
from training.forms.judges import PEOPLE
from training.models import Gate, ModelVersion, Run
from training.registry.gate_evidence import Evidence, evidence_of, generators_of, summarise
from training.reports.evaluation_report import Interval

MAX_PROMPTS = 200
"""Prompts on which a gate compares, where there are as many: a rate of two in three is then nearly always
told from a half, one of 60 % every other time."""

ADDITIONAL_PROMPTS = 100
"""Prompts that asking more adds."""


class NotOpened(Exception):  # noqa: N818 -- a refusal, in one line for the person who asked
    """Says why a gate cannot be opened, or more be asked, and what to do."""


def open_gate(candidate: ModelVersion, *, project: Project, by: User | None) -> Gate:
    """Compare a candidate with the version in production: a run opens the blind tasks.

    One that is open already is given back. Answers to earlier blind tasks of the two count, so it may close
    at once. Raises NotOpened.
    """
    with transaction.atomic():
        # Two that are opened at once are opened one after the other.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        against = _opponent(candidate, project)
        last = _gates_between(candidate, against, project).first()
        if last is not None and last.outcome == Gate.Outcome.OPEN:
            return last
        if last is not None:
            raise NotOpened(_existing_gate_message(last))
        asked, fresh = _count_prompts(project, candidate, against)
        wanted = min(max(MAX_PROMPTS - asked, 0), fresh)
        if asked + wanted == 0:
            raise NotOpened(f"“{project.slug}” has no held-out prompts to compare on: add some first.")
        gate = Gate.objects.create(
            project=project,
            candidate=candidate,
            against=against,
            max_prompts=asked + wanted,
            run=_start_evaluation(candidate, against, project, tasks=wanted, by=by) if wanted else None,
            opened_by=by,
        )
        put_ahead(project, *generators_of(gate))
    return close_if_decided(gate)


def ask_more(gate: Gate, *, by: User | None) -> Gate:
    """Compare on more prompts where a gate is undecided, or where the run that was to open its tasks ended
    without; the comparisons that there are count on. Raises NotOpened."""
    with transaction.atomic():
        locked = Gate.objects.select_for_update().get(pk=gate.pk)
        if not can_ask_more(locked):
            raise NotOpened(
                f"Nothing more is asked: {locked.get_outcome_display()[:1].lower()}"
                f"{locked.get_outcome_display()[1:]}."
            )
        if _opponent(locked.candidate, locked.project) != locked.against:
            raise NotOpened(f"{locked.against} is no longer in production: open a gate against what is.")
        asked, fresh = _count_prompts(locked.project, locked.candidate, locked.against)
        wanted = min(ADDITIONAL_PROMPTS, fresh)
        if wanted == 0:
            raise NotOpened(
                f"The two were compared on all {asked} held-out prompts of “{locked.project.slug}”: add more."
            )
        locked.outcome, locked.closed_at, locked.evidence = Gate.Outcome.OPEN, None, {}
        locked.max_prompts = asked + wanted
        locked.run = _start_evaluation(locked.candidate, locked.against, locked.project, tasks=wanted, by=by)
        locked.save()
        put_ahead(locked.project, *generators_of(locked))
    gate.refresh_from_db()
    return gate


def withdraw(gate: Gate) -> bool:
    """Stop asking; what was answered is kept, and counts if they are compared again. False: it is closed."""
    with transaction.atomic():
        locked = Gate.objects.select_for_update().get(pk=gate.pk)
        if locked.outcome != Gate.Outcome.OPEN:
            return False
        _close(locked, Gate.Outcome.WITHDRAWN, Evidence.now(locked))
        if locked.run is not None:
            runs.cancel(locked.run)
    gate.refresh_from_db()
    return True


def close_if_decided(gate: Gate) -> Gate:
    """The gate, closed if its answers decide it by now. Looked at twice at once, it is closed once."""
    with transaction.atomic():
        waiting = Gate.objects.select_for_update(of=("self",), skip_locked=True)
        locked = waiting.filter(pk=gate.pk, outcome=Gate.Outcome.OPEN).first()
        if locked is not None:
            found = Evidence.now(locked)
            if outcome := _outcome(locked, found):
                _close(locked, outcome, found)
    gate.refresh_from_db()
    return gate


def close_decided() -> int:
    """Close the open gates that are decided; returns how many."""
    return sum(
        close_if_decided(gate).outcome != Gate.Outcome.OPEN for gate in Gate.objects.filter(outcome="open")
    )


def gate_for(version: ModelVersion, project: Project) -> Gate | None:
    """The gate between a version and what is in production in the project now; None: there is none, or it was
    withdrawn."""
    against = ModelVersion.objects.production(project)
    return _gates_between(version, against, project).first() if against else None


def is_met(version: ModelVersion, project: Project) -> bool:
    """Whether people were asked and prefer the version to what is in production in the project.

    Where there is nothing to compare with, it is met: nothing in production, or the version itself, or a
    reward model, which writes nothing.
    """
    against = ModelVersion.objects.production(project)
    if against is None or against == version or version.kind != ModelVersion.Kind.POLICY:
        return True
    gate = _gates_between(version, against, project).first()
    return gate is not None and close_if_decided(gate).outcome == Gate.Outcome.MET


def can_ask_more(gate: Gate) -> bool:
    """Whether more answers could decide it: it is undecided, or its run ended without asking."""
    if gate.outcome == Gate.Outcome.OPEN:
        return gate.run is not None and gate.run.status in Run.ENDED_EARLY
    return gate.outcome == Gate.Outcome.UNDECIDED


@dataclass(frozen=True, kw_only=True)
class GateCard:
    """What the page of a version shows of its gate in one project."""

    project: Project
    against: ModelVersion | None
    gate: Gate | None
    evidence: Evidence | None
    is_met: bool
    may_open: bool
    """Whether this person may open one, and it makes sense."""

    @property
    def summary(self) -> str:
        return summarise(self.gate, self.evidence) if self.gate and self.evidence else ""

    @property
    def interval(self) -> Interval | None:
        """The candidate's win rate, for a small picture."""
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
    comparable = against is not None and against != version and project.kind.compares
    return GateCard(
        project=project,
        against=against,
        gate=gate,
        evidence=evidence_of(gate) if gate else None,
        is_met=is_met(version, project),
        may_open=comparable
        and gate is None
        and version.stage == ModelVersion.Stage.CANDIDATE
        and may(user, "training.add_run", project),
    )


def _gates_between(candidate: ModelVersion, against: ModelVersion, project: Project) -> QuerySet[Gate]:
    gates = Gate.objects.filter(project=project, candidate=candidate, against=against)
    return gates.exclude(outcome=Gate.Outcome.WITHDRAWN).select_related("run")


def _opponent(candidate: ModelVersion, project: Project) -> ModelVersion:
    """What the candidate is compared with. Raises NotOpened."""
    against = ModelVersion.objects.production(project)
    if candidate.kind != ModelVersion.Kind.POLICY:
        raise NotOpened(f"{candidate} is a reward model: people compare what policies write.")
    if candidate.stage == ModelVersion.Stage.ARCHIVED:
        raise NotOpened(f"{candidate} is archived: take it out of the archive first.")
    if candidate.project not in {None, project}:
        raise NotOpened(f"{candidate} belongs to “{candidate.project}”: it is compared there.")
    if against is None:
        raise NotOpened(f"Nothing is in production in “{project}” yet: {candidate} needs no gate.")
    if against == candidate:
        raise NotOpened(f"{candidate} is in production itself.")
    if not project.kind.compares:
        raise NotOpened(f"People rewrite in “{project}”, which compares nothing.")
    return against


def _existing_gate_message(gate: Gate) -> str:
    """Why the two are not compared anew: asked until the answer pleases, chance would decide."""
    if gate.outcome == Gate.Outcome.UNDECIDED:
        return f"{gate} is undecided: ask more on the page of its gate."
    return f"{gate} is decided: {gate.get_outcome_display()}."


def _count_prompts(project: Project, candidate: ModelVersion, against: ModelVersion) -> tuple[int, int]:
    """On how many held-out prompts the two were compared or will be, and how many others there are."""
    assert candidate.generator is not None
    assert against.generator is not None
    tasks = tasks_between(project, candidate.generator, against.generator)
    asked = tasks.values("prompt").distinct().count()
    return asked, project.prompts.filter(split=Prompt.Split.HELDOUT).count() - asked


def _start_evaluation(
    candidate: ModelVersion, against: ModelVersion, project: Project, *, tasks: int, by: User | None
) -> Run:
    """The run that lets both write and opens the tasks; texts are as long as the candidate learned to write.

    Raises NotOpened.
    """
    asked = {
        "policy": candidate.name,
        "against": against.name,
        "project": project.slug,
        "judge": PEOPLE,
        "tasks": tasks,
    }
    learned = candidate.run.parameters if candidate.run else {}
    asked |= {name: learned[name] for name in ("max_new_tokens", "temperature") if learned.get(name)}
    form = runs.form_for(Run.Kind.EVALUATE, asked, user=by)
    if not form.is_valid():
        raise NotOpened(" ".join(str(message) for messages in form.errors.values() for message in messages))
    return runs.start(form, owner=by)


def _outcome(gate: Gate, found: Evidence) -> Gate.Outcome | None:
    """How the gate closes, None while it stays open."""
    if verdict := found.verdict:
        return verdict
    asking = gate.run is not None and gate.run.status != Run.Status.SUCCEEDED
    if found.compared >= gate.max_prompts or not (asking or found.waiting):
        return Gate.Outcome.UNDECIDED
    return None


def _close(gate: Gate, outcome: Gate.Outcome, found: Evidence) -> None:
    """Keep the outcome with its figures; tasks that nobody has begun come after all others from now on."""
    gate.outcome, gate.evidence, gate.closed_at = outcome, found.as_json(), timezone.now()
    gate.save(update_fields=["outcome", "evidence", "closed_at"])
    put_behind(gate.project, *generators_of(gate))
