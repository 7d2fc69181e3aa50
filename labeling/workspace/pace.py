"""One annotator's answers per day, daily goals and pace, shown only to that annotator.

Days start at midnight in the site's time zone (`TIME_ZONE`), also across clock changes. Gold tasks and
repeats are counted like any other task: leaving them out would reveal which they are. Training tasks, which
are no secret, are not counted.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.contrib.auth.models import User
from django.db.models import Aggregate, Count, FloatField, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from labeling.models import Annotation, Assignment, Project, Task, WorkSettings
from labeling.models.assignments import AssignmentQuerySet

COMPARISON_DAYS = 14
"""Today's pace is compared with this many days before."""


def day_start(day: date) -> datetime:
    """The first moment of a day in the site's time zone, as a UTC time that can be subtracted from others."""
    return timezone.make_aware(datetime.combine(day, time.min)).astimezone(UTC)


def answered_assignments(annotator: User) -> AssignmentQuerySet:
    """The tasks this annotator has answered, without training tasks."""
    return Assignment.objects.counting_toward_limits().filter(annotator=annotator)


def answer_counts_by_day(
    annotator: User, *, since: date | None = None, before: date | None = None
) -> list[tuple[date, int]]:
    """The days on which this annotator answered something, in order, each with the number of answers."""
    answered = answered_assignments(annotator).order_by()
    if since is not None:
        answered = answered.filter(finished__gte=day_start(since))
    if before is not None:
        answered = answered.filter(finished__lt=day_start(before))
    days = answered.annotate(day=TruncDate("finished")).values_list("day")
    return list(days.annotate(Count("pk")).order_by("day"))


def answers_today(annotator: User, project: Project | None = None) -> int:
    """The number of tasks answered since midnight, in one project or in all."""
    answered = answered_assignments(annotator).filter(finished__gte=day_start(timezone.localdate()))
    return (answered if project is None else answered.filter(project=project)).count()


def answers_today_by_project(annotator: User) -> dict[int, int]:
    """The number of tasks answered since midnight, by project id."""
    answered = answered_assignments(annotator).filter(finished__gte=day_start(timezone.localdate()))
    return dict(answered.order_by().values_list("project").annotate(Count("pk")))


# -- Goals ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """A target number of answers per day and today's progress. Informational only."""

    done: int
    target: int
    project: Project | None = None
    """None for the annotator's personal goal, which covers all projects."""

    @property
    def is_reached(self) -> bool:
        return self.done >= self.target

    @property
    def progress(self) -> int:
        """Answers done, at most the target: the value of a progress bar."""
        return min(self.done, self.target)


def personal_goal(annotator: User) -> int | None:
    """The daily goal this annotator has set for all projects together, if any."""
    return WorkSettings.objects.filter(pk=annotator.pk).values_list("daily_goal", flat=True).first()


def current_goal(annotator: User, project: Project) -> Goal | None:
    """Today's goal on this project's page: the personal goal if there is one, else the project's."""
    target = personal_goal(annotator)
    if target:
        return Goal(answers_today(annotator), target)
    return (
        Goal(answers_today(annotator, project), project.daily_goal, project) if project.daily_goal else None
    )


def current_goals(annotator: User) -> list[Goal]:
    """Today's goals: the personal goal if there is one, else those of the annotator's projects."""
    target = personal_goal(annotator)
    if target:
        return [Goal(answers_today(annotator), target)]
    done = answers_today_by_project(annotator)
    projects = Project.objects.for_annotator(annotator).filter(daily_goal__gt=0)
    return [Goal(done.get(project.pk, 0), project.daily_goal or 0, project) for project in projects]


# -- Pace -------------------------------------------------------------------------------------------------


class Median(Aggregate):
    """The median; the mean of the two middle values for an even count."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()


@dataclass(frozen=True)
class Pace:
    """How fast answers were given over some days, in active time: with the page visible and in use."""

    answers: int
    """Answers with a known time."""
    median: float
    """Median seconds per answer."""
    per_hour: float
    """Answers per hour of active time."""

    @property
    def median_text(self) -> str:
        """The median with its unit: "8.5 s", "40 s", "2 min 5 s"."""
        minutes, seconds = divmod(round(self.median), 60)
        if not minutes:
            return f"{self.median:.1f} s" if self.median < 10 else f"{seconds} s"
        return f"{minutes} min {seconds} s"


def recent_pace(annotator: User) -> tuple[Pace | None, Pace | None]:
    """Today's pace and that of the `COMPARISON_DAYS` days before; None where no answer has a time.

    Only first revisions count: editing an answer later does not lower the pace.
    """
    today = timezone.localdate()
    midnight = day_start(today)
    timed = Annotation.objects.exclude(assignment__task__kind=Task.Kind.TRAINING).filter(
        assignment__annotator=annotator,
        assignment__finished__gte=day_start(today - timedelta(days=COMPARISON_DAYS)),
        revision=1,
        seconds__gt=0,
    )
    periods = {"today": Q(assignment__finished__gte=midnight), "before": Q(assignment__finished__lt=midnight)}
    totals = timed.aggregate(
        **{f"{name}_answers": Count("pk", filter=period) for name, period in periods.items()},
        **{f"{name}_median": Median("seconds", filter=period) for name, period in periods.items()},
        **{f"{name}_seconds": Sum("seconds", filter=period) for name, period in periods.items()},
    )
    first, second = (
        Pace(
            totals[f"{name}_answers"],
            totals[f"{name}_median"],
            3600 * totals[f"{name}_answers"] / totals[f"{name}_seconds"],
        )
        if totals[f"{name}_answers"]
        else None
        for name in periods
    )
    return first, second
