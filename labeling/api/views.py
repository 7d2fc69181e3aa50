"""The labelling API's projects: which there are, and what people said in one, as JSON Lines."""

from collections.abc import Iterator
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from labeling import preferences
from labeling.access import allowed_project
from labeling.api.assignments import MayLabel
from labeling.api.serializers import (
    ComparisonSerializer,
    DemonstrationSerializer,
    ProjectSerializer,
    RatingSerializer,
)
from labeling.models import Project
from labeling.models.projects import ProjectQuerySet


class ProjectList(ListAPIView[Project]):
    """Projects in which you may label now."""

    permission_classes = [MayLabel]
    serializer_class = ProjectSerializer
    queryset = Project.objects.none()

    def get_queryset(self) -> ProjectQuerySet:
        """This person's."""
        return Project.objects.for_annotator(cast(User, self.request.user))


class JsonLines(JSONRenderer):
    """Lets clients ask for JSON Lines. The view streams them itself: only errors are rendered, one line."""

    media_type = "application/x-ndjson"
    format = "ndjson"


class Comparisons(APIView):
    """All comparisons in a project's answers, as JSON Lines."""

    renderer_classes = [JsonLines, JSONRenderer]

    @extend_schema(
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(
                ComparisonSerializer, description="One comparison on each line."
            )
        }
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Stream."""
        return _streamed(preferences.comparisons(_exported(request, slug)))


class Ratings(APIView):
    """All scores in a project's answers, from 0 to 1, as JSON Lines; none where people rank."""

    renderer_classes = [JsonLines, JSONRenderer]

    @extend_schema(
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(
                RatingSerializer, description="One sample's rating on each line."
            )
        }
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Stream."""
        return _streamed(preferences.ratings(_exported(request, slug)))


class Demonstrations(APIView):
    """All texts that people wrote in a project's answers, as JSON Lines; none where they compare or score."""

    renderer_classes = [JsonLines, JSONRenderer]

    @extend_schema(
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(
                DemonstrationSerializer, description="One text on each line."
            )
        }
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Stream."""
        return _streamed(preferences.demonstrations(_exported(request, slug)))


def _exported(request: Request, slug: str) -> Project:
    """The project, for those who may export it: 403 or 404 for others."""
    return allowed_project(cast(User, request.user), slug, "labeling.export")


def _streamed(rows: Iterator[dict[str, Any]]) -> HttpResponseBase:
    return StreamingHttpResponse(map(preferences.json_line, rows), content_type="application/x-ndjson")
