"""The first page, with what there is to do, and everybody's page about their own work."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, annotator_required
from labeling.days import DAYS_DRAWN, DayChart, days_of, longest_row, weeks_of
from labeling.models import Project, Task
from labeling.pace import LATELY, Goal, done_today, done_today_by_project, own_aim, pace


@require_GET
@login_required
@never_cache
def projects(request: UserRequest) -> HttpResponse:
    """What there is to do."""
    done = done_today_by_project(request.user)
    rows = [
        {
            "project": project,
            "waiting": Task.objects.filter(project=project).waiting_for(request.user).count(),
            "today": done.get(project.pk, 0),
        }
        for project in Project.objects.for_annotator(request.user)
    ]
    return render(request, "labeling/projects.html", {"rows": rows})


# /me/


@require_GET
@annotator_required
@never_cache
def mine(request: UserRequest) -> HttpResponse:
    """What the person has done, how fast, on which days, and the last answers to look at again."""
    user = request.user
    days = days_of(user)
    aim = own_aim(user)
    today, lately = pace(user)
    context = {
        "done": done_today(user),
        "goal": Goal(days[-1].answers, aim) if aim else None,
        "pace_today": today,
        "pace_lately": lately,
        "lately_days": LATELY,
        "chart": DayChart(days[-DAYS_DRAWN:], aim=aim),
        "weeks": weeks_of(days),
        "days_worked": sum(bool(day.answers) for day in days),
        "longest_row": longest_row(days),
        "time_zone": timezone.get_current_timezone_name(),
    }
    return render(request, "labeling/mine.html", context)
