"""The API of imports: a file or rows, a dry run, and the progress of a large import."""

import json
from typing import Any, cast

from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import IntegrityError, transaction
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling.access import allowed_project
from labeling.api.assignments import Conflict
from labeling.imports import DEFAULT_GENERATOR, DEFAULT_HELDOUT, IMPORT_AS, ImportBusy, background
from labeling.imports.uploads import preview, store_upload
from labeling.models import DataImport, Project
from labeling.text_limits import MAX_NAME_LENGTH
from training.formats.reader import AUTO, FORMATS, parse_columns
from training.formats.rows import FileProblem

CHANGE_PROJECT = "labeling.change_project"
MAX_KEY_LENGTH = 64


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class ColumnsField(serializers.Field[dict[str, str], Any, Any, Any]):
    """What columns are: an object, or text as in the command."""

    def to_internal_value(self, value: Any) -> dict[str, str]:
        """The names of columns by what they are taken for."""
        try:
            if isinstance(value, str):
                value = json.loads(value) if value.lstrip().startswith("{") else parse_columns(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
            raise ValidationError('must be an object such as {"prompt": "question_text"}.')
        return value


class ImportRequestSerializer(serializers.Serializer[Any]):
    """A file or rows, and what to make of them."""

    file = serializers.FileField(required=False, help_text="A file, sent as multipart/form-data.")
    rows = serializers.ListField(
        child=serializers.DictField(), required=False, allow_empty=False, help_text="Or rows, sent as JSON."
    )
    format = serializers.ChoiceField(choices=[AUTO, *FORMATS], default=AUTO)
    import_as = serializers.ChoiceField(choices=list(IMPORT_AS), default="auto")
    columns = ColumnsField(
        default=dict, help_text='What columns are: {"prompt": "question_text"}, or prompt=question_text,….'
    )
    encoding = serializers.CharField(default="", allow_blank=True)
    heldout = serializers.FloatField(default=DEFAULT_HELDOUT, min_value=0, max_value=0.99)
    split = serializers.ChoiceField(choices=["train", "heldout"], default="", allow_blank=True)
    generator = serializers.CharField(default=DEFAULT_GENERATOR, max_length=MAX_NAME_LENGTH)
    leave_out = serializers.BooleanField(default=False, help_text="Leave out rows with problems.")
    dry_run = serializers.BooleanField(default=False, help_text="Say what would be new, and store nothing.")
    idempotency_key = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=MAX_KEY_LENGTH,
        help_text="Any text, the same on retries; also as the header Idempotency-Key.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Require one source."""
        if ("file" in attrs) == ("rows" in attrs):
            raise ValidationError("Send either a file or rows.")
        return attrs


class DataImportSerializer(serializers.ModelSerializer[DataImport]):
    """An import, and how far it is."""

    url = serializers.SerializerMethodField()

    class Meta:
        model = DataImport
        fields = ["id", "url", "state", "file_name", "rows", "progress", "result", "error", "created",
                  "finished"]  # fmt: skip
        read_only_fields = fields

    def get_url(self, data_import: DataImport) -> str:
        """Where its state is."""
        return reverse("api-import", args=[data_import.project.slug, data_import.pk])


class Imports(APIView):
    """Import a file or rows into a project: all of it, or nothing."""

    permission_classes = [IsAuthenticated]

    @extend_schema(
        request=ImportRequestSerializer,
        responses={
            200: DataImportSerializer,
            201: DataImportSerializer,
            202: DataImportSerializer,
            400: DataImportSerializer,
        },
    )
    def post(self, request: Request, slug: str) -> Response:
        """Import: 201 once it is done, 202 if a worker does it, 200 for a dry run or a retry, 400 with the
        problems by row."""
        user = cast(User, request.user)
        project = allowed_project(user, slug, CHANGE_PROJECT)
        form = ImportRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = dict(form.validated_data)
        key = request.headers.get("Idempotency-Key", "") or given.pop("idempotency_key")
        given.pop("idempotency_key", None)
        if len(key) > MAX_KEY_LENGTH or "\x00" in key:
            raise ValidationError({"idempotency_key": f"at most {MAX_KEY_LENGTH} characters."})
        if key and (earlier := DataImport.objects.filter(project=project, idempotency_key=key).first()):
            return Response(DataImportSerializer(earlier).data)
        found = self._store(project, user, given, key)
        try:
            seen = preview(found)
            if seen.problem:
                found.finish(DataImport.State.FAILED, error=seen.problem)
            elif seen.is_whole:
                background.run_now(found)
            else:
                background.start(found)
        except (ImportBusy, FileProblem) as problem:
            found.cancel()
            found.delete()
            raise Conflict(str(problem)) from None
        return self._response(found, dry_run=given["dry_run"])

    def _store(self, project: Project, user: User, given: dict[str, Any], key: str) -> DataImport:
        file, rows = given.pop("file", None), given.pop("rows", None)
        if rows is not None:
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            file = ContentFile(lines.encode(), name="rows.jsonl")
        try:
            with transaction.atomic():
                return store_upload(project, author=user, file=file, options=given, idempotency_key=key)
        except IntegrityError:
            raise Conflict("The same request is being worked on: ask again.") from None

    def _response(self, found: DataImport, *, dry_run: bool) -> Response:
        found.refresh_from_db()
        code: int = status.HTTP_201_CREATED
        if found.is_active:
            code = status.HTTP_202_ACCEPTED
        elif found.state != DataImport.State.DONE:  # problems with the file or its rows
            if found.state == DataImport.State.PREVIEWED:
                found.finish(DataImport.State.FAILED, result=found.result, error="Some rows have problems.")
            # A retry with the same key may bring a file that is right.
            DataImport.objects.filter(pk=found.pk).update(idempotency_key="")
            code = status.HTTP_400_BAD_REQUEST
        elif dry_run:
            code = status.HTTP_200_OK
        found.refresh_from_db()
        return Response(DataImportSerializer(found).data, status=code)


class ImportDetail(APIView):
    """One import."""

    permission_classes = [IsAuthenticated]

    @extend_schema(responses=DataImportSerializer)
    def get(self, request: Request, slug: str, pk: int) -> Response:
        """How far it is, or how it ended."""
        DataImport.tidy()
        return Response(DataImportSerializer(_find(request, slug, pk)).data)


class ImportCancel(APIView):
    """Cancel one import."""

    permission_classes = [IsAuthenticated]

    @extend_schema(request=None, responses=DataImportSerializer)
    def post(self, request: Request, slug: str, pk: int) -> Response:
        """Cancel it: nothing of it stays. One that has ended is not changed."""
        found = _find(request, slug, pk)
        found.cancel()
        found.refresh_from_db()
        return Response(DataImportSerializer(found).data)


def _find(request: Request, slug: str, pk: int) -> DataImport:
    project = allowed_project(cast(User, request.user), slug, CHANGE_PROJECT)
    return get_object_or_404(DataImport.objects.select_related("project"), project=project, pk=pk)
