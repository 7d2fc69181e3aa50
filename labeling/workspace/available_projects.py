"""What there is to do for one person: the projects they may work in, and how they stand in each."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import OuterRef, Q, QuerySet, Subquery

from labeling.control_tasks import Standing, entry_standing
from labeling.models import Assignment, Guidelines, Project, Task
from labeling.queue.limits import limit_reached
from labeling.workspace.pace import Goal, done_today_by_project


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One project as it stands for one person."""

    project: Project
    waiting: int
    """How many tasks at least, in steps (`TaskQuerySet.waiting_about`): an exact number would tell gold."""
    done: int
    """Answers today."""
    held: Assignment | None
    """A task they have begun or hold."""
    entry: Standing | None
    """The entry test, as long as it is before them."""
    limit: str
    """Which limit they have reached: "day", "person", or none ("")."""

    @property
    def goal(self) -> Goal | None:
        """The project's goal for the day."""
        aim = self.project.daily_goal
        return Goal(self.done, aim, self.project) if aim else None

    @property
    def begun(self) -> bool:
        """Whether they have said something already that is not sent yet."""
        return bool(self.held and self.held.draft)

    @property
    def practice(self) -> int:
        """How many training tasks are still to be answered right, at most."""
        return self.entry.total - self.entry.right if self.entry else 0

    @property
    def is_open(self) -> bool:
        """Whether there is something to do now."""
        return bool(self.held or (not self.limit and (self.waiting or self.practice)))


def offers_for(user: User) -> list[Offer]:
    """The projects in which this person may work: those with something to do first."""
    done = done_today_by_project(user)
    begun = {
        assignment.project_id: assignment
        for assignment in Assignment.objects.filter(
            Q(state=Assignment.State.LEASED)
            | Q(state__in=Assignment.OFFERED_AGAIN, draft__isnull=False, task__open__gt=0),
            annotator=user,
        ).order_by("claimed")
    }
    offers = []
    for project in with_guidelines(Project.objects.for_annotator(user)):
        entry = entry_standing(annotator=user, project=project)
        offer = Offer(
            project=project,
            waiting=Task.objects.filter(project=project).waiting_about(user),
            done=done.get(project.pk, 0),
            held=begun.get(project.pk),
            entry=None if entry.passed else entry,
            limit=limit_reached(annotator=user, project=project),
        )
        offers.append(offer)
    return sorted(offers, key=lambda offer: (not offer.begun, not offer.held, not offer.is_open))


def with_guidelines(projects: QuerySet[Project]) -> QuerySet[Project]:
    """The projects with the number (`version`) and the date (`version_since`) of the guidelines in force."""
    newest = Guidelines.objects.filter(project=OuterRef("pk")).order_by("-version")
    return projects.annotate(
        version=Subquery(newest.values("version")[:1]), version_since=Subquery(newest.values("created")[:1])
    )
