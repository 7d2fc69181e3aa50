"""The training half of the REST API: model versions and runs."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling.access import may, may_somewhere
from training import runs
from training.api.serializers import (
    ModelVersionSerializer,
    RefusalSerializer,
    RunSerializer,
    StartRunSerializer,
)
from training.models import ModelVersion, Run
from training.models.runs import RunQuerySet
from training.models.versions import ModelVersionQuerySet


class MayLook(BasePermission):
    """Whoever may look at runs, or at versions, in a project at least: of those projects they see them."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """By the right that the view names."""
        return may_somewhere(request.user, view.right_to_view)  # type: ignore[attr-defined]  # both have it


class VersionsAsked(serializers.Serializer[dict[str, str]]):
    """Which versions are asked for; what is left out asks for all."""

    project = serializers.SlugField(required=False, help_text="The slug of a project.")
    kind = serializers.ChoiceField(ModelVersion.Kind.choices, required=False)
    stage = serializers.ChoiceField(
        ModelVersion.Stage.choices, required=False, help_text="`production`: what is used now."
    )


@extend_schema_view(list=extend_schema(parameters=[VersionsAsked]))
class ModelVersionViewSet(viewsets.ReadOnlyModelViewSet[ModelVersion]):
    """Model versions, newest first; `?project=…&stage=production` is what a project uses now."""

    queryset = ModelVersion.objects.select_related("parent", "project")
    serializer_class = ModelVersionSerializer
    permission_classes = [MayLook]
    right_to_view = "training.view_modelversion"
    lookup_field = "name"
    lookup_value_regex = "[A-Za-z0-9._-]+"

    def get_queryset(self) -> ModelVersionQuerySet:
        """Those of projects in which the person may look at versions, and of no project."""
        return super().get_queryset().visible_to(self.request.user)  # type: ignore[attr-defined, no-any-return]

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Those that are asked for; 400 for a kind or a stage that there is not."""
        asked = VersionsAsked(data=self.request.query_params.dict())
        asked.is_valid(raise_exception=True)
        values: dict[str, Any] = dict(asked.validated_data)
        if project := values.pop("project", None):
            values["project__slug"] = project
        return super().filter_queryset(queryset).filter(**values)


class RunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Run]):
    """Runs, newest first."""

    queryset = Run.objects.select_related("project", "policy", "reward", "version")
    serializer_class = RunSerializer
    permission_classes = [MayLook]
    right_to_view = "training.view_run"

    def get_queryset(self) -> RunQuerySet:
        """Those of projects in which the person may look at runs, and of no project."""
        return super().get_queryset().visible_to(self.request.user)  # type: ignore[attr-defined, no-any-return]

    def changed(self) -> Run:
        """The run of the address, for somebody who may change it."""
        run: Run = self.get_object()
        if not may(self.request.user, "training.change_run", run.project):
            self.permission_denied(self.request)
        return run

    @extend_schema(request=StartRunSerializer, responses={201: RunSerializer})
    def create(self, request: Request) -> Response:
        """Start a run: it is queued for a worker."""
        if not may_somewhere(request.user, "training.add_run"):
            self.permission_denied(request)
        asked = StartRunSerializer(data=request.data, context={"user": request.user})
        asked.is_valid(raise_exception=True)
        values: dict[str, Any] = asked.validated_data
        if not may(request.user, "training.add_run", values["form"].related_objects().get("project")):
            self.permission_denied(request)
        run = runs.start(values["form"], owner=request.user)
        return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={200: RunSerializer, 409: RunSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Cancel a run that waits or is being executed; 409 if it has ended."""
        run = self.changed()
        cancelled = runs.cancel(run)
        code = status.HTTP_200_OK if cancelled else status.HTTP_409_CONFLICT
        return Response(RunSerializer(run).data, status=code)

    @extend_schema(request=None, responses={200: RunSerializer, 409: RunSerializer})
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Set a run aside until it is resumed: one that waits at once, one that is executed at its next step;
        409 if it has ended or is about to."""
        run = self.changed()
        paused = runs.pause(run)
        code = status.HTTP_200_OK if paused else status.HTTP_409_CONFLICT
        return Response(RunSerializer(run).data, status=code)

    @extend_schema(request=None, responses={200: RunSerializer, 409: RefusalSerializer})
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Queue a run that was paused, was cancelled or failed, to go on from the state it left; 409 if there
        is nothing to resume."""
        run = self.changed()
        try:
            runs.resume(run)
        except runs.NotResumable as error:
            return Response(RefusalSerializer({"detail": str(error)}).data, status=status.HTTP_409_CONFLICT)
        return Response(RunSerializer(run).data)
