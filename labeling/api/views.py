"""The labelling API: claim, submit and skip tasks; stream a project's comparisons and ratings."""

from collections.abc import Iterator
from typing import Any, cast

from django.contrib.auth.models import User
from django.http import HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.generics import ListAPIView
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import preferences, queue
from labeling.access import active_project, own_assignment
from labeling.api.serializers import (
    AssignmentSerializer,
    ComparisonSerializer,
    DemonstrationSerializer,
    ErrorSerializer,
    ProjectSerializer,
    RatingSerializer,
    SkipSerializer,
    StoredSerializer,
    SubmitSerializer,
)
from labeling.feedback import AnswerError
from labeling.models import Project
from labeling.models.projects import ProjectQuerySet
from labeling.queue import LeaseLost


class MayLabel(BasePermission):
    """Annotators and admins."""

    def has_permission(self, request: Request, _view: APIView) -> bool:
        """By the right that both groups hold."""
        return request.user.has_perm("labeling.label")


class MayExport(BasePermission):
    """Admins."""

    def has_permission(self, request: Request, _view: APIView) -> bool:
        """By the right that only admins hold."""
        return request.user.has_perm("labeling.export")


class Conflict(APIException):
    """The lease is lost."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


LOST = OpenApiResponse(ErrorSerializer, description="The lease is lost; claim again.")


class ProjectList(ListAPIView[Project]):
    """Projects in which you may label now."""

    permission_classes = [MayLabel]
    serializer_class = ProjectSerializer
    queryset = Project.objects.none()

    def get_queryset(self) -> ProjectQuerySet:
        """This person's."""
        return Project.objects.for_annotator(cast(User, self.request.user))


class Claim(APIView):
    """Lease your next task in a project. If you hold one already, you get that one again."""

    permission_classes = [MayLabel]

    @extend_schema(
        request=None,
        responses={200: AssignmentSerializer, 204: OpenApiResponse(description="No task for you now.")},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Claim."""
        user = cast(User, request.user)
        assignment = queue.claim(annotator=user, project=active_project(user, slug))
        if assignment is None:
            return Response(status=status.HTTP_204_NO_CONTENT)
        return Response(AssignmentSerializer(assignment).data)


class Submit(APIView):
    """Answer a task you hold. Sent again with the same key, it gives back what is stored."""

    permission_classes = [MayLabel]

    @extend_schema(request=SubmitSerializer, responses={200: StoredSerializer, 409: LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Submit."""
        assignment = own_assignment(cast(User, request.user), pk)
        form = SubmitSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        try:
            stored = queue.submit(assignment, given["answer"], client_key=given["client_key"])
        except AnswerError as error:
            raise ValidationError({"non_field_errors": [str(error)]}) from None
        except LeaseLost as error:
            raise Conflict(str(error)) from None
        return Response(StoredSerializer(stored).data)


class Skip(APIView):
    """Leave a task you hold to others; it is not offered to you again."""

    permission_classes = [MayLabel]

    @extend_schema(request=SkipSerializer, responses={204: None, 409: LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Skip."""
        assignment = own_assignment(cast(User, request.user), pk)
        form = SkipSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            queue.skip(assignment, reason=form.validated_data["reason"])
        except LeaseLost as error:
            raise Conflict(str(error)) from None
        return Response(status=status.HTTP_204_NO_CONTENT)


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
