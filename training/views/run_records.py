"""Records of a run: its log, its samples during training, and its metrics as CSV."""

import csv
from collections.abc import Iterator

from django.db import connection
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, login_required
from training.models import Run
from training.reports.logs import log_tail
from training.reports.samples import sample_history
from training.views.runs import STOP_POLLING

NO_CONTENT = 204


# /runs/<id>/log/


@require_GET
@login_required
@never_cache
def log(request: UserRequest, pk: int) -> HttpResponse | StreamingHttpResponse:
    """The lines after `?after=`, for which the page polls; without it the full log as plain text."""
    run = get_object_or_404(Run.objects.visible_to(request.user), pk=pk)
    if "after" not in request.GET:
        response = StreamingHttpResponse(log_lines(run), content_type="text/plain; charset=utf-8")
        response["Content-Disposition"] = f'inline; filename="run-{run.pk}.log"'
        return response
    found = log_tail(run, after=whole_number_parameter(request, "after"))
    if not found.lines and run.is_active:
        return HttpResponse(status=NO_CONTENT)
    # The element that polls is replaced by the new lines, followed by another one while the run is active.
    context = {"run": run, "log": found}
    return render(request, "training/_log_lines.html", context, status=200 if run.is_active else STOP_POLLING)


def log_lines(run: Run) -> Iterator[str]:
    """Each line with its time, attempt and level."""
    for line in run.log.order_by("pk").iterator():
        yield f"{line.at:%Y-%m-%d %H:%M:%S} attempt {line.attempt} {line.level}: {line.text}\n"


# /runs/<id>/samples/


@require_GET
@login_required
@never_cache
def run_samples(request: UserRequest, pk: int) -> HttpResponse:
    """The samples of the evaluation `?place=` (default: the last).

    `?of=` is the number of evaluations that the page has: nothing is sent while there are no more, and a page
    that shows the last one moves on to the new last one.
    """
    run = get_object_or_404(Run.objects.visible_to(request.user), pk=pk)
    index = whole_number_parameter(request, "place") if "place" in request.GET else None
    known = whole_number_parameter(request, "of") if "of" in request.GET else None
    if known is not None and index is not None and index >= known - 1:
        index = None
    found = sample_history(run, index=index)
    if found is None or known == len(found.steps):
        status = NO_CONTENT if run.is_active else STOP_POLLING
        return HttpResponse(status=status, headers={"HX-Reswap": "none"})
    template = "training/_samples.html" if known is not None else "training/_sample_pairs.html"
    return render(request, template, {"run": run, "samples": found})


# /runs/<id>/points/


@require_GET
@login_required
def points(request: UserRequest, pk: int) -> StreamingHttpResponse:
    """All metrics as CSV: a row for each step, a column for each metric, empty if it was not measured."""
    run = get_object_or_404(Run.objects.visible_to(request.user), pk=pk)
    response = StreamingHttpResponse(csv_rows(run), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="run-{run.pk}.csv"'
    return response


class Echo:
    """A file-like object that returns what is written, for the CSV writer."""

    def write(self, line: str) -> str:
        return line


def csv_rows(run: Run) -> Iterator[str]:
    """The lines of the table, column names first."""
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT DISTINCT jsonb_object_keys("values") AS name FROM training_point WHERE run_id = %s'
            " ORDER BY name",
            [run.pk],
        )
        names = [name for (name,) in cursor.fetchall()]
    writer = csv.writer(Echo())
    yield writer.writerow(["step", *names])
    found = run.points.order_by("step").values_list("step", "values")
    for step, values in found.iterator(chunk_size=2000):
        yield writer.writerow([step, *("" if values.get(name) is None else values[name] for name in names)])


def whole_number_parameter(request: UserRequest, name: str) -> int:
    """A whole number in the query string; 404 for anything else."""
    value = request.GET[name]
    if not value.isascii() or not value.isdecimal() or len(value) > 18:
        raise Http404
    return int(value)
