"""Deleting what somebody answered: their right, and what it touches."""

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
    SnapshotAnswer,
    Task,
)
from labeling.people.audit_log import record
from labeling.preferences import lock_answers

HOLDS_A_PLACE = (Assignment.State.LEASED, Assignment.State.SUBMITTED)


@dataclass(frozen=True, kw_only=True)
class Extent:
    """What is kept of one person's answers in some projects."""

    answers: int
    """Tasks answered, whatever the number of revisions."""
    skipped: int
    unfinished: int
    """Tasks held now, and drafts of tasks that were given back."""
    last_words: int
    """Tasks on which the person's answer counts in place of all."""
    snapshots: int
    """Snapshots that hold rows of these answers."""

    def __bool__(self) -> bool:
        return bool(self.answers or self.skipped or self.unfinished)


def may_erase(actor: User, person: User) -> bool:
    """Whether one may delete what another answered, in some project: one's own, or those of people who do not
    run the site; a superuser anybody's."""
    if not actor.is_superuser and actor != person and (person.is_staff or person.is_superuser):
        return False
    return erasable_projects(actor).exists()


def erasable_projects(actor: User) -> QuerySet[Project]:
    """The projects in which one may delete what people answered."""
    return Project.objects.allowed(actor, "labeling.erase")


def whom_to_ask(person: User) -> QuerySet[User]:
    """Who can delete what this person answered, other than themselves."""
    answered = Assignment.objects.filter(annotator=person).order_by().values("project")
    here = Membership.objects.giving("labeling.erase").filter(project__in=answered)
    everywhere = User.objects.with_perm(
        "labeling.erase", backend="django.contrib.auth.backends.ModelBackend"
    ).order_by()
    able = User.objects.filter(Q(pk__in=here.values("person")) | Q(pk__in=everywhere.values("pk")))
    return able.filter(is_active=True).exclude(pk=person.pk).order_by("username")


def extent(person: User, projects: Iterable[Project]) -> Extent:
    """What an erasure in these projects would delete, and how many snapshots it would touch."""
    theirs = Assignment.objects.filter(annotator=person, project__in=projects)
    states = dict(theirs.order_by().values_list("state").annotate(Count("pk")))
    drafts = theirs.filter(state__in=Assignment.OFFERED_AGAIN, draft__isnull=False)
    rows = SnapshotAnswer.objects.filter(annotation__assignment__in=theirs)
    return Extent(
        answers=states.get(Assignment.State.SUBMITTED, 0),
        skipped=states.get(Assignment.State.SKIPPED, 0),
        unfinished=states.get(Assignment.State.LEASED, 0) + drafts.count(),
        last_words=Adjudication.objects.filter(assignment__in=theirs).count(),
        snapshots=rows.order_by().values("snapshot").distinct().count(),
    )


def erase(person: User, *, projects: Iterable[Project], by: User) -> Extent:
    """Delete all that somebody answered, skipped or drafted in these projects; returns what there was.

    Their rows leave the snapshots, which count them as withdrawn; their places open for others; tasks that
    came to them again go; where theirs was the last word, all answers count again. Who did it stands in the
    admin's log. Raises PermissionDenied.
    """
    chosen = sorted(projects, key=lambda project: project.pk)
    if not may_erase(by, person) or not all(by.has_perm("labeling.erase", project) for project in chosen):
        raise PermissionDenied
    with transaction.atomic():
        for project in chosen:
            lock_answers(project)
        # In the order in which the queue locks them, so that nobody waits crosswise: cursors, then
        # assignments, then tasks. Behind the cursors' locks this person is given no task.
        cursors = Cursor.objects.filter(annotator=person, project__in=chosen).order_by("pk")
        list(cursors.select_for_update())
        theirs = Assignment.objects.filter(annotator=person, project__in=chosen).order_by("pk")
        held = list(theirs.select_for_update())
        tasks = Task.objects.filter(pk__in=[each.task_id for each in held]).order_by("pk")
        list(tasks.select_for_update(no_key=True).values_list("pk"))

        there_was = extent(person, chosen)
        _withdraw(theirs)
        SnapshotAnswer.objects.filter(annotation__assignment__in=theirs).delete()
        Adjudication.objects.filter(assignment__in=theirs).delete()
        Judgement.objects.filter(annotation__assignment__in=theirs).delete()
        Annotation.objects.filter(assignment__in=theirs).delete()
        theirs.delete()
        cursors.delete()
        places = [each.task_id for each in held if each.state in HOLDS_A_PLACE]
        Task.objects.filter(pk__in=places).exclude(kind=Task.Kind.REPEAT).update(open=F("open") + 1)
        # A repeat was made for this person alone.
        tasks.filter(kind=Task.Kind.REPEAT).delete()
        names = ", ".join(project.name for project in chosen)
        skips = f"{there_was.answers} answers, {there_was.skipped} skips"
        record(person, f"Deleted all answers in {names}: {skips}.", by=by)
    return there_was


def _withdraw(assignments: QuerySet[Assignment]) -> None:
    """Take the rows of these answers out of the snapshots that hold some."""
    rows = SnapshotAnswer.objects.filter(annotation__assignment__in=assignments).order_by()
    for snapshot in PreferenceSnapshot.objects.filter(pk__in=rows.values("snapshot")).order_by("pk"):
        snapshot.withdraw(rows.filter(snapshot=snapshot).values_list("annotation_id", flat=True))
