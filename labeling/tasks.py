"""Opening tasks: completions become samples, and each prompt's samples a task."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from labeling.feedback import MOST_SAMPLES
from labeling.models import Cursor, Generator, Project, Prompt, Sample, Task, TaskSample


def create_tasks(
    *,
    project: Project,
    generator: Generator,
    completions: Mapping[Prompt, Sequence[str]],
    parameters: Mapping[str, Any] | None = None,
    need: int | None = None,
    priority: int = 0,
) -> list[Task]:
    """Store each prompt's completions as samples of `generator` and open one task for each prompt.

    `parameters` say how all of them were sampled; `need` is how many people answer each task (the
    project's number by default). Everything is stored, or nothing. ValueError: a prompt of another
    project, or a number of samples that the project's kind of feedback cannot take.
    """
    fewest = project.kind.fewest_samples
    for prompt, texts in completions.items():
        if prompt.project_id != project.pk:
            raise ValueError(f"prompt {prompt.pk} belongs to another project than {project.slug!r}.")
        if not fewest <= len(texts) <= MOST_SAMPLES:
            raise ValueError(
                f"prompt {prompt.pk} has {len(texts)} samples, but a task of {project.slug!r} "
                f"takes {fewest} to {MOST_SAMPLES}."
            )
    need = project.annotations_per_task if need is None else need
    if need < 1:
        raise ValueError(f"need: {need} people cannot answer a task; at least 1 is wanted.")
    with transaction.atomic():
        samples = Sample.objects.bulk_create(
            (
                Sample(prompt=prompt, generator=generator, text=text, parameters=dict(parameters or {}))
                for prompt, texts in completions.items()
                for text in texts
            ),
            batch_size=1000,
        )
        tasks = Task.objects.bulk_create(
            (
                Task(project=project, prompt=prompt, priority=priority, need=need, open=need)
                for prompt in completions
            ),
            batch_size=1000,
        )
        unplaced = iter(samples)
        TaskSample.objects.bulk_create(
            (
                TaskSample(task=task, sample=next(unplaced), position=position)
                for task, texts in zip(tasks, completions.values(), strict=True)
                for position in range(1, len(texts) + 1)
            ),
            batch_size=1000,
        )
        Cursor.objects.rewind(project, priority=priority)
    return tasks
