"""The labelling API's projects: which there are, and what people said in one, as JSON Lines."""

from collections.abc import Iterator
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from labeling import preferences
from labeling.api.assignments import MayLabel
from labeling.api.serializers import (
    ComparisonSerializer,
    DemonstrationSerializer,
    ProjectSerializer,
    RatingSerializer,
)
from labeling.models import Project
from labeling.models.projects import ProjectQuerySet


class MayExport(BasePermission):
    """Admins."""

    def has_permission(self, request: Request, _view: APIView) -> bool:
        """By the right that only admins hold."""
        return request.user.has_perm("labeling.export")


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

    permission_classes = [MayExport]
    renderer_classes = [JsonLines, JSONRenderer]

    @extend_schema(
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(
                ComparisonSerializer, description="One comparison on each line."
            )
        }
    )
    def get(self, _request: Request, slug: str) -> HttpResponseBase:
        """Stream."""
        return _streamed(preferences.comparisons(get_object_or_404(Project, slug=slug)))


class Ratings(APIView):
    """All scores in a project's answers, from 0 to 1, as JSON Lines; none where people rank."""

    permission_classes = [MayExport]
    renderer_classes = [JsonLines, JSONRenderer]

    @extend_schema(
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(
                RatingSerializer, description="One sample's rating on each line."
            )
        }
    )
    def get(self, _request: Request, slug: str) -> HttpResponseBase:
        """Stream."""
        return _streamed(preferences.ratings(get_object_or_404(Project, slug=slug)))


class Demonstrations(APIView):
    """All texts that people wrote in a project's answers, as JSON Lines; none where they compare or score."""

    permission_classes = [MayExport]
    renderer_classes = [JsonLines, JSONRenderer]

    @extend_schema(
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(
                DemonstrationSerializer, description="One text on each line."
            )
        }
    )
    def get(self, _request: Request, slug: str) -> HttpResponseBase:
        """Stream."""
        return _streamed(preferences.demonstrations(get_object_or_404(Project, slug=slug)))


def _streamed(rows: Iterator[dict[str, Any]]) -> HttpResponseBase:
    return StreamingHttpResponse(map(preferences.json_line, rows), content_type="application/x-ndjson")
