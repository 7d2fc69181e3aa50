"""What a record becomes in a project: a prompt, tasks with their samples, answers and expected answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from labeling.feedback import Answer, AnswerError, Verdict
from labeling.feedback.answer import UNSTORABLE_CHARACTERS
from labeling.imports.gold_answers import parse_gold_answer
from labeling.imports.options import ImportOptions
from labeling.imports.verdicts import WANTED, Rounding, answer_of
from labeling.models import Project, Task
from labeling.models.projects import prompt_hash
from labeling.models.tasks import content_of
from labeling.prompts import split_of
from labeling.queue import MAX_REASON_LENGTH
from labeling.text_limits import MAX_NAME_LENGTH, MAX_TEXT_LENGTH
from training.formats.prompt_completions import ParsedPrompt
from training.formats.records import Record, RecordJudgement, RecordSample

_CHOICES = frozenset(Task.Choice.values)


@dataclass(frozen=True, slots=True)
class PlannedAnswer:
    """One person's answer, or skip, with the verdict of each sample in the order of the task."""

    annotator: str
    answer: Answer | None
    verdicts: Sequence[Verdict] = ()
    skip_reason: str = ""


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """The samples that are shown together, and what is known of them."""

    samples: Sequence[RecordSample]
    answers: Sequence[PlannedAnswer] = ()
    gold: Answer | None = None
    is_training: bool = False
    explanation: str = ""
    choice: str = "random"
    content: UUID = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "content", content_of(sample.text for sample in self.samples))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """What one record becomes."""

    row: int
    prompt: ParsedPrompt
    hash: str
    split: str
    tasks: Sequence[PlannedTask] = ()
    single: RecordSample | None = None
    """A sample without a task: it gets one together with the others of its prompt."""
    unused_answers: int = 0


class Planner:
    """Works out what records become in one project; nothing is read from the database."""

    def __init__(self, project: Project, options: ImportOptions) -> None:
        self.project = project
        self.options = options
        self.kind = project.kind
        self.rounding = Rounding()

    def plan(self, record: Record) -> PlannedRow:
        """What the record becomes; raises ValueError with the reason why it cannot be imported."""
        prompt = record.prompt
        check_text(prompt.text)
        samples = self._samples(record)
        if not prompt.text.strip() and not samples:
            raise ValueError("no prompt, and no samples.")
        tasks, single, unused = self._tasks(record, samples)
        return PlannedRow(
            row=record.row,
            prompt=prompt,
            hash=prompt_hash(prompt.text),
            split=self.options.split or record.split or split_of(prompt.text, heldout=self.options.heldout),
            tasks=tasks,
            single=single,
            unused_answers=unused,
        )

    def _samples(self, record: Record) -> list[RecordSample]:
        """The samples, checked; without any, a text that was written is one."""
        samples = list(record.samples)
        if not samples:
            samples = [
                RecordSample(text=each.text, generator=each.annotator)
                for each in record.judgements
                if each.kind == "demonstration" and each.text.strip()
            ]
        for sample in samples:
            check_text(sample.text)
            check_name(sample.generator, "generator")
        return samples

    def _tasks(
        self, record: Record, samples: list[RecordSample]
    ) -> tuple[list[PlannedTask], RecordSample | None, int]:
        """The tasks, or the single sample that waits for others, and how many answers are not used."""
        wanted, given = self.options.import_as, len(record.judgements)
        if wanted == "prompts":
            return [], None, given
        if wanted == "gold" or (wanted == "auto" and record.gold is not None):
            return [self._gold(record, samples)], None, given - (record.gold is None)
        if wanted == "demonstrations":
            return [self._demonstrated(record, samples)], None, 0
        if wanted == "answers" and not given:
            raise ValueError("nobody's answer to it: import it as tasks, or leave it out.")
        if wanted == "answers" or (wanted == "auto" and self._has_answers(record)):
            return [self._answered(record, samples)], None, 0
        if len(samples) == 1:
            return [], samples[0], given
        # Texts that repeat are shown once.
        return list(self.divide(list({sample.text: sample for sample in samples}.values()))), None, given

    def _has_answers(self, record: Record) -> bool:
        """Whether there are answers; a completion is one only where texts are asked for."""
        if self.project.feedback == "rewrite":
            return any(
                each.kind == "demonstration" or each.skipped or each.all_bad for each in record.judgements
            )
        return any(each.kind != "demonstration" for each in record.judgements)

    def divide(self, samples: Sequence[RecordSample]) -> Iterator[PlannedTask]:
        """The samples of one prompt, spread evenly over tasks of as many as the project shows.

        Raises ValueError if their number does not fit the project.
        """
        count = len(samples)
        if not count:
            return
        parts = -(-count // self.project.samples_per_task)
        if count // parts < self.kind.min_samples:
            fewest, most = self.kind.min_samples, self.project.samples_per_task
            wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            raise ValueError(
                f"{count} sample{'s' if count > 1 else ''} of this prompt, but a task here shows {wanted}."
            )
        rest = iter(samples)
        for number in range(parts):
            size = count // parts + (number < count % parts)
            yield PlannedTask([next(rest) for _ in range(size)])

    def _check_number(self, samples: Sequence[RecordSample]) -> None:
        fewest, most = self.kind.min_samples, self.kind.max_samples
        if not fewest <= len(samples) <= most:
            wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            given = f"{len(samples)} sample{'' if len(samples) == 1 else 's'}"
            raise ValueError(f"{given}, but a task of this project takes {wanted}.")

    def _answered(self, record: Record, samples: list[RecordSample]) -> PlannedTask:
        """A task with all answers to it."""
        if self.project.feedback == "rewrite":
            return self._demonstrated(record, samples)
        self._check_number(samples)
        answers = [self._answer(each, len(samples)) for each in record.judgements]
        return PlannedTask(samples, answers, choice=_choice(record))

    def _answer(self, judgement: RecordJudgement, samples: int) -> PlannedAnswer:
        check_name(judgement.annotator, "annotator")
        if judgement.skipped:
            reason = judgement.skipped.replace("\x00", "")[:MAX_REASON_LENGTH]
            return PlannedAnswer(judgement.annotator, None, skip_reason=reason)
        answer = answer_of(judgement, project=self.project, samples=samples, rounding=self.rounding)
        check_text(answer.comment)
        try:
            return PlannedAnswer(judgement.annotator, answer, self.project.verdicts(answer, samples))
        except AnswerError as error:
            raise ValueError(str(error)) from None

    def _demonstrated(self, record: Record, samples: list[RecordSample]) -> PlannedTask:
        """A task with texts that people wrote; it shows the samples, or else those texts themselves."""
        if self.project.feedback != "rewrite":
            raise ValueError(
                f"this project asks for {WANTED[self.project.feedback]}, not for texts that people write: "
                "import demonstrations into a project of the kind “Rewrite”."
            )
        written = [each for each in record.judgements if each.kind == "demonstration" or each.skipped]
        if not written and len(samples) == 1:
            written = [RecordJudgement(kind="demonstration", text=samples[0].text)]
        if not written:
            raise ValueError("no text that a person wrote: import it as tasks, or leave it out.")
        self._check_number(samples)
        for each in written:
            check_text(each.text)
        return PlannedTask(
            samples, [self._answer(each, len(samples)) for each in written], choice=_choice(record)
        )

    def _gold(self, record: Record, samples: list[RecordSample]) -> PlannedTask:
        """A task with an expected answer: the one that is written, else the first in the file."""
        if not samples:
            raise ValueError("an expected answer, but no samples.")
        self._check_number(samples)
        if record.gold is not None:
            answer = parse_gold_answer(record.gold, project=self.project, samples=len(samples))
        else:
            given = [each for each in record.judgements if not each.skipped]
            if not given:
                raise ValueError("no expected answer: import it as tasks, or leave it out.")
            if self.project.feedback == "rewrite":
                raise ValueError(f"“{self.kind.label}” has no single correct answer.")
            answer = answer_of(given[0], project=self.project, samples=len(samples))
        check_text(record.explanation)
        return PlannedTask(
            samples, gold=answer, is_training=record.is_training, explanation=record.explanation
        )


def check_text(text: str) -> None:
    """Raise ValueError unless a text can be stored and shown."""
    if len(text) > MAX_TEXT_LENGTH:
        raise ValueError(f"a text of {len(text):,} characters; at most {MAX_TEXT_LENGTH:,} are allowed.")
    if text.isascii() and "\x00" not in text:
        return
    if found := UNSTORABLE_CHARACTERS.search(text):
        raise ValueError(
            "a NUL character: the file is damaged or not a text file."
            if found[0] == "\x00"
            else "half a character (a lone surrogate): save the file again as UTF-8."
        )


def check_name(name: str, what: str) -> None:
    """Raise ValueError unless a name of a generator or annotator can be stored."""
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(
            f"the name of a {what} has {len(name):,} characters; at most {MAX_NAME_LENGTH} are allowed."
        )
    check_text(name)


def _choice(record: Record) -> str:
    """Why the task was asked, as far as the file says."""
    given = record.judgements[0].choice if record.judgements else ""
    return given if given in _CHOICES else "random"
