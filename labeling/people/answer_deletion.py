"""Deleting a person's answers, and everything that depends on them."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, F, Q, QuerySet

from labeling.models import (
    Adjudication,
    Annotation,
    Assignment,
    Cursor,
    Judgement,
    Membership,
    PreferenceSnapshot,
    Project,
    Prompt,
    SnapshotAnswer,
    Task,
)
from labeling.people.audit_log import log_change
from labeling.preferences import lock_annotations

OCCUPYING_STATES = (Assignment.State.LEASED, Assignment.State.SUBMITTED)


@dataclass(frozen=True, kw_only=True)
class DeletionSummary:
    """What a deletion of one person's answers in some projects covers."""

    answers: int
    """Tasks answered."""
    skipped: int
    unfinished: int
    """Tasks held now, and drafts of released tasks."""
    adjudications: int
    """Tasks on which the person's answer is the final decision."""
    snapshots: int
    """Snapshots that contain these answers."""

    def __bool__(self) -> bool:
        return bool(self.answers or self.skipped or self.unfinished)


def can_delete_answers(actor: User, person: User) -> bool:
    """Whether one person may delete another's answers in some project: their own, those of non-staff, or (as
    a superuser) anybody's."""
    if not actor.is_superuser and actor != person and (person.is_staff or person.is_superuser):
        return False
    return deletable_projects(actor).exists()


def deletable_projects(actor: User) -> QuerySet[Project]:
    """The projects in which a person may delete answers."""
    return Project.objects.allowed(actor, "labeling.erase")


def deletion_contacts(person: User) -> QuerySet[User]:
    """Other people who can delete this person's answers."""
    answered = Assignment.objects.filter(annotator=person).order_by().values("project")
    here = Membership.objects.granting("labeling.erase").filter(project__in=answered)
    everywhere = User.objects.with_perm(
        "labeling.erase", backend="django.contrib.auth.backends.ModelBackend"
    ).order_by()
    allowed = User.objects.filter(Q(pk__in=here.values("person")) | Q(pk__in=everywhere.values("pk")))
    return allowed.filter(is_active=True).exclude(pk=person.pk).order_by("username")


def summarise_deletion(person: User, projects: Iterable[Project]) -> DeletionSummary:
    """What a deletion in these projects would cover."""
    theirs = Assignment.objects.filter(annotator=person, project__in=projects)
    states = dict(theirs.order_by().values_list("state").annotate(Count("pk")))
    drafts = theirs.filter(state__in=Assignment.REASSIGNABLE_STATES, draft__isnull=False)
    rows = SnapshotAnswer.objects.filter(annotation__assignment__in=theirs)
    return DeletionSummary(
        answers=states.get(Assignment.State.SUBMITTED, 0),
        skipped=states.get(Assignment.State.SKIPPED, 0),
        unfinished=states.get(Assignment.State.LEASED, 0) + drafts.count(),
        adjudications=Adjudication.objects.filter(assignment__in=theirs).count(),
        snapshots=rows.order_by().values("snapshot").distinct().count(),
    )


def delete_answers(person: User, *, projects: Iterable[Project], by: User) -> DeletionSummary:
    """Delete a person's answers, skips and drafts in these projects; returns what was deleted.

    Their rows are removed from snapshots, which count them as withdrawn; their slots reopen; their repeats
    are deleted, and so are their live comparisons, whose prompts they wrote, unless others answered them too;
    where their answer was the final decision, all answers count again. The deletion is logged in the admin.
    Raises PermissionDenied.
    """
    chosen = sorted(projects, key=lambda project: project.pk)
    if not can_delete_answers(by, person) or not all(
        by.has_perm("labeling.erase", project) for project in chosen
    ):
        raise PermissionDenied
    with transaction.atomic():
        for project in chosen:
            lock_annotations(project)
        # Locked in the order of the queue, to avoid deadlocks: cursors, assignments, tasks. With the cursors
        # locked, this person cannot claim a task.
        cursors = Cursor.objects.filter(annotator=person, project__in=chosen).order_by("pk")
        list(cursors.select_for_update())
        theirs = Assignment.objects.filter(annotator=person, project__in=chosen).order_by("pk")
        held = list(theirs.select_for_update())
        tasks = Task.objects.filter(pk__in=[each.task_id for each in held]).order_by("pk")
        list(tasks.select_for_update(no_key=True).values_list("pk"))

        summary = summarise_deletion(person, chosen)
        _remove_from_snapshots(theirs)
        SnapshotAnswer.objects.filter(annotation__assignment__in=theirs).delete()
        Adjudication.objects.filter(assignment__in=theirs).delete()
        Judgement.objects.filter(annotation__assignment__in=theirs).delete()
        Annotation.objects.filter(assignment__in=theirs).delete()
        theirs.delete()
        cursors.delete()
        occupied = [each.task_id for each in held if each.state in OCCUPYING_STATES]
        own = Q(kind=Task.Kind.REPEAT) | Q(choice=Task.Choice.LIVE)
        Task.objects.filter(pk__in=occupied).exclude(own).update(open=F("open") + 1)
        # Repeats and live comparisons belong to one person.
        tasks.filter(kind=Task.Kind.REPEAT).delete()
        _delete_live_tasks(tasks)
        names = ", ".join(project.name for project in chosen)
        counts = f"{summary.answers} answers, {summary.skipped} skips"
        log_change(person, f"Deleted all answers in {names}: {counts}.", by=by)
    return summary


def _delete_live_tasks(tasks: QuerySet[Task]) -> None:
    """Delete those of the tasks that are live comparisons which nobody else answered, with what was written
    in them: prompts that no other task has, and their samples."""
    live = tasks.filter(
        choice=Task.Choice.LIVE, kind=Task.Kind.ORDINARY, assignments=None, copies__assignments=None
    ).values_list("pk", "prompt")
    found = list(live)
    Task.objects.filter(pk__in=[task for task, _ in found]).delete()
    Prompt.objects.filter(pk__in=[prompt for _, prompt in found], tasks=None).delete()


def _remove_from_snapshots(assignments: QuerySet[Assignment]) -> None:
    """Remove the rows of these assignments from all snapshots."""
    rows = SnapshotAnswer.objects.filter(annotation__assignment__in=assignments).order_by()
    for snapshot in PreferenceSnapshot.objects.filter(pk__in=rows.values("snapshot")).order_by("pk"):
        snapshot.remove_annotations(rows.filter(snapshot=snapshot).values_list("annotation_id", flat=True))
