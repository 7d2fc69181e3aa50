"""The first page, which lists the available projects, and "My work", the annotator's own progress."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, annotator_required, has_perm_in_any_project
from labeling.models import Project
from labeling.people.answer_deletion import deletion_contacts
from labeling.workspace import self_agreement
from labeling.workspace.activity import (
    CHART_DAYS,
    DailyAnswersChart,
    daily_activity,
    group_by_week,
    longest_streak,
)
from labeling.workspace.available_projects import available_projects, with_guidelines_version
from labeling.workspace.history import answer_history
from labeling.workspace.pace import COMPARISON_DAYS, Goal, current_goals, personal_goal, recent_pace

RECENT_ANSWERS_SHOWN = 10
"""Further answers are folded away."""
MAX_CONTACTS = 3


@require_GET
@login_required
@never_cache
def projects(request: UserRequest) -> HttpResponse:
    """The projects one can work in; for reviewers and admins also their other projects."""
    user = request.user
    available = available_projects(user)
    target = personal_goal(user)
    others = Project.objects.none()
    if has_perm_in_any_project(user, "labeling.review"):
        others = Project.objects.allowed(user, "labeling.review")
        others = others.exclude(pk__in=[each.project.pk for each in available])
    context = {
        "available_projects": available,
        "personal_goal": Goal(sum(each.answers_today for each in available), target) if target else None,
        "other_projects": with_guidelines_version(others),
    }
    return render(request, "labeling/projects.html", context)


# /me/


@require_GET
@annotator_required
@never_cache
def my_work(request: UserRequest) -> HttpResponse:
    """The annotator's answers, goals, pace and activity, and recent answers to edit."""
    user = request.user
    days = daily_activity(user)
    goals = current_goals(user)
    projects = with_guidelines_version(Project.objects.for_annotator(user))
    has_one_goal = len(projects) == 1 or any(goal.project is None for goal in goals)
    pace_today, pace_before = recent_pace(user)
    history = answer_history(user)
    context = {
        "answers_today": days[-1].answers,
        "goals": goals,
        "pace_today": pace_today,
        "pace_before": pace_before,
        "comparison_days": COMPARISON_DAYS,
        "gold_accuracy": self_agreement.gold_accuracy(user),
        "repeat_agreement": self_agreement.repeat_agreement(user),
        # The bars count all projects together, so a goal is drawn only if it does too.
        "chart": DailyAnswersChart(
            days[-CHART_DAYS:], goal=goals[0].target if goals and has_one_goal else None
        ),
        "weeks": group_by_week(days),
        "active_days": sum(bool(day.answers) for day in days),
        "longest_streak": longest_streak(days),
        "recent_answers": history[:RECENT_ANSWERS_SHOWN],
        "older_answers": history[RECENT_ANSWERS_SHOWN:],
        "projects": projects,
        "deletion_contacts": deletion_contacts(user)[:MAX_CONTACTS],
        "time_zone": timezone.get_current_timezone_name(),
    }
    return render(request, "labeling/my_work.html", context)
