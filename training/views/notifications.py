"""What every page tells a person of their runs: that one has ended."""

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labeling.access import UserRequest, signed_in
from training import notifications
from training.models import Run
from training.reports.failure_hints import advice
from training.reports.results import result
from training.views.runs import STOP_POLLING

MOST = 3
"""Notices on a page at once."""

# /notices/


@require_GET
@signed_in
@never_cache
def news(request: UserRequest) -> HttpResponse:
    """The runs of one's own that ended unseen. Polled by every page as long as one of them may end."""
    ended = [(run, result(run), advice(run)) for run in notifications.unseen_runs(request.user)[:MOST]]
    waits = bool(ended) or Run.objects.active().filter(owner=request.user).exists()
    status = 200 if waits else STOP_POLLING
    return render(request, "training/_notifications.html", {"ended": ended}, status=status)


@require_POST
@signed_in
def seen(request: UserRequest, pk: int) -> HttpResponse:
    """Put a notice away."""
    notifications.mark_seen(get_object_or_404(Run, pk=pk, owner=request.user), request.user)
    return news_after(request)


def news_after(request: UserRequest) -> HttpResponse:
    """What remains to be told."""
    ended = [(run, result(run), advice(run)) for run in notifications.unseen_runs(request.user)[:MOST]]
    return render(request, "training/_notifications.html", {"ended": ended})
