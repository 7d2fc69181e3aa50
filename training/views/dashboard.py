"""Pages that show where the loop stands: of all projects, and of one."""

from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, allowed_project, may, right_required, signed_in
from labeling.models import Project
from training.dashboard.charts import Sparkline, answers_by_day
from training.dashboard.next_step import NextStep, next_step
from training.dashboard.project_status import ProjectStatus, project_statuses
from training.models import Decision, Round

OFTEN, SELDOM = 5, 60
"""Seconds after which a page looks again: while something is at work, and else."""
LAST_ROUNDS = 3


@dataclass(frozen=True)
class Row:
    """A project as its reader sees it."""

    at: ProjectStatus
    step: NextStep
    may_follow: bool
    """Whether they may take the next step."""

    @classmethod
    def of(cls, at: ProjectStatus, request: UserRequest) -> "Row":
        step = next_step(at)
        return cls(at, step, not step.permission or may(request.user, step.permission, at.project))

    @property
    def days(self) -> Sparkline:
        return Sparkline(self.at.tally.by_day)


def pause_of(rows: list[Row]) -> int:
    """How long the page waits until it looks again, in seconds."""
    return OFTEN if any(row.at.active for row in rows) else SELDOM


# /dashboard/


@require_GET
@right_required("training.view_run", somewhere=True)
@never_cache
def dashboard(request: UserRequest) -> HttpResponse:
    """Where the loop stands in every project one may see; those in which people are at work come first."""
    found = project_statuses(list(Project.objects.allowed(request.user, "training.view_run")))
    found.sort(key=lambda at: (not at.project.is_active, -sum(at.tally.by_day), at.project.name))
    rows = [Row.of(at, request) for at in found]
    return render(request, "training/dashboard/dashboard.html", {"rows": rows, "every": pause_of(rows)})


# /projects/<slug>/


@require_GET
@signed_in
@never_cache
def loop(request: UserRequest, slug: str) -> HttpResponse:
    """One project's loop: what is there at each of its stages, and what to do next."""
    project = allowed_project(request.user, slug, "training.view_run")
    (at,) = project_statuses([project])
    row = Row.of(at, request)
    decisions = Decision.objects.filter(project=project).select_related("version", "by")
    context = {
        "project": project,
        "row": row,
        "at": at,
        "every": pause_of([row]),
        "answers": answers_by_day(at.tally),
        "rounds": last_rounds(project)[:LAST_ROUNDS],
        "decision": decisions.first(),
    }
    return render(request, "training/dashboard/project.html", context)


def last_rounds(project: Project) -> QuerySet[Round]:
    """A project's rounds with what they made, newest first."""
    made = Round.objects.filter(project=project).select_related(
        "train_reward__version", "finetune__version", "started_by"
    )
    return made.defer("train_reward__metrics", "finetune__metrics")
