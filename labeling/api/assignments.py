"""The annotator's API: claim, submit, revise, skip, renew and release tasks."""

from typing import cast

from django.contrib.auth.models import User
from django.db.models import prefetch_related_objects
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import queue
from labeling.access import active_project, has_perm_in_any_project, own_assignment
from labeling.api.serializers import (
    AssignmentSerializer,
    DraftSerializer,
    ErrorSerializer,
    FinishedAssignmentSerializer,
    LeaseSerializer,
    SkipSerializer,
    StoredAnnotationSerializer,
    SubmitSerializer,
)
from labeling.feedback import AnswerError
from labeling.models import Assignment


class CanLabel(BasePermission):
    """Allows people who may label in at least one project."""

    def has_permission(self, request: Request, _view: APIView) -> bool:
        """Check the permission that all groups have."""
        return has_perm_in_any_project(request.user, "labeling.label")


class Conflict(APIException):
    """The lease is lost, or the answer can no longer be changed."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


LEASE_LOST = OpenApiResponse(ErrorSerializer, description="The lease is lost; claim again.")


class AnnotatorView(APIView):
    """Base class of the annotator's views, for the user's own assignments only."""

    permission_classes = [CanLabel]

    def own(self, request: Request, pk: int) -> Assignment:
        """The user's own assignment; 404 for anybody else's."""
        return own_assignment(cast(User, request.user), pk)

    def handle_exception(self, exc: Exception) -> Response:
        """Map errors of the queue to 400 and 409 responses."""
        if isinstance(exc, AnswerError):
            exc = ValidationError({"non_field_errors": [str(exc)]})
        elif isinstance(exc, queue.LeaseLost | queue.NotEditable):
            exc = Conflict(str(exc))
        return super().handle_exception(exc)


# /api/projects/<slug>/


class Claim(AnnotatorView):
    """Lease your next task in a project. If you already hold one, you get that one again."""

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


# /api/assignments/


class EditableAssignments(AnnotatorView):
    """Your last answered and skipped tasks, newest first: the ten of each project that can be revised."""

    @extend_schema(
        parameters=[OpenApiParameter("project", description="The slug of one project; all by default.")],
        responses=FinishedAssignmentSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """List."""
        user = cast(User, request.user)
        slug = request.query_params.get("project")
        last = queue.editable_assignments(
            annotator=user, project=active_project(user, slug) if slug else None
        )
        prefetch_related_objects(last, "annotations__judgements")
        return Response(FinishedAssignmentSerializer(last, many=True).data)


# /api/assignments/<id>/


class Submit(AnnotatorView):
    """Submit an answer to a task you hold. A retry with the same key returns the stored answer."""

    @extend_schema(request=SubmitSerializer, responses={200: StoredAnnotationSerializer, 409: LEASE_LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Submit."""
        assignment = self.own(request, pk)
        form = SubmitSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        stored = queue.submit(assignment, given["answer"], client_key=given["client_key"])
        return Response(StoredAnnotationSerializer(stored).data)


class Revise(AnnotatorView):
    """Change one of your last answers: the new one is stored as a revision and counts instead."""

    @extend_schema(
        request=SubmitSerializer,
        responses={
            200: StoredAnnotationSerializer,
            409: OpenApiResponse(ErrorSerializer, description="It is not among your last answers."),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Revise."""
        assignment = self.own(request, pk)
        form = SubmitSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        stored = queue.revise(assignment, given["answer"], client_key=given["client_key"])
        return Response(StoredAnnotationSerializer(stored).data)


class SaveDraft(AnnotatorView):
    """Save an unfinished answer to a task you hold, in any format, and renew the lease."""

    @extend_schema(request=DraftSerializer, responses={204: None, 409: LEASE_LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Save."""
        assignment = self.own(request, pk)
        form = DraftSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        if not queue.save_draft(assignment, form.validated_data["draft"]):
            raise queue.LeaseLost
        return Response(status=status.HTTP_204_NO_CONTENT)


class Renew(AnnotatorView):
    """Renew the lease of a task you hold."""

    @extend_schema(request=None, responses={200: LeaseSerializer, 409: LEASE_LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Renew."""
        assignment = self.own(request, pk)
        if not queue.renew(assignment):
            raise queue.LeaseLost
        assignment.refresh_from_db(fields=["lease_until"])
        return Response(LeaseSerializer(assignment).data)


class Skip(AnnotatorView):
    """Skip a task you hold; it is not offered to you again."""

    @extend_schema(request=SkipSerializer, responses={204: None, 409: LEASE_LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Skip."""
        assignment = self.own(request, pk)
        form = SkipSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        queue.skip(assignment, reason=form.validated_data["reason"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class Release(AnnotatorView):
    """Release a task you hold, keeping its draft; you may get it again."""

    @extend_schema(request=None, responses={204: None, 409: LEASE_LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Release."""
        queue.release(self.own(request, pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class Reclaim(AnnotatorView):
    """Lease a task again that you skipped or lost. A task you hold there is released and comes next."""

    @extend_schema(
        request=None,
        responses={
            200: AssignmentSerializer,
            409: OpenApiResponse(ErrorSerializer, description="Others have taken it in the meantime."),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Reclaim."""
        return Response(AssignmentSerializer(queue.reclaim(self.own(request, pk))).data)
