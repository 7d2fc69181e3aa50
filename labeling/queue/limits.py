"""Limits on the number of answers per annotator, and the reason why there is no next task."""

from django.contrib.auth.models import User
from django.utils import timezone

from labeling.models import Assignment, Project
from labeling.workspace.pace import day_start


def reached_limit(*, annotator: User, project: Project) -> str:
    """The limit of the project that this person has reached: "person", "day", or "" for none.

    Gold and repeats count, training tasks do not. A day begins at midnight in the site's time zone.
    """
    answers = (
        Assignment.objects.counting_toward_limits().filter(annotator=annotator, project=project).order_by()
    )
    total, daily = project.limit_per_person, project.limit_per_day
    if total is not None and answers[:total].count() >= total:
        return "person"
    if daily is not None:
        today = answers.filter(finished__gte=day_start(timezone.localdate()))
        if today[:daily].count() >= daily:
            return "day"
    return ""


def no_task_reason(*, annotator: User, project: Project) -> str:
    """Why the project has no task for this person now.

    "inactive": the project is not active; "person" or "day": they reached this limit; "empty": no task is
    left for them.
    """
    if not project.is_active:
        return "inactive"
    return reached_limit(annotator=annotator, project=project) or "empty"
