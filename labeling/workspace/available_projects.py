"""The projects one annotator can work in, with the work available and their progress in each."""

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import OuterRef, Q, QuerySet, Subquery

from labeling.control_tasks import EntryTestProgress, entry_test_progress
from labeling.models import Assignment, Guidelines, Project, Task
from labeling.queue.limits import reached_limit
from labeling.workspace.pace import Goal, answers_today_by_project


@dataclass(frozen=True, kw_only=True)
class AvailableProject:
    """One project as it is for one annotator."""

    project: Project
    waiting_tasks: int
    """A lower bound (`TaskQuerySet.approximate_waiting_count`): an exact number would reveal gold tasks."""
    answers_today: int
    held_assignment: Assignment | None
    """A task they hold, or one with an unfinished answer."""
    entry_test: EntryTestProgress | None
    """Their progress in the entry test; None once passed."""
    limit_reached: str
    """The limit they have reached: "day", "person", or "" for none."""

    @property
    def goal(self) -> Goal | None:
        """The project's daily goal."""
        target = self.project.daily_goal
        return Goal(self.answers_today, target, self.project) if target else None

    @property
    def has_draft(self) -> bool:
        """Whether they have an unfinished answer."""
        return bool(self.held_assignment and self.held_assignment.draft)

    @property
    def training_tasks_left(self) -> int:
        """Training tasks still to be answered correctly, at most."""
        return self.entry_test.total - self.entry_test.correct if self.entry_test else 0

    @property
    def has_work(self) -> bool:
        """Whether there is something to do now."""
        has_tasks = bool(self.waiting_tasks or self.training_tasks_left)
        return bool(self.held_assignment) or (not self.limit_reached and has_tasks)


def available_projects(user: User) -> list[AvailableProject]:
    """The projects in which this annotator may work, those with something to do first."""
    done = answers_today_by_project(user)
    held = {
        assignment.project_id: assignment
        for assignment in Assignment.objects.filter(
            Q(state=Assignment.State.LEASED)
            | Q(state__in=Assignment.REASSIGNABLE_STATES, draft__isnull=False, task__open__gt=0),
            annotator=user,
        ).order_by("claimed")
    }
    projects = []
    for project in with_guidelines_version(Project.objects.for_annotator(user)):
        entry = entry_test_progress(annotator=user, project=project)
        available = AvailableProject(
            project=project,
            waiting_tasks=Task.objects.filter(project=project).approximate_waiting_count(user),
            answers_today=done.get(project.pk, 0),
            held_assignment=held.get(project.pk),
            entry_test=None if entry.passed else entry,
            limit_reached=reached_limit(annotator=user, project=project),
        )
        projects.append(available)
    return sorted(
        projects, key=lambda each: (not each.has_draft, not each.held_assignment, not each.has_work)
    )


def with_guidelines_version(projects: QuerySet[Project]) -> QuerySet[Project]:
    """The projects annotated with the version and the date of their current guidelines."""
    newest = Guidelines.objects.filter(project=OuterRef("pk")).order_by("-version")
    return projects.annotate(
        guidelines_version=Subquery(newest.values("version")[:1]),
        guidelines_date=Subquery(newest.values("created")[:1]),
    )
