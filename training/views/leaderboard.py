"""The leaderboard of a project: its versions ranked by people's preferences."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, allowed_project, may, signed_in
from labeling.models import Generator, Project
from labeling.quality.leaderboard import Standings, standings
from training.models import ModelVersion
from training.reports.evaluation_report import Interval

# /projects/<slug>/leaderboard/


@require_GET
@signed_in
@never_cache
def leaderboard(request: UserRequest, slug: str) -> HttpResponse:
    """All generators whose samples were compared, strongest first, and the win rates of each pair."""
    project = allowed_project(request.user, slug, "training.view_modelversion")
    found = standings(project)
    generators = [row.generator for row in found.rows]
    versions = {
        version.generator_id: version
        for version in ModelVersion.objects.visible_to(request.user)
        .with_history()
        .filter(generator__in=generators)
    }
    context = {
        "project": project,
        "standings": found,
        "rows": [
            {
                "standing": row,
                "version": versions.get(row.generator.pk),
                "interval": Interval(
                    rate=row.chance, low=row.interval[0], high=row.interval[1], count=row.comparisons
                ),
            }
            for row in found.rows
        ],
        "generators": generators,
        "matrix": matrix(project, found, generators, linked=may(request.user, "labeling.review", project)),
    }
    return render(request, "training/leaderboard/leaderboard.html", context)


def matrix(
    project: Project, found: Standings, generators: list[Generator], *, linked: bool
) -> list[tuple[Generator, list[dict[str, Any] | None]]]:
    """A row for each generator with its win rate over each other; None where the two were never compared."""
    return [
        (first, [cell(project, found, first, second, linked=linked) for second in generators])
        for first in generators
    ]


def cell(
    project: Project, found: Standings, first: Generator, second: Generator, *, linked: bool
) -> dict[str, Any] | None:
    """One pair, with a link to its answers for people who may read them."""
    meeting = found.meetings.get((first.pk, second.pk))
    if meeting is None:
        return None
    query = urlencode({"first": first.name, "second": second.name})
    return {
        "first": first,
        "second": second,
        "share": meeting.share,
        "comparisons": meeting.comparisons,
        "prompts": meeting.prompts,
        "lead": "ahead" if meeting.share.low > 0.5 else "behind" if meeting.share.high < 0.5 else "",
        "url": f"{reverse('training:answers', args=[project.slug])}?{query}" if linked else "",
    }
