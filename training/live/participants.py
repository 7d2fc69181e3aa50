"""Who can answer: the versions that `manage.py serve` has, and endpoints."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Q

from labeling.models import Generator, Project
from training import serve_client
from training.models import Endpoint, ModelVersion


@dataclass(frozen=True)
class Participant:
    """A model that can be asked."""

    generator: Generator
    label: str
    is_version: bool
    """Answers through `manage.py serve`."""


def participants(user: User, project: Project) -> list[Participant]:
    """The models that a person may ask in a project: versions they may view, production first, the newest
    before older ones; then endpoints."""
    versions = (
        ModelVersion.objects.visible_to(user)
        .policies()
        .exclude(stage=ModelVersion.Stage.ARCHIVED)
        .select_related("generator", "project")
    )
    found = [_of_version(version, project) for version in versions]
    found.sort(key=lambda each: "production" not in each.label)
    endpoints = Endpoint.objects.visible_to(user).select_related("generator")
    return found + [_of_endpoint(endpoint) for endpoint in endpoints]


def live_participants(project: Project) -> list[Participant]:
    """The models that take part in a project's live comparisons: its production version and those chosen."""
    chosen = Q(generator__in=project.live_generators.all())
    in_production = Q(project=project, stage=ModelVersion.Stage.PRODUCTION)
    versions = (
        ModelVersion.objects.policies()
        .exclude(stage=ModelVersion.Stage.ARCHIVED)
        .filter(chosen | in_production)
        .select_related("generator", "project")
    )
    endpoints = Endpoint.objects.filter(chosen).select_related("generator")
    return [_of_version(each, project) for each in versions] + [_of_endpoint(each) for each in endpoints]


def is_server_missing(asked: Iterable[Participant]) -> bool:
    """Whether some of them need `manage.py serve`, and it does not answer."""
    return any(each.is_version for each in asked) and not serve_client.is_running(timeout=1.0)


def answering_participants(project: Project) -> Sequence[Participant]:
    """Those of the live participants that can be asked now."""
    found = live_participants(project)
    return [each for each in found if not each.is_version] if is_server_missing(found) else found


def _of_version(version: ModelVersion, project: Project) -> Participant:
    assert version.generator is not None  # policies have one
    here = version.project_id == project.pk
    stage = " (production)" if here and version.stage == ModelVersion.Stage.PRODUCTION else ""
    other = f", {version.project}" if version.project and not here else ""
    return Participant(version.generator, f"{version.name}{stage}{other}", is_version=True)


def _of_endpoint(endpoint: Endpoint) -> Participant:
    return Participant(endpoint.generator, f"{endpoint.name} (endpoint)", is_version=False)
