"""Tasks with all their answers as records, for tools that keep each person's annotation."""

from collections.abc import Iterator, Mapping
from itertools import groupby

from labeling.exports.answer_rows import answer_rows
from labeling.models import PreferenceSnapshot, Project, Task
from training.formats.answer_records import task_record
from training.formats.records import Record


def task_records(
    project: Project, *, people: Mapping[int, str], split: str, snapshot: PreferenceSnapshot | None
) -> Iterator[tuple[int, Record]]:
    """The number of each ordinary task with answers, and its record, streamed.

    Gold, training tasks and repeats measure the annotators; other tools would take them for data.
    """
    rows = answer_rows(project, people=people, split=split, snapshot=snapshot)
    ordinary = (row for row in rows if row["kind"] == Task.Kind.ORDINARY)
    for number, answers in groupby(ordinary, key=lambda row: row["task"]):
        yield number, task_record(list(answers), number=number)
