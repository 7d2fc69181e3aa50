"""An export of a project: its rows, what was left out of them and why, and the bytes of a file."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import groupby

from labeling.exports import training_rows
from labeling.exports.aggregation import Weights
from labeling.exports.answer_rows import answer_rows
from labeling.exports.options import ExportError, ExportOptions
from labeling.exports.people import annotator_names
from labeling.exports.task_records import task_records
from labeling.models import Annotation, Assignment, Project, Task
from labeling.models.annotations import AnnotationQuerySet
from labeling.preferences import Row
from labeling.stored_answers import StoredAnswer, read_answers, training_annotations
from training.formats import writer
from training.formats.answers import ANSWER_COLUMNS
from training.formats.records import Record
from training.formats.writer import Columns, ColumnType
from training.formats.writers import argilla, label_studio, llama_factory, openai, trl

OTHER_SPLITS = {"train": "heldout", "heldout": "train"}
HELD_OUT = {"heldout": "held-out", "train": "training"}
OTHER_PROMPTS = "{what} {split} prompts (--split {option} or all)"
SAY_IT_NOT = "answers that {name} cannot express: ties, all bad{skips}"


class Export:
    """The rows of one format, streamed; `left_out` and `written` are right once they are all read."""

    def __init__(self, project: Project, options: ExportOptions) -> None:
        self.project = project
        self.options = options
        self.left_out: Counter[str] = Counter()
        """How many were left out, by the reason."""
        self.written = 0

    @cached_property
    def conversational(self) -> bool:
        """Whether rows have messages: as chosen, else if any prompt of the project is a conversation."""
        if self.options.messages is not None:
            return self.options.messages
        return self.project.prompts.filter(messages__isnull=False).exists()

    def encode(self, container: str, *, spreadsheet: bool = False) -> Iterator[bytes]:
        """The bytes of a file; raises ExportError if the format is never in such a file."""
        chosen = self.options.format
        if container not in chosen.containers:
            ends = ", ".join(f".{each}" for each in chosen.containers)
            raise ExportError(f"container: {chosen.name} is written as JSON, as {ends}.")
        return writer.encode(self.rows(), container, self.columns, spreadsheet=spreadsheet)

    def rows(self) -> Iterator[Row]:
        """The rows, streamed from the database."""
        makers: dict[str, Callable[[], Iterable[Row]]] = {
            "comparisons": self._training_rows,
            "labels": self._training_rows,
            "completions": self._training_rows,
            "prompts": self._prompts,
            "tasks": self._tasks,
            "answers": self._answers,
        }
        for row in makers[self.options.format.source]():
            self.written += 1
            yield row

    @cached_property
    def columns(self) -> Columns:
        """The columns of the rows, which a table needs to know before them."""
        chosen = self.options.format
        if chosen.source == "answers":
            return ANSWER_COLUMNS
        if chosen.name == "llama-factory":
            return self._llama_factory_columns
        turn: ColumnType = "messages" if self.conversational else "string"
        columns: dict[str, ColumnType] = {"prompt": turn}
        columns |= dict.fromkeys(self._completion_columns, turn)
        if chosen.source == "prompts":
            return columns | {"split": "string"}
        if chosen.source == "comparisons":
            columns |= {"tie": "bool"} if self.options.ties == "keep" else {}
            if self.project.feedback == Project.FeedbackKind.PAIR:
                columns |= {"margin": "double"}
                columns |= {"criteria": "json"} if self.project.criteria else {}
        if chosen.source == "labels":
            columns |= {"label": "bool"}
            columns |= {"score": "double"} if self.project.feedback == Project.FeedbackKind.SCORE else {}
        columns |= {"choice": "string"} if chosen.source != "completions" else {}
        columns |= {"group": "string", "annotator": "string", "split": "string"}
        if self.options.aggregate != "none":
            columns |= {"votes": "int64"}
            columns |= {"agreement": "double"} if chosen.source == "comparisons" else {}
        return columns

    @property
    def _completion_columns(self) -> tuple[str, ...]:
        of_source = {"comparisons": ("chosen", "rejected"), "prompts": ()}
        return of_source.get(self.options.format.source, ("completion",))

    @property
    def _llama_factory_columns(self) -> Columns:
        ranking = self.project.feedback != Project.FeedbackKind.REWRITE
        if self.conversational:
            pairs: dict[str, ColumnType] = {"chosen": "json", "rejected": "json"} if ranking else {}
            return {"conversations": "json", **pairs, "system": "string"}
        completions = ("chosen", "rejected") if ranking else ("output",)
        return dict.fromkeys(("instruction", "input", *completions), "string")

    # -- Rows for training ----------------------------------------------------------------------------

    def _training_rows(self) -> Iterator[Row]:
        self._count_left_out()
        annotations = self._of_split(self._all_annotations())
        people = self._people
        aggregates = self.options.aggregate != "none"
        weights = Weights(self.project, self.options.aggregate) if aggregates else None
        make = self._row_maker()
        for _, group in groupby(read_answers(annotations), key=lambda answer: answer.task):
            for row in self._rows_of_task(list(group), weights):
                if row["annotator"]:
                    row["annotator"] = people.get(int(row["annotator"]), row["annotator"])
                made = make(row)
                yield {name: made[name] for name in self.columns if name in made} or made

    def _rows_of_task(self, answers: list[StoredAnswer], weights: Weights | None) -> Iterator[Row]:
        source, options = self.options.format.source, self.options
        if source == "labels":
            return training_rows.labels_of_task(
                self.project, answers, weights=weights, left_out=self.left_out
            )
        if source == "completions" or self.project.feedback == Project.FeedbackKind.REWRITE:
            return training_rows.completions_of_task(
                self.project, answers, weights=weights, left_out=self.left_out
            )
        return training_rows.comparisons_of_task(
            self.project,
            answers,
            weights=weights,
            keep_ties=options.ties == "keep",
            can_keep_ties=options.format.has_ties,
            left_out=self.left_out,
        )

    def _row_maker(self) -> Callable[[Row], Row]:
        match self.options.format.name:
            case "llama-factory" if self.conversational:
                return lambda row: llama_factory.sharegpt_row(row, trl.prompt_messages(row))
            case "llama-factory":
                return llama_factory.alpaca_row
            case "openai":
                return openai.openai_row
        return trl.conversational_row if self.conversational else trl.standard_row

    def _all_annotations(self) -> AnnotationQuerySet:
        """The annotations that rows for training are made from, of all prompts."""
        if self.options.snapshot is not None:
            return Annotation.objects.filter(snapshots=self.options.snapshot)
        return training_annotations(Annotation.objects.for_project(self.project))

    def _of_split(self, annotations: AnnotationQuerySet) -> AnnotationQuerySet:
        split = self.options.chosen_split
        return annotations if split == "all" else annotations.filter(assignment__task__prompt__split=split)

    @cached_property
    def _people(self) -> dict[int, str]:
        return annotator_names(self.project, names=self.options.names)

    def _count_left_out(self) -> None:
        """Count the answers that are not read at all, of the prompts that were chosen."""
        if self.options.snapshot is None:
            latest = self._of_split(Annotation.objects.for_project(self.project).latest_revisions())
            trained = latest.used_for_training()
            skips = Assignment.objects.filter(
                project=self.project, state=Assignment.State.SKIPPED, task__kind=Task.Kind.ORDINARY
            )
            if self.options.chosen_split != "all":
                skips = skips.filter(task__prompt__split=self.options.chosen_split)
            control = latest.exclude(assignment__task__kind=Task.Kind.ORDINARY)
            overruled = latest.on_ordinary_tasks().count() - trained.count()
            self.left_out["all-bad answers"] = trained.filter(all_bad=True).count()
            self.left_out["skipped tasks"] = skips.count()
            self.left_out["answers to gold, training and repeated tasks"] = control.count()
            self.left_out["answers overruled by a final decision"] = overruled
        if other := OTHER_SPLITS.get(self.options.chosen_split):
            reason = OTHER_PROMPTS.format(what="answers on", split=HELD_OUT[other], option=other)
            others = self._all_annotations().filter(assignment__task__prompt__split=other)
            self.left_out[reason] = others.count()

    # -- Other rows -----------------------------------------------------------------------------------

    def _prompts(self) -> Iterator[Row]:
        prompts = self.project.prompts.order_by("pk")
        split = self.options.chosen_split
        if other := OTHER_SPLITS.get(split):
            reason = OTHER_PROMPTS.format(what="", split=HELD_OUT[other], option=other).strip()
            self.left_out[reason] = prompts.filter(split=other).count()
            prompts = prompts.filter(split=split)
        make = trl.conversational_row if self.conversational else trl.standard_row
        for text, messages, own_split in prompts.values_list("text", "messages", "split").iterator():
            row = {"prompt": text, "split": own_split}
            yield make(row if messages is None else {**row, "messages": messages})

    def _answers(self) -> Iterator[Row]:
        rows = answer_rows(
            self.project,
            people=self._people,
            split=self.options.chosen_split,
            snapshot=self.options.snapshot,
        )
        return ({name: row[name] for name in ANSWER_COLUMNS} for row in rows)

    def _tasks(self) -> Iterator[Row]:
        module = label_studio if self.options.format.name == "label-studio" else argilla
        skips = "" if module is label_studio else ", skips"
        reason = SAY_IT_NOT.format(name=self.options.format.name, skips=skips)
        records = task_records(
            self.project,
            people=self._people,
            split=self.options.chosen_split,
            snapshot=self.options.snapshot,
        )
        for number, record in records:
            self.left_out[reason] += sum(not module.can_be_written(each) for each in record.judgements)
            yield from self._rows_of_record(number, record)

    def _rows_of_record(self, number: int, record: Record) -> Iterator[Row]:
        if self.options.format.name == "label-studio":
            return label_studio.label_studio_tasks(record, task=number)
        return argilla.argilla_records(record, task=number)

    @property
    def summary(self) -> list[str]:
        """What was left out and why, a line each."""
        return [f"{count:,} {reason}" for reason, count in self.left_out.items() if count]
