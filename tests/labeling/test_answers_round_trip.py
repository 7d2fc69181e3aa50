"""The format `answers`: exported and imported again, everything is as it was."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from labeling import queue
from labeling.control_tasks import create_gold_task
from labeling.exports.export import Export
from labeling.exports.options import parse_options
from labeling.feedback import Answer
from labeling.models import (
    Adjudication,
    Annotation,
    Assignment,
    Generator,
    ImportedAnnotator,
    Project,
    Task,
    TaskSample,
)
from labeling.preferences import create_snapshot
from labeling.prompts import add_prompts
from labeling.quality.report import QualityReport
from labeling.tasks import create_tasks
from tests.labeling.objects import annotator, leased, make_project, make_tasks, says
from training.formats.prompt_completions import parse_prompt
from training.formats.reader import read_records

pytestmark = pytest.mark.django_db

ANSWERS: dict[str, list[Answer]] = {
    "rank": [
        Answer(ranks=(1, 2, 3)),
        Answer(ranks=(2, 1, 1)),
        Answer(ranks=(3, 2, 1), flagged=True, comment="=odd\u2028 “text”\r\n"),
    ],
    "best": [Answer(best=1), Answer(best=3), Answer(best=3)],
    "score": [
        Answer(scores=(1, 5, 3), criteria=({"kind": 2}, {"kind": 5}, {"kind": 1})),
        Answer(scores=(2, 4, 3), criteria=({"kind": 3}, {"kind": 3}, {"kind": 1})),
        Answer(scores=(5, 1, 3), criteria=({"kind": 1}, {"kind": 1}, {"kind": 4})),
    ],
    "pair": [
        Answer(grade=-3, criteria=({"kind": 2},)),
        Answer(grade=0, criteria=({"kind": 0},)),
        Answer(grade=2, criteria=({"kind": -1},)),
    ],
    "rewrite": [Answer(text="mine"), Answer(text="of the\n second", edited=2), Answer(text="🦊 لا")],
}
SETTINGS: dict[str, dict[str, Any]] = {
    "pair": {"samples_per_task": 2, "criteria": ["kind"]},
    "score": {"scale": 5, "criteria": ["kind"]},
}


def rich_project(kind: str) -> Project:
    """Every sort of answer: revised, all bad, skipped, to gold and repeated tasks, and decided upon."""
    samples = 2 if kind == "pair" else 3
    project = make_project(feedback=kind, **SETTINGS.get(kind, {}))
    project.revise_guidelines("Be kind.")
    project.revise_guidelines("Be fair.")
    tasks = make_tasks(project, 8, samples=samples, need=3)
    [talk] = add_prompts(
        project, [parse_prompt([{"role": "system", "content": "s"}, {"role": "user", "content": "Hi "}])]
    )
    writer = Generator.objects.create(name="model 2")
    texts = [" One", " Two", " One"][:samples]
    tasks += create_tasks(
        project=project, generator=writer, completions={talk: texts}, parameters={"temperature": 0.5}
    )
    people = [annotator(name) for name in ("zoe", "ann", "bob")]
    given = ANSWERS[kind]
    now = timezone.now()
    for number, task in enumerate(tasks[:-2]):
        for turn, person in enumerate(people[: 3 - number % 2]):
            answer = given[(number * 2 + turn) % 3]
            says(person, task, answer, turned=bool((number + turn) % 2), at=now - timedelta(hours=number))
    says(people[1], tasks[-1], given[1])
    says(people[0], tasks[-2], Answer(all_bad=True, seconds=2.5))
    Task.objects.filter(pk=tasks[-2].pk).update(open=1)
    queue.skip(leased(people[1], tasks[-2]), reason="unclear")
    edit(Assignment.objects.get(task=tasks[0], annotator=people[0]), given[2])
    Task.objects.filter(pk=tasks[1].pk).update(choice="closeness", usefulness=0.25)
    tasks[3].prompt.split = "heldout"
    tasks[3].prompt.save()
    final = Assignment.objects.get(task=tasks[4], annotator=people[1])
    Adjudication.objects.create(task=tasks[4], assignment=final, note="clear")
    Adjudication.objects.create(task=tasks[5])
    if kind != "rewrite":
        gold = create_gold_task(task=tasks[2], answer=given[0], author=None, explanation="See *1*.")
        training = create_gold_task(task=tasks[6], answer=given[1], author=None, kind="training")
        says(people[2], gold, given[0])
        says(people[2], training, given[2])
    repeat = Task.objects.create(
        project=project, prompt=tasks[0].prompt, need=1, open=1, kind="repeat", origin=tasks[0]
    )
    TaskSample.objects.bulk_create(
        TaskSample(task=repeat, sample_id=place.sample_id, position=place.position)
        for place in tasks[0].task_samples.all()
    )
    says(people[1], repeat, given[0], turned=True)
    return project


def edit(assignment: Assignment, answer: Answer) -> None:
    verdicts = assignment.project.verdicts(answer, len(assignment.shown_order))
    Annotation.record(assignment, answer, verdicts, client_key="edit")


def rows(project: Project, format_name: str = "answers", **options: Any) -> list[dict[str, Any]]:
    return list(Export(project, parse_options(project, {"format": format_name, **options})).rows())


def quality(project: Project) -> list[Any]:
    """Agreement, and what is known of each person; reliabilities as far as the order of sums leaves them."""
    report = QualityReport.for_project(project)
    people = sorted(report.annotators, key=lambda each: (each.answers, each.last))
    return [
        *((each.name, each.estimate) for each in [*report.agreement, *report.agreement_by_criterion]),
        *((each.answers, each.gold_accuracy, each.self_agreement, each.skipped) for each in people),
        *(pytest.approx(each.reliability.value) for each in people if each.reliability),
    ]


def moved(project: Project, file: Path) -> Project:
    """The project's answers, exported to a file and imported into an empty project of the same settings."""
    call_command("export", project.slug, "--format", "answers", "--to", file, verbosity=0)
    empty = make_project("moved", feedback=project.feedback, **SETTINGS.get(project.feedback, {}))
    call_command("import", "moved", file, "--as", "answers")
    return empty


@pytest.mark.parametrize("kind", ANSWERS)
def test_rows_agreement_and_snapshot_are_the_same_on_the_other_side(kind: str, tmp_path: Path) -> None:
    project = rich_project(kind)
    other = moved(project, tmp_path / "answers.jsonl")
    assert rows(other) == rows(project)
    assert len(rows(other)) > 20
    assert len(quality(project)) >= 3
    assert quality(other) == quality(project)
    there, here = create_snapshot(project), create_snapshot(other)
    assert here.hash == there.hash
    assert here.count + here.demonstration_count > 5


@pytest.mark.parametrize("container", ["jsonl.gz", "json", "csv", "parquet"])
def test_every_container_brings_the_same(container: str, tmp_path: Path) -> None:
    project = rich_project("score")
    assert rows(moved(project, tmp_path / f"answers.{container}")) == rows(project)


def test_a_file_twice_adds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = rich_project("rank")
    file = tmp_path / "answers.jsonl"
    other = moved(project, file)
    before = rows(other)
    tasks = Task.objects.count()
    capsys.readouterr()
    call_command("import", "moved", file)
    assert "Nothing new to import." in capsys.readouterr().out
    assert rows(other) == before
    assert Task.objects.count() == tasks


@pytest.mark.parametrize("kind", ["rank", "rewrite"])
def test_the_answers_of_a_project_are_known_to_it(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = rich_project(kind)
    before = rows(project)
    file = tmp_path / "answers.jsonl"
    call_command("export", project.slug, "--format", "answers", "--to", file)
    capsys.readouterr()
    call_command("import", project.slug, file)
    assert "Nothing new to import." in capsys.readouterr().out
    assert rows(project) == before
    assert not ImportedAnnotator.objects.exists()


def test_who_answered_elsewhere_is_a_placeholder_with_the_number_of_the_file(tmp_path: Path) -> None:
    other = moved(rich_project("rank"), tmp_path / "answers.jsonl")
    people = ImportedAnnotator.objects.filter(person__assignments__project=other).distinct()
    assert {(each.source, each.name, each.person.is_active) for each in people} == {
        ("answers", number, False) for number in "123"
    }


def test_answers_of_another_kind_are_refused_and_nothing_is_stored(tmp_path: Path) -> None:
    project = rich_project("best")
    file = tmp_path / "answers.jsonl"
    call_command("export", project.slug, "--format", "answers", "--to", file)
    empty = make_project("moved", feedback="rank")
    with pytest.raises(CommandError, match="cannot be imported into moved; nothing was imported"):
        call_command("import", "moved", file)
    assert not empty.prompts.exists()
    assert not Task.objects.filter(project=empty).exists()


def test_a_reader_recognises_the_format(tmp_path: Path) -> None:
    project = rich_project("pair")
    file = tmp_path / "answers.parquet"
    call_command("export", project.slug, "--format", "answers", "--to", file)
    reader = read_records(file)
    found = list(reader)
    assert (reader.format, reader.columns_left_out) == ("answers", [])
    assert len(found) == len(rows(project))
