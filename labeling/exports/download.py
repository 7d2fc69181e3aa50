"""Exports as responses that stream."""

from collections.abc import Mapping
from typing import Any

from django.http import StreamingHttpResponse

from labeling.exports.export import Export
from labeling.exports.options import file_choices, parse_options
from labeling.models import Project
from training.formats.writer import content_type


def export_response(project: Project, given: Mapping[str, Any]) -> StreamingHttpResponse:
    """The file of an export, by its options and `container`; raises ExportError."""
    container = given.get("container") or "jsonl"
    export = Export(project, parse_options(project, file_choices(given, container)))
    pieces = export.encode(container, spreadsheet=bool(given.get("spreadsheet")))
    name = f"{project.slug}-{export.options.format.name}.{container}"
    return StreamingHttpResponse(
        pieces,
        content_type=content_type(container),
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
