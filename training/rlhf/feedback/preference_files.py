"""Comparisons and ratings from files of any format that `training.formats` reads. Torch-free."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.formats.reader import (
    AUTO,
    RecordReader,
    all_records,
    list_problems,
    parse_columns,
)
from training.formats.records import Record, RecordJudgement
from training.formats.rows import FileProblem, Problem, problem_of
from training.formats.values import ranks_from_scores
from training.gpt.errors import InputError
from training.rlhf.feedback.preferences import Comparison, Rating, ranking_to_comparisons

OWN_FORMATS = ("trl", "hh", "columns")
"""Formats in which every row of a file of preferences must be judged; exports of tools also have others."""


@dataclass
class FileNotes:
    """What was made of a file: its format, the columns left out, and the rows that were not used."""

    reader: RecordReader
    left_out: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        used = ", ".join(f"{name} ({role})" for name, role in self.reader.columns_used.items())
        parts = [f"read as {self.reader.format} ({self.reader.shape}): {used}"]
        if self.reader.columns_left_out:
            parts.append(f"columns left out: {', '.join(self.reader.columns_left_out)}")
        parts += [f"{count:,} {what}" for what, count in self.left_out.items()]
        return "; ".join(parts)


def file_options(parameters: Mapping[str, Any]) -> dict[str, str]:
    """How a run reads its file, which older runs do not have."""
    return {
        "format": parameters.get("format") or AUTO,
        "columns": parameters.get("columns") or "",
        "encoding": parameters.get("encoding") or "",
    }


def read_file(
    path: str | Path,
    *,
    format: str = AUTO,  # noqa: A002 - as in the option
    columns: str = "",
    encoding: str = "",
) -> tuple[FileNotes, list[Record]]:
    """The records of a file for training, and notes about it; held-out rows are left out.

    `columns` is as in `--columns`. Raises InputError that names the file, its rows and their columns.
    """
    try:
        reader, records = all_records(
            Path(path), format=format, columns=parse_columns(columns), encoding=encoding
        )
    except FileProblem as error:
        raise InputError(str(error)) from None
    notes = FileNotes(reader)
    kept = [record for record in records if record.split != "heldout"]
    if heldout := len(records) - len(kept):
        notes.left_out["held-out rows are not trained on"] = heldout
        if not kept:
            raise InputError(f"{path}: every row is held out (its split says so); give rows to train on.")
    return notes, kept


def read_preferences(
    path: str | Path,
    *,
    format: str = AUTO,  # noqa: A002 - as in the option
    columns: str = "",
    encoding: str = "",
) -> tuple[list[Comparison], list[Rating]]:
    """The comparisons and the ratings of a file, without its held-out rows; see `preferences_and_notes`."""
    return preferences_and_notes(path, format=format, columns=columns, encoding=encoding)[:2]


def preferences_and_notes(
    path: str | Path,
    *,
    format: str = AUTO,  # noqa: A002 - as in the option
    columns: str = "",
    encoding: str = "",
) -> tuple[list[Comparison], list[Rating], FileNotes]:
    """The comparisons and the ratings of a file, and what was made of it.

    A ranking becomes all its pairs. Scores are scaled to 0 … 1; several in one row are ratings of one group.
    Raises InputError that names the file, its rows and their columns.
    """
    notes, records = read_file(path, format=format, columns=columns, encoding=encoding)
    comparisons: list[Comparison] = []
    ratings: list[Rating] = []
    problems: list[Problem] = []
    for record in records:
        judged = [each for each in record.judgements if each.kind != "demonstration"]
        if not judged and notes.reader.format in OWN_FORMATS:
            problems.append(Problem(record.row, _NOT_JUDGED))
        elif not judged:
            notes.left_out["rows that nobody judged"] += 1
        try:
            for judgement in judged:
                found = list(_examples(record, judgement))
                comparisons += [each for each in found if isinstance(each, Comparison)]
                ratings += [each for each in found if isinstance(each, Rating)]
        except ValueError as error:
            problems.append(problem_of(record.row, str(error)))
    if problems:
        raise InputError(list_problems(str(path), problems))
    if not comparisons and not ratings:
        raise InputError(
            f"{path}: no comparison in it; give rows with prompt, chosen and rejected, "
            "or with prompt, completion and score."
        )
    return comparisons, ratings, notes


_NOT_JUDGED = (
    "nobody judged it: a row of preferences needs “chosen” and “rejected”, "
    "or a “completion” with a “score” or a “label”."
)


def _examples(record: Record, judgement: RecordJudgement) -> Iterator[Comparison | Rating]:
    """What one judgement teaches; nothing if all samples were bad or the task was skipped."""
    if judgement.skipped or judgement.all_bad:
        return
    source: dict[str, Any] = {
        "annotator": judgement.annotator,
        "choice": judgement.choice,
        "messages": record.prompt.messages,
    }
    texts = [sample.text for sample in record.samples]
    group = record.group or (f"row {record.row}" if len(texts) > 2 or judgement.kind == "score" else "")
    if judgement.ranks is not None:
        ranks = judgement.ranks
        pairs = ranking_to_comparisons(
            prompt=record.prompt.text, completions=texts, ranks=ranks, group=group, **source
        )
        for pair in pairs:
            if judgement.kind == "best" and pair.tie:
                continue  # the others were not compared with each other
            yield Comparison(**{**vars(pair), "margin": judgement.margin, "group": group or record.group})
        return
    scores = judgement.scores or ()
    rated = [
        (text, score, at)
        for at, (text, score) in enumerate(zip(texts, scores, strict=True))
        if score is not None
    ]
    if judgement.scale is None and len(rated) > 1:  # on an unknown scale they can still be compared
        yield from ranking_to_comparisons(
            prompt=record.prompt.text,
            completions=[text for text, _, _ in rated],
            ranks=ranks_from_scores([score for _, score, _ in rated]),
            group=group,
            **source,
        )
        return
    for text, score, at in rated:
        criteria = judgement.criteria[at] if judgement.criteria else {}
        yield Rating(
            record.prompt.text,
            text,
            scaled("score", score, judgement.scale),
            {name: scaled(name, value, judgement.scale) for name, value in criteria.items()},
            group=group if len(texts) > 1 else record.group,
            **source,
        )


def scaled(name: str, score: float, scale: tuple[float, float] | None) -> float:
    """A score as a share of its scale, 0 to 1; raises ValueError for one that is not on it."""
    low, high = scale or (0.0, 1.0)
    if not low <= score <= high:
        raise ValueError(
            f'"{name}" is {score:g}, not a number from {low:g} to {high:g}: scale it'
            + ("." if scale else ', or add a column "scale" such as [1, 5].')
        )
    return (score - low) / (high - low)


def read_dialogues(path: Path) -> list[Comparison]:
    """The comparisons of a file of whole dialogues; pairs of equal dialogues are left out.

    Raises InputError that names the file if there are none, or if a pair shares no answered turn.
    """
    pairs = [pair for pair in read_preferences(path)[0] if pair.chosen != pair.rejected]
    if not pairs or not all(pair.messages for pair in pairs):
        raise InputError(
            f"{path}: not every line is a pair of dialogues with a common beginning;"
            r" begin both with the same \n\nHuman: … \n\nAssistant:"
        )
    return pairs
