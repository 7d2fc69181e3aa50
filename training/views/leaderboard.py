"""The leaderboard of a project: versions and endpoints ranked by people's preferences."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, allowed_project, login_required
from labeling.models import Generator, Project
from labeling.quality.leaderboard import Leaderboard, compute_leaderboard
from training.models import Endpoint, ModelVersion
from training.reports.evaluation_report import Interval

# /projects/<slug>/leaderboard/


@require_GET
@login_required
@never_cache
def leaderboard(request: UserRequest, slug: str) -> HttpResponse:
    """All generators whose samples were compared, strongest first, and the win rates of each pair."""
    project = allowed_project(request.user, slug, "training.view_modelversion")
    found = compute_leaderboard(project)
    generators = [row.generator for row in found.rows]
    versions = {
        version.generator_id: version
        for version in ModelVersion.objects.visible_to(request.user)
        .with_history()
        .filter(generator__in=generators)
    }
    endpoints = {
        endpoint.generator_id: endpoint for endpoint in Endpoint.objects.filter(generator__in=generators)
    }
    context = {
        "project": project,
        "leaderboard": found,
        "rows": [
            {
                "entry": row,
                "version": versions.get(row.generator.pk),
                "endpoint": endpoints.get(row.generator.pk),
                "interval": Interval(
                    rate=row.win_probability, low=row.interval[0], high=row.interval[1], count=row.comparisons
                ),
            }
            for row in found.rows
        ],
        "generators": generators,
        "matrix": matrix(
            project, found, generators, linked=request.user.has_perm("labeling.review", project)
        ),
    }
    return render(request, "training/leaderboard/leaderboard.html", context)


def matrix(
    project: Project, found: Leaderboard, generators: list[Generator], *, linked: bool
) -> list[tuple[Generator, list[dict[str, Any] | None]]]:
    """A row for each generator with its win rate over each other; None where the two were never compared."""
    return [
        (first, [cell(project, found, first, second, linked=linked) for second in generators])
        for first in generators
    ]


def cell(
    project: Project, found: Leaderboard, first: Generator, second: Generator, *, linked: bool
) -> dict[str, Any] | None:
    """One pair, with a link to its answers for people who may read them."""
    result = found.pairs.get((first.pk, second.pk))
    if result is None:
        return None
    query = urlencode({"first": first.name, "second": second.name})
    return {
        "first": first,
        "second": second,
        "win_rate": result.win_rate,
        "comparisons": result.comparisons,
        "prompts": result.prompts,
        "lead": "ahead" if result.win_rate.low > 0.5 else "behind" if result.win_rate.high < 0.5 else "",
        "url": f"{reverse('training:answers', args=[project.slug])}?{query}" if linked else "",
    }
