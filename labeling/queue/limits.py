"""Limits: how much one person may answer, and why nothing comes."""

from django.contrib.auth.models import User
from django.utils import timezone

from labeling.models import Assignment, Project
from labeling.workspace.pace import day_start


def limit_reached(*, annotator: User, project: Project) -> str:
    """Which limit of the project keeps this person from another task: "person", "day", or none ("").

    Gold and repeats count as answers, as they do everywhere; training tasks do not. A day begins at midnight
    in the site's time zone.
    """
    answers = Assignment.objects.answers().filter(annotator=annotator, project=project).order_by()
    whole, daily = project.limit_per_person, project.limit_per_day
    if whole is not None and answers[:whole].count() >= whole:
        return "person"
    if daily is not None:
        today = answers.filter(finished__gte=day_start(timezone.localdate()))
        if today[:daily].count() >= daily:
            return "day"
    return ""


def rest_reason(*, annotator: User, project: Project) -> str:
    """Why the project has no task for this person now.

    "inactive": it hands out none; "person" or "day": they reached one of its limits; "empty": others have
    the rest, or there is none.
    """
    if not project.is_active:
        return "inactive"
    return limit_reached(annotator=annotator, project=project) or "empty"
