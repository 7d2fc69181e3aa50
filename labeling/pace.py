"""What one person has done today, towards which goal, and how fast: for that person's own eyes.

Days begin at midnight in the site's time zone (`TIME_ZONE`), also where the clocks change. Every answer
counts the same, whatever task it was given to: a figure that passed over gold would tell which is gold.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.contrib.auth.models import User
from django.db.models import Aggregate, Count, FloatField, Q, Sum
from django.utils import timezone

from labeling.models import Annotation, Assignment, Project, WorkSettings
from labeling.models.assignments import AssignmentQuerySet

LATELY = 14
"""Days before today that pace is compared with."""


def start_of(day: date) -> datetime:
    """The first moment of a day in the site's time zone."""
    return timezone.make_aware(datetime.combine(day, time.min))


def answers_of(annotator: User) -> AssignmentQuerySet:
    """The tasks this person has answered."""
    return Assignment.objects.submitted().filter(annotator=annotator)


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
    """Answers a day to aim at, and how many there are. Nothing depends on it."""

    done: int
    aim: int

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
    return Goal(done_today(annotator, project), project.daily_goal) if project.daily_goal else None


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


def pace(annotator: User) -> tuple[Pace | None, Pace | None]:
    """Today's pace, and that of the `LATELY` days before; none where nothing was timed.

    The time is that of the first revision: a later look at an answer makes nobody slower.
    """
    today = timezone.localdate()
    midnight = start_of(today)
    timed = Annotation.objects.filter(
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
