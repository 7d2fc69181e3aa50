"""The training half of the REST API: model versions and runs."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.response import Response

from training import runs
from training.api.serializers import (
    ModelVersionSerializer,
    RefusalSerializer,
    RunSerializer,
    StartRunSerializer,
)
from training.models import ModelVersion, Run


class ViewPermissions(DjangoModelPermissions):
    """Reading needs the right to view; to cancel or resume changes a run, though it is a POST."""

    perms_map = {**DjangoModelPermissions.perms_map, "GET": ["%(app_label)s.view_%(model_name)s"]}


class ModelVersionViewSet(viewsets.ReadOnlyModelViewSet[ModelVersion]):
    """Model versions, newest first."""

    queryset = ModelVersion.objects.select_related("parent")
    serializer_class = ModelVersionSerializer
    permission_classes = [ViewPermissions]
    lookup_field = "name"
    lookup_value_regex = "[A-Za-z0-9._-]+"


class RunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Run]):
    """Runs, newest first."""

    queryset = Run.objects.select_related("project", "policy", "reward", "version")
    serializer_class = RunSerializer
    permission_classes = [ViewPermissions]

    @extend_schema(request=StartRunSerializer, responses={201: RunSerializer})
    def create(self, request: Request) -> Response:
        """Start a run: it is queued for a worker."""
        asked = StartRunSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values: dict[str, Any] = asked.validated_data
        run = runs.start(values["form"], owner=request.user)
        return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={200: RunSerializer, 409: RunSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Cancel a run that waits or is being executed; 409 if it has ended."""
        run: Run = self.get_object()
        if not request.user.has_perm("training.change_run"):
            self.permission_denied(request)
        cancelled = runs.cancel(run)
        code = status.HTTP_200_OK if cancelled else status.HTTP_409_CONFLICT
        return Response(RunSerializer(run).data, status=code)

    @extend_schema(request=None, responses={200: RunSerializer, 409: RunSerializer})
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Set a run aside until it is resumed: one that waits at once, one that is executed at its next step;
        409 if it has ended or is about to."""
        run: Run = self.get_object()
        if not request.user.has_perm("training.change_run"):
            self.permission_denied(request)
        paused = runs.pause(run)
        code = status.HTTP_200_OK if paused else status.HTTP_409_CONFLICT
        return Response(RunSerializer(run).data, status=code)

    @extend_schema(request=None, responses={200: RunSerializer, 409: RefusalSerializer})
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Queue a run that was paused, was cancelled or failed, to go on from the state it left; 409 if there
        is nothing to resume."""
        run: Run = self.get_object()
        if not request.user.has_perm("training.change_run"):
            self.permission_denied(request)
        try:
            runs.resume(run)
        except runs.NotResumable as error:
            return Response(RefusalSerializer({"detail": str(error)}).data, status=status.HTTP_409_CONFLICT)
        return Response(RunSerializer(run).data)
