"""Opening tasks: completions become samples, and the samples of one prompt a task."""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction

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
    written = [(prompt, [(generator, text) for text in texts]) for prompt, texts in completions.items()]
    return open_tasks(project=project, written=written, parameters=parameters, need=need, priority=priority)


def create_blind_tasks(
    *,
    project: Project,
    completions: Iterable[tuple[Prompt, Mapping[Generator, str]]],
    parameters: Mapping[str, Any] | None = None,
    need: int | None = None,
    priority: int = 0,
) -> list[Task]:
    """Open one task for each prompt with one sample of each of several generators; else as `create_tasks`.

    To annotators they look like any other task: samples come in an order drawn for each person, with no word
    on who wrote what. They are stored in random order too, so that not even their numbers could tell.
    """
    shuffled = []
    for prompt, texts in completions:
        written = list(texts.items())
        random.shuffle(written)
        shuffled.append((prompt, written))
    return open_tasks(project=project, written=shuffled, parameters=parameters, need=need, priority=priority)


def open_tasks(
    *,
    project: Project,
    written: Sequence[tuple[Prompt, Sequence[tuple[Generator, str]]]],
    parameters: Mapping[str, Any] | None = None,
    need: int | None = None,
    priority: int = 0,
) -> list[Task]:
    """Open a task for each prompt with the samples that generators wrote for it, in the order given; else as
    `create_tasks`."""
    fewest, most = project.kind.fewest_samples, project.kind.most_samples
    for prompt, texts in written:
        if prompt.project_id != project.pk:
            raise ValueError(f"prompt {prompt.pk} belongs to another project than {project.slug!r}.")
        if not fewest <= len(texts) <= most:
            raise ValueError(
                f"prompt {prompt.pk} has {len(texts)} samples, but a task of {project.slug!r} "
                f"takes {fewest if fewest == most else f'{fewest} to {most}'}."
            )
    need = project.annotations_per_task if need is None else need
    if need < 1:
        raise ValueError(f"need: {need} people cannot answer a task; at least 1 is wanted.")
    with transaction.atomic():
        samples = Sample.objects.bulk_create(
            (
                Sample(prompt=prompt, generator=generator, text=text, parameters=dict(parameters or {}))
                for prompt, texts in written
                for generator, text in texts
            ),
            batch_size=1000,
        )
        tasks = Task.objects.bulk_create(
            (
                Task(project=project, prompt=prompt, priority=priority, need=need, open=need)
                for prompt, _ in written
            ),
            batch_size=1000,
        )
        unplaced = iter(samples)
        TaskSample.objects.bulk_create(
            (
                TaskSample(task=task, sample=next(unplaced), position=position)
                for task, (_, texts) in zip(tasks, written, strict=True)
                for position in range(1, len(texts) + 1)
            ),
            batch_size=1000,
        )
        Cursor.objects.rewind(project, priority=priority)
    return tasks
