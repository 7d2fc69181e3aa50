"""The first page, with what there is to do, and everybody's page about their own work."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, annotator_required, may_somewhere
from labeling.models import Project
from labeling.people.deletion import whom_to_ask
from labeling.workspace import self_agreement
from labeling.workspace.activity import DAYS_DRAWN, DayChart, days_of, longest_row, weeks_of
from labeling.workspace.available_projects import offers_for, with_guidelines
from labeling.workspace.history import history_of
from labeling.workspace.pace import LATELY, Goal, goals_today, own_aim, pace

LAST_SHOWN = 10
"""Answers that the page shows at once; the others are a click away."""
MOST_NAMED = 3
"""People to ask."""


@require_GET
@login_required
@never_cache
def projects(request: UserRequest) -> HttpResponse:
    """What there is to do; for reviewers and admins also those of their projects that hand out no tasks."""
    user = request.user
    offers = offers_for(user)
    aim = own_aim(user)
    others = Project.objects.none()
    if may_somewhere(user, "labeling.review"):
        others = Project.objects.allowed(user, "labeling.review")
        others = others.exclude(pk__in=[offer.project.pk for offer in offers])
    context = {
        "offers": offers,
        "own_goal": Goal(sum(offer.done for offer in offers), aim) if aim else None,
        "others": with_guidelines(others),
    }
    return render(request, "labeling/projects.html", context)


# /me/


@require_GET
@annotator_required
@never_cache
def mine(request: UserRequest) -> HttpResponse:
    """What the person has done, how fast, on which days, and the last answers to look at again."""
    user = request.user
    days = days_of(user)
    goals = goals_today(user)
    projects = with_guidelines(Project.objects.for_annotator(user))
    alone = len(projects) == 1 or any(goal.project is None for goal in goals)
    today, lately = pace(user)
    last = history_of(user)
    context = {
        "done": days[-1].answers,
        "goals": goals,
        "pace_today": today,
        "pace_lately": lately,
        "lately_days": LATELY,
        "with_gold": self_agreement.with_gold(user),
        "with_oneself": self_agreement.with_oneself(user),
        # The bars are of all projects together: so is one's own goal, and that of the only project.
        "chart": DayChart(days[-DAYS_DRAWN:], aim=goals[0].aim if goals and alone else None),
        "weeks": weeks_of(days),
        "days_worked": sum(bool(day.answers) for day in days),
        "longest_row": longest_row(days),
        "last": last[:LAST_SHOWN],
        "older": last[LAST_SHOWN:],
        "projects": projects,
        "erasers": whom_to_ask(user)[:MOST_NAMED],
        "time_zone": timezone.get_current_timezone_name(),
    }
    return render(request, "labeling/my_work.html", context)
