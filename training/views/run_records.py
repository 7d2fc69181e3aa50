"""What a run tells of itself beside its progress: its log, its metrics as a table, what its model writes."""

import csv
from collections.abc import Iterator

from django.db import connection
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, signed_in
from training.models import Run
from training.reports.logs import tail
from training.reports.samples import excerpts
from training.views.runs import STOP_POLLING

NOTHING_NEW = 204


# /runs/<id>/log/


@require_GET
@signed_in
@never_cache
def log(request: UserRequest, pk: int) -> HttpResponse | StreamingHttpResponse:
    """The lines after `?after=` for the page, which polls for them; without it all of them, as plain text."""
    run = get_object_or_404(Run.objects.visible_to(request.user), pk=pk)
    if "after" not in request.GET:
        response = StreamingHttpResponse(log_lines(run), content_type="text/plain; charset=utf-8")
        response["Content-Disposition"] = f'inline; filename="run-{run.pk}.log"'
        return response
    found = tail(run, after=number(request, "after"))
    if not found.lines and run.is_active:
        return HttpResponse(status=NOTHING_NEW)
    # The line that polls is replaced by the new ones, with another at their end as long as there may be more.
    context = {"run": run, "log": found}
    return render(request, "training/_log_lines.html", context, status=200 if run.is_active else STOP_POLLING)


def log_lines(run: Run) -> Iterator[str]:
    """Each line with its time, attempt and level."""
    for line in run.log.order_by("pk").iterator():
        yield f"{line.at:%Y-%m-%d %H:%M:%S} attempt {line.attempt} {line.level}: {line.text}\n"


# /runs/<id>/samples/


@require_GET
@signed_in
@never_cache
def run_excerpts(request: UserRequest, pk: int) -> HttpResponse:
    """What the model wrote at the evaluation `?place=`, the last by default.

    The page asks with `?of=` how many evaluations it knows: nothing is sent while there are no more, and who
    looks at the last goes on to the new last.
    """
    run = get_object_or_404(Run.objects.visible_to(request.user), pk=pk)
    place = number(request, "place") if "place" in request.GET else None
    known = number(request, "of") if "of" in request.GET else None
    if known is not None and place is not None and place >= known - 1:
        place = None
    found = excerpts(run, place=place)
    if found is None or known == len(found.steps):
        status = NOTHING_NEW if run.is_active else STOP_POLLING
        return HttpResponse(status=status, headers={"HX-Reswap": "none"})
    template = "training/_samples.html" if known is not None else "training/_sample_pairs.html"
    return render(request, template, {"run": run, "excerpts": found})


# /runs/<id>/points/


@require_GET
@signed_in
def points(request: UserRequest, pk: int) -> StreamingHttpResponse:
    """Every metric of every step as CSV, a column each; empty where a step did not measure it."""
    run = get_object_or_404(Run.objects.visible_to(request.user), pk=pk)
    response = StreamingHttpResponse(rows_of(run), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="run-{run.pk}.csv"'
    return response


class Echo:
    """A file that hands back what is written, for the writer of CSV."""

    def write(self, line: str) -> str:
        return line


def rows_of(run: Run) -> Iterator[str]:
    """The lines of the table, the names first."""
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


def number(request: UserRequest, name: str) -> int:
    """A whole number of the address; 404 for anything else."""
    given = request.GET[name]
    if not given.isascii() or not given.isdecimal() or len(given) > 18:
        raise Http404
    return int(given)
