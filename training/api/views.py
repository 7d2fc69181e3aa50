"""The REST API of training: model versions and runs."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling.access import has_perm_in_any_project
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


class CanView(BasePermission):
    """Users who may view runs, or versions, in at least one project; querysets are limited to those."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Check the view's `view_permission`."""
        return has_perm_in_any_project(request.user, view.view_permission)  # type: ignore[attr-defined]  # both have it


class VersionFilterSerializer(serializers.Serializer[dict[str, str]]):
    """Filters of model versions, all optional."""

    project = serializers.SlugField(required=False, help_text="The slug of a project.")
    kind = serializers.ChoiceField(ModelVersion.Kind.choices, required=False)
    stage = serializers.ChoiceField(
        ModelVersion.Stage.choices, required=False, help_text="`production`: the versions in use."
    )


@extend_schema_view(list=extend_schema(parameters=[VersionFilterSerializer]))
class ModelVersionViewSet(viewsets.ReadOnlyModelViewSet[ModelVersion]):
    """Model versions, newest first. `?project=…&stage=production` lists those that a project uses."""

    queryset = ModelVersion.objects.select_related("parent", "project")
    serializer_class = ModelVersionSerializer
    permission_classes = [CanView]
    view_permission = "training.view_modelversion"
    lookup_field = "name"
    lookup_value_regex = "[A-Za-z0-9._-]+"

    def get_queryset(self) -> ModelVersionQuerySet:
        """Versions that the user may view."""
        return super().get_queryset().visible_to(self.request.user)  # type: ignore[attr-defined, no-any-return]

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Apply the filters; 400 for an unknown kind or stage."""
        filters = VersionFilterSerializer(data=self.request.query_params.dict())
        filters.is_valid(raise_exception=True)
        values: dict[str, Any] = dict(filters.validated_data)
        if project := values.pop("project", None):
            values["project__slug"] = project
        return super().filter_queryset(queryset).filter(**values)


class RunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Run]):
    """Runs, newest first."""

    queryset = Run.objects.select_related("project", "policy", "endpoint", "reward", "version")
    serializer_class = RunSerializer
    permission_classes = [CanView]
    view_permission = "training.view_run"

    def get_queryset(self) -> RunQuerySet:
        """Runs that the user may view."""
        return super().get_queryset().visible_to(self.request.user)  # type: ignore[attr-defined, no-any-return]

    def changeable_run(self) -> Run:
        """The run of the URL; 403 unless the user may change it."""
        run: Run = self.get_object()
        if not self.request.user.has_perm("training.change_run", run.project):
            self.permission_denied(self.request)
        return run

    @extend_schema(request=StartRunSerializer, responses={201: RunSerializer})
    def create(self, request: Request) -> Response:
        """Start a run: queue it for a worker."""
        if not has_perm_in_any_project(request.user, "training.add_run"):
            self.permission_denied(request)
        serializer = StartRunSerializer(data=request.data, context={"user": request.user})
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data
        if not request.user.has_perm("training.add_run", values["form"].related_objects().get("project")):
            self.permission_denied(request)
        run = runs.start(values["form"], owner=request.user)
        return Response(RunSerializer(run).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses={200: RunSerializer, 409: RunSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Cancel a queued, running or paused run; 409 if it has ended."""
        run = self.changeable_run()
        cancelled = runs.cancel(run)
        code = status.HTTP_200_OK if cancelled else status.HTTP_409_CONFLICT
        return Response(RunSerializer(run).data, status=code)

    @extend_schema(request=None, responses={200: RunSerializer, 409: RunSerializer})
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Pause a run until it is resumed: at once if it is queued, at its next step if it is running; 409 if
        it has ended or is being cancelled."""
        run = self.changeable_run()
        paused = runs.pause(run)
        code = status.HTTP_200_OK if paused else status.HTTP_409_CONFLICT
        return Response(RunSerializer(run).data, status=code)

    @extend_schema(request=None, responses={200: RunSerializer, 409: RefusalSerializer})
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Resume a paused, cancelled or failed run from its saved state; 409 if it cannot be resumed."""
        run = self.changeable_run()
        try:
            runs.resume(run)
        except runs.NotResumable as error:
            return Response(RefusalSerializer({"detail": str(error)}).data, status=status.HTTP_409_CONFLICT)
        return Response(RunSerializer(run).data)
