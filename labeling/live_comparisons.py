"""Live comparisons: an annotator writes to two models and compares their answers.

Each is an ordinary task with one answer, so that training reads it like any other. Its `choice` tells it from
tasks that were chosen at random: whoever estimates something from random tasks leaves it out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db import transaction

from labeling.feedback import Answer, AnswerError
from labeling.models import Annotation, Generator, Project, Sample, Task, TaskSample
from labeling.prompts import add_prompts
from labeling.queue import record_answered_task
from labeling.queue.limits import reached_limit
from training.formats.messages import Message, completion_text, render_messages
from training.formats.prompt_completions import ParsedPrompt


class LiveAnswer(NamedTuple):
    """What one of the two models wrote, and how it was sampled."""

    generator: Generator
    content: str
    parameters: Mapping[str, Any]


def record_live_comparison(
    *,
    project: Project,
    annotator: User,
    messages: Sequence[Message],
    answers: Sequence[LiveAnswer],
    answer: Answer,
    client_key: str,
) -> Annotation:
    """Store a live comparison: its prompt, samples, task and answer, all or nothing.

    `answers` are in the order shown. A prompt that the project has already keeps its split. Raises
    AnswerError if the answer is not valid, or the person has reached a limit of the project.
    """
    if reached_limit(annotator=annotator, project=project):
        raise AnswerError("you have reached the limit of this project: this answer cannot be stored.")
    text = render_messages(messages)
    with transaction.atomic():
        [prompt] = add_prompts(project, [ParsedPrompt(text, tuple(messages))])
        samples = [
            Sample.objects.create(
                prompt=prompt,
                generator=each.generator,
                text=completion_text(each.content),
                parameters=dict(each.parameters),
            )
            for each in answers
        ]
        task = Task.objects.create(project=project, prompt=prompt, need=1, open=0, choice=Task.Choice.LIVE)
        TaskSample.objects.bulk_create(
            TaskSample(task=task, sample=sample, position=position)
            for position, sample in enumerate(samples, start=1)
        )
        return record_answered_task(
            task,
            answer,
            annotator=annotator,
            shown_order=[sample.pk for sample in samples],
            client_key=client_key,
        )
