"""What one person has done today, towards which goal, and how fast: for that person's own eyes.

Days begin at midnight in the site's time zone (`TIME_ZONE`), also where the clocks change. Answers to gold
and repeats count like any: a figure that passed over them would tell which they are. Training tasks, which
are no secret, do not count.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.contrib.auth.models import User
from django.db.models import Aggregate, Count, FloatField, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from labeling.models import Annotation, Assignment, Project, Task, WorkSettings
from labeling.models.assignments import AssignmentQuerySet

LATELY = 14
"""Days before today that pace is compared with."""


def start_of(day: date) -> datetime:
    """The first moment of a day in the site's time zone, in UTC: there moments can be subtracted."""
    return timezone.make_aware(datetime.combine(day, time.min)).astimezone(UTC)


def answers_of(annotator: User) -> AssignmentQuerySet:
    """The tasks this person has answered, training tasks left out: those are no secret."""
    return Assignment.objects.answers().filter(annotator=annotator)


def answers_by_day(
    annotator: User, *, since: date | None = None, before: date | None = None
) -> list[tuple[date, int]]:
    """The days on which this person answered something, in order, and how many tasks."""
    answered = answers_of(annotator).order_by()
    if since is not None:
        answered = answered.filter(finished__gte=start_of(since))
    if before is not None:
        answered = answered.filter(finished__lt=start_of(before))
    days = answered.annotate(day=TruncDate("finished")).values_list("day")
    return list(days.annotate(Count("pk")).order_by("day"))


def done_today(annotator: User, project: Project | None = None) -> int:
    """How many tasks this person has answered since midnight, in one project or in all."""
    answered = answers_of(annotator).filter(finished__gte=start_of(timezone.localdate()))
    return (answered if project is None else answered.filter(project=project)).count()


def done_today_by_project(annotator: User) -> dict[int, int]:
    """How many tasks this person has answered since midnight, by the project's id."""
    answered = answers_of(annotator).filter(finished__gte=start_of(timezone.localdate()))
    return dict(answered.order_by().values_list("project").annotate(Count("pk")))


# -- Goals ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """Answers per day to aim at, and how many there are. Nothing depends on it."""

    done: int
    aim: int
    project: Project | None = None
    """None: the person's own goal, for all projects together."""

    @property
    def reached(self) -> bool:
        return self.done >= self.aim

    @property
    def shown(self) -> int:
        """What a bar from 0 to the aim shows."""
        return min(self.done, self.aim)


def own_aim(annotator: User) -> int | None:
    """The goal this person has set, if any: for all projects together."""
    return WorkSettings.objects.filter(pk=annotator.pk).values_list("daily_goal", flat=True).first()


def goal_today(annotator: User, project: Project) -> Goal | None:
    """Today's goal on this project's page: one's own, over all projects, else the project's."""
    aim = own_aim(annotator)
    if aim:
        return Goal(done_today(annotator), aim)
    return Goal(done_today(annotator, project), project.daily_goal, project) if project.daily_goal else None


def goals_today(annotator: User) -> list[Goal]:
    """Today's goals: one's own, over all projects, else those of the projects one can work in."""
    aim = own_aim(annotator)
    if aim:
        return [Goal(done_today(annotator), aim)]
    done = done_today_by_project(annotator)
    projects = Project.objects.for_annotator(annotator).filter(daily_goal__gt=0)
    return [Goal(done.get(project.pk, 0), project.daily_goal or 0, project) for project in projects]


# -- Pace -------------------------------------------------------------------------------------------------


class Median(Aggregate):
    """The middle of the values, between the two middle ones where there are two."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()


@dataclass(frozen=True)
class Pace:
    """How fast answers were given in some days. Active time only: with the page in sight, and in use."""

    answers: int
    """Those whose time is known."""
    median: float
    """Seconds an answer."""
    per_hour: float
    """Answers in an hour of active time."""

    @property
    def typical(self) -> str:
        """The median as people read it."""
        minutes, seconds = divmod(round(self.median), 60)
        if not minutes:
            return f"{self.median:.1f} s" if self.median < 10 else f"{seconds} s"
        return f"{minutes} min {seconds} s"


def pace(annotator: User) -> tuple[Pace | None, Pace | None]:
    """Today's pace, and that of the `LATELY` days before; none where nothing was timed.

    The time is that of the first revision: a later look at an answer makes nobody slower.
    """
    today = timezone.localdate()
    midnight = start_of(today)
    timed = Annotation.objects.exclude(assignment__task__kind=Task.Kind.TRAINING).filter(
        assignment__annotator=annotator,
        assignment__finished__gte=start_of(today - timedelta(days=LATELY)),
        revision=1,
        seconds__gt=0,
    )
    parts = {"today": Q(assignment__finished__gte=midnight), "lately": Q(assignment__finished__lt=midnight)}
    figures = timed.aggregate(
        **{f"{name}_answers": Count("pk", filter=part) for name, part in parts.items()},
        **{f"{name}_median": Median("seconds", filter=part) for name, part in parts.items()},
        **{f"{name}_seconds": Sum("seconds", filter=part) for name, part in parts.items()},
    )
    first, second = (
        Pace(
            figures[f"{name}_answers"],
            figures[f"{name}_median"],
            3600 * figures[f"{name}_answers"] / figures[f"{name}_seconds"],
        )
        if figures[f"{name}_answers"]
        else None
        for name in parts
    )
    return first, second
