"""Notifications on every page: a run of one's own has finished or failed."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labeling.access import UserRequest, login_required
from training import notifications
from training.models import Run
from training.reports.failure_hints import failure_hint
from training.reports.result_summary import key_result
from training.views.runs import STOP_POLLING

MAX_NOTIFICATIONS = 3
"""Notifications on a page at once."""

# /notices/


@require_GET
@login_required
@never_cache
def notifications_list(request: UserRequest) -> HttpResponse:
    """A person's own runs that ended unseen. Every page polls this while one of their runs is active."""
    ended = unseen_runs(request)
    is_polled = bool(ended) or Run.objects.active().filter(owner=request.user).exists()
    status = 200 if is_polled else STOP_POLLING
    return render(request, "training/_notifications.html", {"ended": ended}, status=status)


@require_POST
@login_required
def seen(request: UserRequest, pk: int) -> HttpResponse:
    """Close a notification."""
    notifications.mark_seen(get_object_or_404(Run, pk=pk, owner=request.user), request.user)
    return render(request, "training/_notifications.html", {"ended": unseen_runs(request)})


def unseen_runs(request: UserRequest) -> list[tuple[Run, str, str]]:
    """The newest unseen runs, each with its key result and what to do if it failed."""
    runs = notifications.unseen_runs(request.user)[:MAX_NOTIFICATIONS]
    return [(run, key_result(run), failure_hint(run)) for run in runs]
