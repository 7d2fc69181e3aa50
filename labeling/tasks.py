"""Creating tasks: completions are stored as samples, and the samples of one prompt become a task."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db import transaction

from labeling.models import Cursor, Generator, Project, Prompt, Sample, Task, TaskSample
from labeling.models.tasks import content_of


@dataclass(frozen=True)
class SampleText:
    """The text of a new sample, and sampling parameters of its own in addition to those of all."""

    text: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


NewSample = str | SampleText


def create_tasks(
    *,
    project: Project,
    generator: Generator,
    completions: Mapping[Prompt, Sequence[NewSample]],
    parameters: Mapping[str, Any] | None = None,
    need: int | None = None,
    priority: int = 0,
) -> list[Task]:
    """Store each prompt's completions as samples of `generator` and create one task for each prompt.

    `parameters` are the sampling parameters of all of them; `need` is the number of annotations per task (by
    default the project's). All or nothing is stored. ValueError: a prompt of another project, or a number of
    samples that the project's kind of feedback does not take.
    """
    samples = [(prompt, [(generator, text) for text in texts]) for prompt, texts in completions.items()]
    return create_tasks_from_samples(
        project=project, samples_by_prompt=samples, parameters=parameters, need=need, priority=priority
    )


def create_blind_tasks(
    *,
    project: Project,
    completions: Iterable[tuple[Prompt, Mapping[Generator, NewSample]]],
    parameters: Mapping[str, Any] | None = None,
    need: int | None = None,
    priority: int = 0,
) -> list[Task]:
    """Create one task for each prompt with one sample of each of several generators; else as `create_tasks`.

    To annotators they look like any other task: samples are shown in a random order for each person, without
    their generators. They are stored in random order too, so that their ids give nothing away.
    """
    shuffled = []
    for prompt, texts in completions:
        samples = list(texts.items())
        random.shuffle(samples)
        shuffled.append((prompt, samples))
    return create_tasks_from_samples(
        project=project, samples_by_prompt=shuffled, parameters=parameters, need=need, priority=priority
    )


def create_tasks_from_samples(
    *,
    project: Project,
    samples_by_prompt: Sequence[tuple[Prompt, Sequence[tuple[Generator, NewSample]]]],
    parameters: Mapping[str, Any] | None = None,
    need: int | None = None,
    priority: int = 0,
) -> list[Task]:
    """Create a task for each prompt with (generator, text) pairs as its samples, in the order given; else as
    `create_tasks`."""
    fewest, most = project.kind.min_samples, project.kind.max_samples
    for prompt, texts in samples_by_prompt:
        if prompt.project_id != project.pk:
            raise ValueError(f"prompt {prompt.pk} does not belong to the project {project.slug!r}.")
        if not fewest <= len(texts) <= most:
            raise ValueError(
                f"prompt {prompt.pk} has {len(texts)} samples, but a task of {project.slug!r} "
                f"takes {fewest if fewest == most else f'{fewest} to {most}'}."
            )
    need = project.annotations_per_task if need is None else need
    if need < 1:
        raise ValueError(f"need: {need} annotations per task; it must be at least 1.")
    with transaction.atomic():
        samples = Sample.objects.bulk_create(
            (
                _new_sample(prompt, generator, text, parameters or {})
                for prompt, texts in samples_by_prompt
                for generator, text in texts
            ),
            batch_size=1000,
        )
        placed = iter(samples)
        tasks = Task.objects.bulk_create(
            (
                Task(
                    project=project,
                    prompt=prompt,
                    priority=priority,
                    need=need,
                    open=need,
                    content=content_of(sample.text for sample in islice(placed, len(texts))),
                )
                for prompt, texts in samples_by_prompt
            ),
            batch_size=1000,
        )
        unplaced = iter(samples)
        TaskSample.objects.bulk_create(
            (
                TaskSample(task=task, sample=next(unplaced), position=position)
                for task, (_, texts) in zip(tasks, samples_by_prompt, strict=True)
                for position in range(1, len(texts) + 1)
            ),
            batch_size=1000,
        )
        Cursor.objects.rewind(project, priority=priority)
    return tasks


def _new_sample(
    prompt: Prompt, generator: Generator, written: NewSample, parameters: Mapping[str, Any]
) -> Sample:
    if isinstance(written, str):
        written = SampleText(written)
    return Sample(
        prompt=prompt,
        generator=generator,
        text=written.text,
        parameters={**parameters, **written.parameters},
    )
