"""Plans: what an import will store, worked out against the project before anything is stored."""

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
from labeling.models import Generator, Project, Prompt, Sample
from labeling.models.projects import prompt_hash
from labeling.prompts import add_prompts, split_of
from labeling.setup.imports.entries import Entry, Written, entry
from labeling.setup.imports.gold_answers import right_answer
from labeling.setup.imports.rows import Problem, Row
from labeling.tasks import open_tasks

MOST_ROWS = 50_000
BATCH = 1000


@dataclass(frozen=True, kw_only=True)
class PlannedTask:
    """The samples that are shown together, and the right answer where it is known."""

    samples: tuple[Written, ...]
    right: Answer | None = None
    training: bool = False
    explanation: str = ""


@dataclass(frozen=True, kw_only=True)
class PlannedPrompt:
    """A prompt with its tasks; `known` if the project has it already, in its own split."""

    line: int
    text: str
    split: str
    known: bool
    tasks: tuple[PlannedTask, ...] = ()

    @property
    def samples(self) -> list[Written]:
        """The samples of all its tasks."""
        return [sample for task in self.tasks for sample in task.samples]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an import will store, what it leaves out because it is there, and what is wrong with the file."""

    project: Project
    prompts: Sequence[PlannedPrompt] = ()
    there: int = 0
    """Rows that bring nothing new: the project, or the file, has them already."""
    problems: Sequence[Problem] = ()
    unused: Sequence[str] = ()
    """Names of columns that mean nothing here."""
    spared: int = field(default=0)
    """Rows left out because of their problems, as was asked."""

    @cached_property
    def tasks(self) -> int:
        """Tasks that will be open to annotators."""
        return sum(len(prompt.tasks) for prompt in self.prompts)

    @property
    def samples(self) -> int:
        """Samples that will be stored."""
        return sum(len(prompt.samples) for prompt in self.prompts)

    @property
    def new_prompts(self) -> int:
        """Prompts that the project does not have yet."""
        return sum(not prompt.known for prompt in self.prompts)

    @property
    def heldout(self) -> int:
        """New prompts that training will never see."""
        return sum(not prompt.known and prompt.split == Prompt.Split.HELDOUT for prompt in self.prompts)

    @property
    def rights(self) -> int:
        """Tasks whose right answer comes along."""
        return sum(task.right is not None for prompt in self.prompts for task in prompt.tasks)

    @property
    def generators(self) -> list[tuple[str, int]]:
        """Who wrote how many samples, most first."""
        return Counter(sample.generator for prompt in self.prompts for sample in prompt.samples).most_common()

    @property
    def can_be_stored(self) -> bool:
        """All or nothing: only a plan without problems is."""
        return bool(self.prompts) and not self.problems

    @cached_property
    def digest(self) -> str:
        """What was looked at is what is stored: a plan that came out otherwise has another digest."""
        content = [
            [prompt.text, prompt.split, [
                [task.samples, task.right and task.right.as_json(), task.training, task.explanation]
                for task in prompt.tasks
            ]]
            for prompt in self.prompts
        ]  # fmt: skip
        return hashlib.sha256(json.dumps([self.project.pk, content]).encode()).hexdigest()

    def store(self, *, author: User) -> None:
        """Store the prompts, samples and tasks of the plan, all or nothing. The caller holds the project."""
        assert self.can_be_stored
        with transaction.atomic():
            rows: dict[str, Prompt] = {}
            for split in Prompt.Split.values:
                texts = [prompt.text for prompt in self.prompts if prompt.split == split]
                rows.update((row.text, row) for row in add_prompts(self.project, texts, split))
            generators = {name: Generator.objects.get_or_create(name=name)[0] for name, _ in self.generators}
            planned = [(rows[prompt.text], task) for prompt in self.prompts for task in prompt.tasks]
            tasks = open_tasks(
                project=self.project,
                written=[
                    (row, [(generators[sample.generator], sample.text) for sample in task.samples])
                    for row, task in planned
                ],
            )
            for stored, (_, task) in zip(tasks, planned, strict=True):
                if task.right is not None:
                    control_tasks.make_gold(
                        task=stored,
                        answer=task.right,
                        kind="training" if task.training else "gold",
                        explanation=task.explanation,
                        author=author,
                    )


def make_plan(
    *,
    project: Project,
    rows: Iterable[Row | Problem],
    generator: str,
    heldout: float = 0.0,
    leave_out_problems: bool = False,
) -> Plan:
    """What importing the rows into the project comes to.

    Samples are by `generator` unless their row says who wrote them. Prompts whose row does not say on which
    side they stand are held out with the share `heldout`, by their own hash. Rows with one sample each are
    put together by their prompt; the samples of a prompt are shown in tasks of at most the project's
    `samples_per_task`, as even as can be. With `leave_out_problems`, rows that are wrong are not imported.
    """
    problems: list[Problem] = []
    names: dict[str, None] = {}
    used: set[str] = set()
    entries = []
    for number, row in enumerate(rows, start=1):
        if number > MOST_ROWS:
            problems.append(Problem(0, f"more than {MOST_ROWS:,} rows: import it in parts."))
            break
        if isinstance(row, Problem):
            problems.append(row)
            continue
        names.update(dict.fromkeys(row.values))
        try:
            entries.append(entry(row))
        except ValueError as error:
            problems.append(Problem(row.line, str(error)))
        else:
            used |= entries[-1].used
    gathered = list(_gathered(entries))
    known = _known(project, {each.prompt for each in gathered})
    planned: dict[str, PlannedPrompt] = {}
    there = 0
    for each in gathered:
        try:
            tasks = tuple(_tasks(each, project=project, generator=generator))
        except ValueError as error:
            problems.append(Problem(each.line, str(error)))
            continue
        before = planned.get(each.prompt)
        written = known.get(each.prompt, set()) | {s.text for s in (before.samples if before else ())}
        is_known = each.prompt in known
        if (is_known or before) and {sample.text for sample in each.samples} <= written:
            there += 1
        elif before:
            planned[each.prompt] = replace(before, tasks=before.tasks + tasks)
        else:
            split = each.split or split_of(each.prompt, heldout=heldout)
            planned[each.prompt] = PlannedPrompt(
                line=each.line, text=each.prompt, split=split, known=is_known, tasks=tasks
            )
    return Plan(
        project=project,
        prompts=list(planned.values()),
        there=there,
        problems=[] if leave_out_problems else sorted(problems),
        spared=len(problems) if leave_out_problems else 0,
        unused=[name for name in names if name and name not in used],
    )


def _gathered(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The entries, those with a single sample put together with the others of their prompt."""
    together: dict[str, list[Entry]] = {}
    for each in entries:
        if len(each.samples) == 1 and each.gold is None:
            together.setdefault(each.prompt, []).append(each)
    for each in entries:
        if len(each.samples) != 1 or each.gold is not None:
            yield each
        elif each is together[each.prompt][0]:
            others = together[each.prompt]
            yield replace(each, samples=tuple(sample for other in others for sample in other.samples))


def _known(project: Project, texts: set[str]) -> dict[str, set[str]]:
    """The prompts that the project has already, with the texts of their samples."""
    hashes = [prompt_hash(text) for text in texts]
    known: dict[str, set[str]] = {}
    for start in range(0, len(hashes), BATCH):
        rows = project.prompts.filter(hash__in=hashes[start : start + BATCH])
        known.update((text, set()) for text in rows.values_list("text", flat=True))
        samples = Sample.objects.filter(prompt__in=rows).values_list("prompt__text", "text")
        for prompt, text in samples:
            known[prompt].add(text)
    return known


def _tasks(each: Entry, *, project: Project, generator: str) -> Iterator[PlannedTask]:
    """The tasks that show an entry's samples; raises ValueError if the project cannot show them."""
    count = len(each.samples)
    if not count:
        if each.gold is not None:
            raise ValueError("a right answer, but no samples that it is about.")
        return
    kind = project.kind
    parts = -(-count // project.samples_per_task)
    sizes = [count // parts + (number < count % parts) for number in range(parts)]
    if min(sizes) < kind.fewest_samples or (parts > 1 and each.gold is not None):
        fewest = kind.fewest_samples
        wanted = (
            f"{fewest}" if fewest == project.samples_per_task else f"{fewest} to {project.samples_per_task}"
        )
        raise ValueError(
            f"{count} sample{'s' if count > 1 else ''} of this prompt, but a task here shows {wanted}."
        )
    right = None if each.gold is None else right_answer(each.gold, project=project, samples=count)
    rest = iter(each.samples)
    for size in sizes:
        samples = (next(rest) for _ in range(size))
        yield PlannedTask(
            samples=tuple(sample._replace(generator=sample.generator or generator) for sample in samples),
            right=right,
            training=each.training,
            explanation=each.explanation,
        )
