"""Two generators compared by people who do not know which is which: on held-out prompts only."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, QuerySet, Sum

from labeling.models import Annotation, Assignment, Generator, Project, Prompt, Task, TaskSample
from labeling.preferences import judged


@dataclass(frozen=True, kw_only=True)
class Preference:
    """What one person said about one sample of each generator for the same prompt.

    `points` are 1 where the first generator's is better, 0 where the second's is, 0.5 for a tie.
    """

    prompt: str
    first: str
    second: str
    points: float
    annotator: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far the tasks are that compare two generators: tasks, places nobody holds yet, and answers without
    a preference."""

    tasks: int
    open: int
    all_bad: int
    skipped: int


def tasks_between(project: Project, first: Generator, second: Generator) -> QuerySet[Task]:
    """The project's tasks on held-out prompts that show samples of both generators."""
    tasks = Task.objects.ordinary().filter(project=project, prompt__split=Prompt.Split.HELDOUT)
    for generator in (first, second):
        shown = TaskSample.objects.filter(task=OuterRef("pk"), sample__generator=generator)
        tasks = tasks.filter(Exists(shown))
    return tasks


def standing(project: Project, first: Generator, second: Generator) -> Standing:
    """How far these tasks are."""
    tasks = tasks_between(project, first, second)
    assignments = Assignment.objects.filter(task__in=tasks)
    answers = Annotation.objects.of(project).counting().filter(assignment__task__in=tasks)
    return Standing(
        tasks=tasks.count(),
        open=tasks.aggregate(places=Sum("open"))["places"] or 0,
        all_bad=answers.filter(all_bad=True).count(),
        skipped=assignments.filter(state=Assignment.State.SKIPPED).count(),
    )


def preferences_between(project: Project, first: Generator, second: Generator) -> Iterator[Preference]:
    """Every answer that compares the two, in a fixed order; all-bad answers and skips prefer nothing, and
    neither does a rewriting."""
    kind = project.kind
    between = (first.pk, second.pk)
    tasks = tasks_between(project, first, second)
    answers = Annotation.objects.filter(assignment__task__in=tasks).select_related("assignment__annotator")
    for annotation, judgements in judged(answers):
        samples = [judgement.sample for judgement in judgements]
        for better, worse, tie, _ in kind.preferences([judgement.verdict for judgement in judgements]):
            won, lost = samples[better], samples[worse]
            if (won.generator_id, lost.generator_id) == between:
                points, one, other = 0.5 if tie else 1.0, won, lost
            elif (lost.generator_id, won.generator_id) == between:
                points, one, other = 0.5 if tie else 0.0, lost, won
            else:
                continue
            yield Preference(
                prompt=annotation.assignment.task.prompt.text,
                first=one.text,
                second=other.text,
                points=points,
                annotator=annotation.assignment.annotator.get_username(),
            )


def least_compared(project: Project, first: Generator, second: Generator) -> list[Prompt]:
    """The project's held-out prompts: those on which the two were compared least come first."""
    had = Counter(tasks_between(project, first, second).values_list("prompt_id", flat=True))
    heldout = project.prompts.filter(split=Prompt.Split.HELDOUT).order_by("pk")
    return sorted(heldout, key=lambda prompt: had[prompt.pk])
