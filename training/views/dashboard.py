"""The dashboard of all projects, and the dashboard of one."""

from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, allowed_project, login_required, permission_required
from labeling.models import Project
from training.dashboard.charts import Sparkline, answers_by_day
from training.dashboard.next_step import NextStep, next_step
from training.dashboard.project_status import ProjectStatus, project_statuses
from training.models import Decision, Round

ACTIVE_INTERVAL, IDLE_INTERVAL = 5, 60
"""Seconds between refreshes of a page: while a run is active, and otherwise."""
MAX_ROUNDS = 3


@dataclass(frozen=True)
class ProjectRow:
    """A project with its next step, for one reader."""

    status: ProjectStatus
    step: NextStep
    may_act: bool
    """Whether the reader may take the next step."""

    @classmethod
    def of(cls, status: ProjectStatus, request: UserRequest) -> "ProjectRow":
        step = next_step(status)
        return cls(
            status, step, not step.permission or request.user.has_perm(step.permission, status.project)
        )

    @property
    def days(self) -> Sparkline:
        return Sparkline(self.status.counts.answers_by_day)


def refresh_interval(rows: list[ProjectRow]) -> int:
    """Seconds until the page refreshes."""
    return ACTIVE_INTERVAL if any(row.status.active for row in rows) else IDLE_INTERVAL


# /dashboard/


@require_GET
@permission_required("training.view_run", any_project=True)
@never_cache
def dashboard(request: UserRequest) -> HttpResponse:
    """The status of every visible project; active ones with the most recent answers come first."""
    found = project_statuses(list(Project.objects.allowed(request.user, "training.view_run")))
    found.sort(
        key=lambda status: (
            not status.project.is_active,
            -sum(status.counts.answers_by_day),
            status.project.name,
        )
    )
    rows = [ProjectRow.of(status, request) for status in found]
    return render(
        request, "training/dashboard/dashboard.html", {"rows": rows, "interval": refresh_interval(rows)}
    )


# /projects/<slug>/


@require_GET
@login_required
@never_cache
def project_dashboard(request: UserRequest, slug: str) -> HttpResponse:
    """The dashboard of a project: the status of its stages, and the next step."""
    project = allowed_project(request.user, slug, "training.view_run")
    (status,) = project_statuses([project])
    row = ProjectRow.of(status, request)
    decisions = Decision.objects.filter(project=project).select_related("version", "by")
    context = {
        "project": project,
        "row": row,
        "status": status,
        "interval": refresh_interval([row]),
        "answers": answers_by_day(status.counts),
        "rounds": last_rounds(project)[:MAX_ROUNDS],
        "decision": decisions.first(),
    }
    return render(request, "training/dashboard/project.html", context)


def last_rounds(project: Project) -> QuerySet[Round]:
    """A project's rounds with their versions, newest first."""
    made = Round.objects.filter(project=project).select_related(
        "train_reward__version", "finetune__version", "started_by"
    )
    return made.defer("train_reward__metrics", "finetune__metrics")
