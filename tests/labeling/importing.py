"""Imports of texts and files as the commands and pages make them."""

import io
import json
from typing import Any

from django.contrib.auth.models import User

from labeling.imports import ImportOptions, ImportResult, Source, import_records
from labeling.models import Project
from training.formats.reader import read_records


def json_lines(*rows: object) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def import_text(
    project: Project,
    text: str | bytes,
    name: str = "file.jsonl",
    *,
    author: User | None = None,
    reading: dict[str, Any] | None = None,
    **options: Any,
) -> ImportResult:
    """Import a text that is called so; `reading` says how it is read."""
    content = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    reader = read_records(io.BytesIO(content), name=name, **(reading or {}))
    given = ImportOptions(**{"heldout": 0.0, **options})
    return import_records(project, [Source(reader, reader.format)], options=given, author=author)


def shape(project: Project) -> list[tuple[str, list[list[str]]]]:
    """The prompts, each with the texts of its ordinary tasks."""
    return [
        (
            prompt.text,
            [
                [place.sample.text for place in task.task_samples.order_by("position")]
                for task in prompt.tasks.ordinary().order_by("pk")
            ],
        )
        for prompt in project.prompts.order_by("pk")
    ]
