"""The project list of the labelling API, and exports of a project's annotations as JSON Lines."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpResponseBase, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.fields import BooleanField
from rest_framework.generics import ListAPIView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from labeling import preferences
from labeling.access import allowed_project
from labeling.api.assignments import CanLabel
from labeling.api.serializers import (
    ComparisonSerializer,
    DemonstrationSerializer,
    ExportSerializer,
    ProjectSerializer,
    RatingSerializer,
)
from labeling.exports.download import export_response
from labeling.exports.options import ExportError
from labeling.models import Project
from labeling.models.projects import ProjectQuerySet
from training.formats.writers.trl import conversational_row


class ProjectList(ListAPIView[Project]):
    """Projects in which you may label now."""

    permission_classes = [CanLabel]
    serializer_class = ProjectSerializer
    queryset = Project.objects.none()

    def get_queryset(self) -> ProjectQuerySet:
        """Those of the requesting user."""
        return Project.objects.for_annotator(cast(User, self.request.user))


class JsonLinesRenderer(JSONRenderer):
    """Lets clients request JSON Lines. Views stream them themselves; this only renders errors."""

    media_type = "application/x-ndjson"
    format = "ndjson"


CONVERSATIONAL = OpenApiParameter(
    "conversational",
    bool,
    description=(
        "TRL's conversational format: prompts as lists of messages, completions as messages of the assistant."
    ),
)


class OneRenderer(DefaultContentNegotiation):
    """Takes the first renderer: `format` is an option of exports, not of the answer's form."""

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        """The first one."""
        first = next(iter(renderers))
        return first, first.media_type


class ExportFile(APIView):
    """A project's answers as a file for training or for another tool, streamed."""

    renderer_classes = [JSONRenderer]
    content_negotiation_class = OneRenderer

    @extend_schema(
        parameters=[ExportSerializer],
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(
                OpenApiTypes.BINARY, description="The file; its type follows the container."
            ),
            400: OpenApiResponse(description="The fields that are not right, and why."),
        },
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Stream."""
        project = _exportable_project(request, slug)
        form = ExportSerializer(data=request.query_params)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        try:
            return export_response(project, given)
        except ExportError as error:
            field, _, reason = str(error).partition(": ")
            raise ValidationError({field: [reason]} if field in form.fields else str(error)) from None


class Comparisons(APIView):
    """All comparisons in a project's annotations, as JSON Lines."""

    renderer_classes = [JsonLinesRenderer, JSONRenderer]

    @extend_schema(
        parameters=[CONVERSATIONAL],
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(
                ComparisonSerializer, description="One comparison on each line."
            )
        },
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Stream."""
        return _stream_json_lines(request, preferences.comparisons(_exportable_project(request, slug)))


class Ratings(APIView):
    """All ratings in a score project's annotations, scaled to 0 … 1, as JSON Lines."""

    renderer_classes = [JsonLinesRenderer, JSONRenderer]

    @extend_schema(
        parameters=[CONVERSATIONAL],
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(
                RatingSerializer, description="One sample's rating on each line."
            )
        },
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Stream."""
        return _stream_json_lines(request, preferences.ratings(_exportable_project(request, slug)))


class Demonstrations(APIView):
    """All texts that people wrote in a rewrite project, as JSON Lines."""

    renderer_classes = [JsonLinesRenderer, JSONRenderer]

    @extend_schema(
        parameters=[CONVERSATIONAL],
        responses={
            (200, "application/x-ndjson"): OpenApiResponse(
                DemonstrationSerializer, description="One text on each line."
            )
        },
    )
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Stream."""
        return _stream_json_lines(request, preferences.demonstrations(_exportable_project(request, slug)))


def _exportable_project(request: Request, slug: str) -> Project:
    """The project, if the user may export it; otherwise 403 or 404."""
    return allowed_project(cast(User, request.user), slug, "labeling.export")


def _stream_json_lines(request: Request, rows: Iterator[dict[str, Any]]) -> HttpResponseBase:
    """The rows, in TRL's conversational format if the request asks for it."""
    given = BooleanField().run_validation(request.query_params.get(CONVERSATIONAL.name, False))
    if given:
        rows = map(conversational_row, rows)
    return StreamingHttpResponse(map(preferences.json_line, rows), content_type="application/x-ndjson")
