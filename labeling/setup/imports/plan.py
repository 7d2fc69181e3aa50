"""Import plans: what an import will store in a project, worked out before anything is stored."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from django.contrib.auth.models import User
from django.db import transaction

from labeling import control_tasks
from labeling.feedback import Answer
from labeling.imports.gold_answers import parse_gold_answer
from labeling.models import Generator, Project, Prompt, Sample
from labeling.models.projects import prompt_hash
from labeling.prompts import add_prompts, split_of
from labeling.setup.imports.row_parser import ImportedSample, ParsedRow, parse_row
from labeling.setup.imports.row_reader import Problem, Row
from labeling.tasks import create_tasks_from_samples
from training.formats.prompt_completions import ParsedPrompt

MAX_ROWS = 50_000
BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """The samples that are shown together, and the expected answer if there is one."""

    samples: tuple[ImportedSample, ...]
    gold_answer: Answer | None = None
    is_training: bool = False
    explanation: str = ""


@dataclass(frozen=True, kw_only=True)
class PlannedPrompt:
    """A prompt with its tasks; `is_known` if the project already has it, in its own split."""

    line: int
    prompt: ParsedPrompt
    split: str
    is_known: bool
    tasks: tuple[PlannedTask, ...] = ()

    @property
    def text(self) -> str:
        """Its text, with turns if it is a conversation."""
        return self.prompt.text

    @property
    def samples(self) -> list[ImportedSample]:
        """The samples of all its tasks."""
        return [sample for task in self.tasks for sample in task.samples]


@dataclass(frozen=True, kw_only=True)
class ImportPlan:
    """What an import will store, what it skips, and what is wrong with the file."""

    project: Project
    prompts: Sequence[PlannedPrompt] = ()
    duplicates: int = 0
    """Rows already in the project, or repeated in the file."""
    problems: Sequence[Problem] = ()
    unused: Sequence[str] = ()
    """Names of columns that are not recognised."""
    skipped: int = field(default=0)
    """Rows skipped because of their problems, as requested."""

    @cached_property
    def tasks(self) -> int:
        """Tasks that will be created."""
        return sum(len(prompt.tasks) for prompt in self.prompts)

    @property
    def samples(self) -> int:
        """Samples that will be stored."""
        return sum(len(prompt.samples) for prompt in self.prompts)

    @property
    def new_prompts(self) -> int:
        """Prompts that the project does not have yet."""
        return sum(not prompt.is_known for prompt in self.prompts)

    @property
    def heldout(self) -> int:
        """New held-out prompts."""
        return sum(not prompt.is_known and prompt.split == Prompt.Split.HELDOUT for prompt in self.prompts)

    @property
    def gold_tasks(self) -> int:
        """Tasks with an expected answer."""
        return sum(task.gold_answer is not None for prompt in self.prompts for task in prompt.tasks)

    @property
    def generators(self) -> list[tuple[str, int]]:
        """Generators with their numbers of samples, most first."""
        return Counter(sample.generator for prompt in self.prompts for sample in prompt.samples).most_common()

    @property
    def can_be_stored(self) -> bool:
        """Whether there is something to store and no problem left."""
        return bool(self.prompts) and not self.problems

    @cached_property
    def digest(self) -> str:
        """A hash of the plan, to check that what is stored is what was previewed."""
        content = [
            [prompt.text, prompt.split, [
                [task.samples, task.gold_answer and task.gold_answer.as_json(), task.is_training,
                 task.explanation]
                for task in prompt.tasks
            ]]
            for prompt in self.prompts
        ]  # fmt: skip
        return hashlib.sha256(json.dumps([self.project.pk, content]).encode()).hexdigest()

    def store(self, *, author: User) -> None:
        """Store the prompts, samples and tasks, all or nothing. The caller has locked the project."""
        assert self.can_be_stored
        with transaction.atomic():
            rows: dict[str, Prompt] = {}
            for split in Prompt.Split.values:
                prompts = [each.prompt for each in self.prompts if each.split == split]
                rows.update((row.text, row) for row in add_prompts(self.project, prompts, split))
            generators = {name: Generator.objects.get_or_create(name=name)[0] for name, _ in self.generators}
            planned = [(rows[prompt.text], task) for prompt in self.prompts for task in prompt.tasks]
            tasks = create_tasks_from_samples(
                project=self.project,
                samples_by_prompt=[
                    (row, [(generators[sample.generator], sample.text) for sample in task.samples])
                    for row, task in planned
                ],
            )
            for stored, (_, task) in zip(tasks, planned, strict=True):
                if task.gold_answer is not None:
                    control_tasks.create_gold_task(
                        task=stored,
                        answer=task.gold_answer,
                        kind="training" if task.is_training else "gold",
                        explanation=task.explanation,
                        author=author,
                    )


def plan_import(
    *,
    project: Project,
    rows: Iterable[Row | Problem],
    generator: str,
    heldout: float = 0.0,
    leave_out_problems: bool = False,
) -> ImportPlan:
    """Plan the import of the rows into the project.

    `generator` is the generator of samples whose row names none. Prompts whose row names no split are held
    out with probability `heldout`, by their hash. Rows with one sample each are grouped by prompt; the
    samples of a prompt are divided evenly into tasks of at most the project's `samples_per_task`. With
    `leave_out_problems`, invalid rows are skipped.
    """
    problems: list[Problem] = []
    names: dict[str, None] = {}
    used: set[str] = set()
    entries = []
    for number, row in enumerate(rows, start=1):
        if number > MAX_ROWS:
            problems.append(Problem(0, f"more than {MAX_ROWS:,} rows: import the file in parts."))
            break
        if isinstance(row, Problem):
            problems.append(row)
            continue
        names.update(dict.fromkeys(row.values))
        try:
            entries.append(parse_row(row))
        except ValueError as error:
            problems.append(Problem(row.line, str(error)))
        else:
            used |= entries[-1].used
    gathered = list(_merge_single_samples(entries))
    known = _existing_prompts(project, {each.prompt.text for each in gathered})
    planned: dict[str, PlannedPrompt] = {}
    duplicates = 0
    for each in gathered:
        try:
            tasks = tuple(_plan_tasks(each, project=project, generator=generator))
        except ValueError as error:
            problems.append(Problem(each.line, str(error)))
            continue
        text = each.prompt.text
        before = planned.get(text)
        existing = known.get(text, set()) | {s.text for s in (before.samples if before else ())}
        is_known = text in known
        if (is_known or before) and {sample.text for sample in each.samples} <= existing:
            duplicates += 1
        elif before:
            planned[text] = replace(before, tasks=before.tasks + tasks)
        else:
            split = each.split or split_of(text, heldout=heldout)
            planned[text] = PlannedPrompt(
                line=each.line, prompt=each.prompt, split=split, is_known=is_known, tasks=tasks
            )
    return ImportPlan(
        project=project,
        prompts=list(planned.values()),
        duplicates=duplicates,
        problems=[] if leave_out_problems else sorted(problems),
        skipped=len(problems) if leave_out_problems else 0,
        unused=[name for name in names if name and name not in used],
    )


def _merge_single_samples(entries: Sequence[ParsedRow]) -> Iterator[ParsedRow]:
    """The rows, with single samples of the same prompt merged."""
    together: dict[str, list[ParsedRow]] = {}
    for each in entries:
        if len(each.samples) == 1 and each.gold is None:
            together.setdefault(each.prompt.text, []).append(each)
    for each in entries:
        if len(each.samples) != 1 or each.gold is not None:
            yield each
        elif each is together[each.prompt.text][0]:
            others = together[each.prompt.text]
            yield replace(each, samples=tuple(sample for other in others for sample in other.samples))


def _existing_prompts(project: Project, texts: set[str]) -> dict[str, set[str]]:
    """The prompts that the project already has, with the texts of their samples."""
    hashes = [prompt_hash(text) for text in texts]
    known: dict[str, set[str]] = {}
    for start in range(0, len(hashes), BATCH):
        rows = project.prompts.filter(hash__in=hashes[start : start + BATCH])
        known.update((text, set()) for text in rows.values_list("text", flat=True))
        samples = Sample.objects.filter(prompt__in=rows).values_list("prompt__text", "text")
        for prompt, text in samples:
            known[prompt].add(text)
    return known


def _plan_tasks(each: ParsedRow, *, project: Project, generator: str) -> Iterator[PlannedTask]:
    """The tasks for a row's samples; raises ValueError if their number does not fit the project."""
    count = len(each.samples)
    if not count:
        if each.gold is not None:
            raise ValueError("an expected answer, but no samples.")
        return
    kind = project.kind
    parts = -(-count // project.samples_per_task)
    sizes = [count // parts + (number < count % parts) for number in range(parts)]
    if min(sizes) < kind.min_samples or (parts > 1 and each.gold is not None):
        fewest = kind.min_samples
        wanted = (
            f"{fewest}" if fewest == project.samples_per_task else f"{fewest} to {project.samples_per_task}"
        )
        raise ValueError(
            f"{count} sample{'s' if count > 1 else ''} of this prompt, but a task here shows {wanted}."
        )
    gold_answer = None if each.gold is None else parse_gold_answer(each.gold, project=project, samples=count)
    rest = iter(each.samples)
    for size in sizes:
        samples = (next(rest) for _ in range(size))
        yield PlannedTask(
            samples=tuple(sample._replace(generator=sample.generator or generator) for sample in samples),
            gold_answer=gold_answer,
            is_training=each.is_training,
            explanation=each.explanation,
        )
