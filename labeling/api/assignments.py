"""The annotator's half of the labelling API: claim, answer, revise, skip, hold and give back tasks."""

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
from labeling.access import active_project, may_somewhere, own_assignment
from labeling.api.serializers import (
    AnsweredSerializer,
    AssignmentSerializer,
    DraftSerializer,
    ErrorSerializer,
    LeaseSerializer,
    SkipSerializer,
    StoredSerializer,
    SubmitSerializer,
)
from labeling.feedback import AnswerError
from labeling.models import Assignment


class MayLabel(BasePermission):
    """Whoever may label in a project at least."""

    def has_permission(self, request: Request, _view: APIView) -> bool:
        """By the right that all groups hold."""
        return may_somewhere(request.user, "labeling.label")


class Conflict(APIException):
    """The lease is lost, or it is too late."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


LOST = OpenApiResponse(ErrorSerializer, description="The lease is lost; claim again.")


class AnnotatorView(APIView):
    """What an annotator does: with one's own assignments only."""

    permission_classes = [MayLabel]

    def own(self, request: Request, pk: int) -> Assignment:
        """The person's own assignment, 404 for anybody else's."""
        return own_assignment(cast(User, request.user), pk)

    def handle_exception(self, exc: Exception) -> Response:
        """Say in one line what the queue refused."""
        if isinstance(exc, AnswerError):
            exc = ValidationError({"non_field_errors": [str(exc)]})
        elif isinstance(exc, queue.LeaseLost | queue.TooLate):
            exc = Conflict(str(exc))
        return super().handle_exception(exc)


# /api/projects/<slug>/


class Claim(AnnotatorView):
    """Lease your next task in a project. If you hold one already, you get that one again."""

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


class LastAnswers(AnnotatorView):
    """Your last answered and skipped tasks, newest first: the ten of each project that can be revised."""

    @extend_schema(
        parameters=[OpenApiParameter("project", description="The slug of one project; all by default.")],
        responses=AnsweredSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """List."""
        user = cast(User, request.user)
        slug = request.query_params.get("project")
        last = queue.last_answers(annotator=user, project=active_project(user, slug) if slug else None)
        prefetch_related_objects(last, "annotations__judgements")
        return Response(AnsweredSerializer(last, many=True).data)


# /api/assignments/<id>/


class Submit(AnnotatorView):
    """Answer a task you hold. Sent again with the same key, it gives back what is stored."""

    @extend_schema(request=SubmitSerializer, responses={200: StoredSerializer, 409: LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Submit."""
        assignment = self.own(request, pk)
        form = SubmitSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        stored = queue.submit(assignment, given["answer"], client_key=given["client_key"])
        return Response(StoredSerializer(stored).data)


class Revise(AnnotatorView):
    """Change one of your last answers: the new one is stored as a revision, and counts."""

    @extend_schema(
        request=SubmitSerializer,
        responses={
            200: StoredSerializer,
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
        return Response(StoredSerializer(stored).data)


class SaveDraft(AnnotatorView):
    """Keep an unfinished answer to a task you hold, in whatever form you like, and renew the lease."""

    @extend_schema(request=DraftSerializer, responses={204: None, 409: LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Save."""
        assignment = self.own(request, pk)
        form = DraftSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        if not queue.save_draft(assignment, form.validated_data["draft"]):
            raise queue.LeaseLost
        return Response(status=status.HTTP_204_NO_CONTENT)


class Renew(AnnotatorView):
    """Hold a task for the project's lease time from now."""

    @extend_schema(request=None, responses={200: LeaseSerializer, 409: LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Renew."""
        assignment = self.own(request, pk)
        if not queue.renew(assignment):
            raise queue.LeaseLost
        assignment.refresh_from_db(fields=["lease_until"])
        return Response(LeaseSerializer(assignment).data)


class Skip(AnnotatorView):
    """Leave a task you hold to others; it is not offered to you again."""

    @extend_schema(request=SkipSerializer, responses={204: None, 409: LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Skip."""
        assignment = self.own(request, pk)
        form = SkipSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        queue.skip(assignment, reason=form.validated_data["reason"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class Release(AnnotatorView):
    """Give back a task you hold, its draft kept; it may be offered to you again."""

    @extend_schema(request=None, responses={204: None, 409: LOST})
    def post(self, request: Request, pk: int) -> Response:
        """Release."""
        queue.release(self.own(request, pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class TakeAgain(AnnotatorView):
    """Take up a task that you skipped or lost. What you hold in the project is given back, and comes next."""

    @extend_schema(
        request=None,
        responses={
            200: AssignmentSerializer,
            409: OpenApiResponse(ErrorSerializer, description="Others have taken it in the meantime."),
        },
    )
    def post(self, request: Request, pk: int) -> Response:
        """Take."""
        return Response(AssignmentSerializer(queue.take_again(self.own(request, pk))).data)
