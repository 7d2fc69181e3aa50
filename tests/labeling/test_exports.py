"""Exports: formats, options and what is left out."""

import csv
import gzip
import io
import json
import random
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, load_command_class
from django.db.models import F
from django.test import Client
from rest_framework.test import APIClient

from labeling import queue
from labeling.exports.export import Export
from labeling.exports.formats import FORMATS
from labeling.exports.options import ExportError, parse_options
from labeling.feedback import Answer
from labeling.models import Generator, Project, Prompt, Task
from labeling.preferences import create_snapshot
from labeling.prompts import add_prompts
from labeling.tasks import create_tasks
from tests.labeling.objects import (
    admin,
    annotator,
    answered,
    make_project,
    make_tasks,
    reviewer,
    says,
)
from training.formats.prompt_completions import ParsedPrompt
from training.formats.writer import CONTAINERS

pytestmark = pytest.mark.django_db


def rows(project: Project, format_name: str, **options: Any) -> list[dict[str, Any]]:
    return list(Export(project, parse_options(project, {"format": format_name, **options})).rows())


def left_out(project: Project, format_name: str, **options: Any) -> list[str]:
    export = Export(project, parse_options(project, {"format": format_name, **options}))
    list(export.rows())
    return export.summary


def pair_project(*grades: int, **settings: Any) -> Project:
    """A project of pairs, with one person's grade of each."""
    project = make_project(feedback="pair", samples_per_task=2, **settings)
    ann = annotator()
    for task, grade in zip(make_tasks(project, len(grades), samples=2), grades, strict=True):
        says(ann, task, Answer(grade=grade))
    return project


def test_a_comparison_is_what_trl_reads_with_its_margin_and_where_it_is_from() -> None:
    project = pair_project(-2)
    [row] = rows(project, "trl-preference")
    assert {name: row[name] for name in ("prompt", "chosen", "rejected", "margin")} == {
        "prompt": "Prompt 0",
        "chosen": "A0",
        "rejected": "B0",
        "margin": 0.666667,
    }
    assert (row["annotator"], row["split"], row["choice"]) == ("1", "train", "random")
    assert "tie" not in row


def test_ties_are_left_out_and_counted_unless_they_are_kept() -> None:
    project = pair_project(1, 0)
    assert len(rows(project, "trl-preference")) == 1
    assert left_out(project, "trl-preference") == ["1 ties (--ties keep)"]
    assert [row["tie"] for row in rows(project, "trl-preference", ties="keep")] == [False, True]
    with pytest.raises(ExportError, match="openai cannot say that two are equal; trl-preference can"):
        rows(project, "openai", ties="keep")


def test_held_out_prompts_are_left_out_unless_they_are_asked_for() -> None:
    project = pair_project(1, 2, 3)
    Prompt.objects.filter(text="Prompt 1").update(split="heldout")
    assert [row["prompt"] for row in rows(project, "trl-preference")] == ["Prompt 0", "Prompt 2"]
    assert left_out(project, "trl-preference") == ["1 answers on held-out prompts (--split heldout or all)"]
    assert [row["prompt"] for row in rows(project, "trl-preference", split="heldout")] == ["Prompt 1"]
    assert len(rows(project, "trl-preference", split="all")) == 3
    assert [row["prompt"] for row in rows(project, "prompt-only")] == ["Prompt 0", "Prompt 2"]


def test_all_bad_answers_skips_and_gold_are_left_out_and_counted() -> None:
    project = make_project()
    make_tasks(project, 3)
    ann = annotator()
    answered(ann, project, Answer(ranks=(1, 2, 3)))
    answered(ann, project)
    queue.skip(queue.claim(annotator=ann, project=project))  # type: ignore[arg-type]
    assert set(left_out(project, "trl-preference")) == {"1 all-bad answers", "1 skipped tasks"}
    Task.objects.update(kind="gold", origin=F("pk"))
    assert "2 answers to gold, training and repeated tasks" in left_out(project, "trl-preference")


def test_prompts_and_completions_are_messages_where_a_prompt_is_a_conversation() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    asked = [{"role": "user", "content": "Hi"}]
    [talk, plain] = add_prompts(
        project,
        [ParsedPrompt("\n\nHuman: Hi\n\nAssistant:", tuple(asked)), "Once"],  # type: ignore[arg-type]
    )
    writer = Generator.objects.create(name="writer")
    tasks = create_tasks(
        project=project, generator=writer, completions={talk: [" Hello", " Go"], plain: [" upon", " no"]}
    )
    for task in tasks:
        says(annotator(f"ann {task.pk}"), task, Answer(grade=-1))
    first, second = rows(project, "trl-preference")
    assert first["prompt"] == asked
    assert first["chosen"] == [{"role": "assistant", "content": "Hello"}]
    assert second["prompt"] == [{"role": "user", "content": "Once"}]
    as_text = rows(project, "trl-preference", messages=False)
    assert [row["prompt"] for row in as_text] == ["\n\nHuman: Hi\n\nAssistant:", "Once"]
    assert [row["chosen"] for row in as_text] == [" Hello", " upon"]
    assert "messages" not in as_text[0]


def test_samples_are_good_or_bad_by_their_place_in_a_ranking() -> None:
    project = make_project()
    [task] = make_tasks(project)
    says(annotator(), task, Answer(ranks=(2, 1, 3)))
    assert {row["completion"]: row["label"] for row in rows(project, "trl-unpaired")} == {
        "B0": True,
        "C0": False,
    }


def test_samples_are_good_or_bad_by_their_score() -> None:
    project = make_project(feedback="score", scale=5)
    [task] = make_tasks(project)
    says(annotator(), task, Answer(scores=(4, 3, 1)))
    found = rows(project, "trl-unpaired")
    assert [(row["completion"], row["label"], row["score"]) for row in found] == [
        ("A0", True, 0.75),
        ("C0", False, 0.0),
    ]
    assert left_out(project, "trl-unpaired") == ["1 samples with the middle score"]


@pytest.mark.parametrize(
    ("feedback", "answer", "texts"),
    [
        ("rank", Answer(ranks=(2, 1, 3)), ["B0"]),
        ("rank", Answer(ranks=(1, 1, 2)), []),
        ("best", Answer(best=3), ["C0"]),
        ("score", Answer(scores=(5, 4, 1)), ["A0"]),
        ("score", Answer(scores=(3, 2, 1)), []),
        ("rewrite", Answer(text="mine"), ["mine"]),
    ],
)
def test_the_text_to_learn_is_the_single_best_one_or_what_was_written(
    feedback: str, answer: Answer, texts: list[str]
) -> None:
    project = make_project(feedback=feedback)
    [task] = make_tasks(project)
    says(annotator(), task, answer)
    assert [row["completion"] for row in rows(project, "prompt-completion")] == texts
    assert bool(left_out(project, "prompt-completion")) == (not texts)


def votes(project: Project, *grades: int) -> None:
    """Each grade of one and the same task, by another person."""
    [task] = make_tasks(project, 1, samples=2, need=len(grades))
    for number, grade in enumerate(grades):
        says(annotator(f"person {number}"), task, Answer(grade=grade))


def test_the_majority_of_several_people_is_one_row() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    votes(project, -3, -1, 2)
    [row] = rows(project, "trl-preference", aggregate="majority")
    assert (row["chosen"], row["rejected"], row["votes"]) == ("A0", "B0", 3)
    assert row["margin"] == pytest.approx((1 + 1 / 3 - 2 / 3) / 3, abs=1e-5)
    assert row["agreement"] == pytest.approx(2 / 3, abs=1e-5)
    assert row["annotator"] == ""
    [good, bad] = rows(project, "trl-unpaired", aggregate="majority")
    assert (good["completion"], good["label"], bad["label"]) == ("A0", True, False)
    [best] = rows(project, "prompt-completion", aggregate="majority")
    assert (best["completion"], best["votes"]) == ("A0", 3)


def test_as_many_for_as_against_is_a_tie() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    votes(project, -1, 1)
    assert rows(project, "trl-preference", aggregate="majority") == []
    [row] = rows(project, "trl-preference", aggregate="majority", ties="keep")
    assert (row["tie"], row["agreement"]) == (True, 0.5)


def test_reliable_people_overrule_those_who_guess() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    tasks = make_tasks(project, 40, samples=2, need=5)
    people = [annotator(f"person {number}") for number in range(5)]
    draw = random.Random(0)
    for number, task in enumerate(tasks):
        for index, person in enumerate(people):
            guess = draw.choice([-1, 1])
            says(person, task, Answer(grade=(1 if number % 2 else -1) if index < 2 else guess))
    by_reliability = rows(project, "trl-preference", aggregate="reliability", split="all")
    wanted = ["B" if number % 2 else "A" for number in range(40)]
    assert [row["chosen"][0] for row in by_reliability] == wanted
    by_majority = rows(project, "trl-preference", aggregate="majority", split="all")
    assert [row["chosen"][0] for row in by_majority] != wanted


def test_annotators_are_numbers_unless_their_names_are_asked_for() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    annotator("never here")
    votes(project, 1, 2)
    assert [row["annotator"] for row in rows(project, "trl-preference")] == ["1", "2"]
    names = [row["annotator"] for row in rows(project, "trl-preference", names=True)]
    assert names == ["person 0", "person 1"]


def test_a_snapshot_is_exported_as_it_was() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    [task] = make_tasks(project, 1, samples=2, need=2)
    says(annotator("ann"), task, Answer(grade=-1))
    snapshot = create_snapshot(project)
    says(annotator("bob"), task, Answer(grade=3))
    assert len(rows(project, "trl-preference")) == 2
    [row] = rows(project, "trl-preference", snapshot=snapshot.hash[:8])
    assert row["chosen"] == "A0"
    assert [row["grade"] for row in rows(project, "answers", snapshot=snapshot.hash)] == [-1]
    with pytest.raises(ExportError, match="has none that begins with “xyz”; there are"):
        rows(project, "trl-preference", snapshot="xyz")


def test_texts_that_people_wrote_are_no_comparisons() -> None:
    project = make_project(feedback="rewrite")
    with pytest.raises(ExportError, match="its annotators write texts; export prompt-completion"):
        rows(project, "trl-preference")


# -- Files ------------------------------------------------------------------------------------------------


def test_the_command_writes_a_file_and_says_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = pair_project(1, 0, 2)
    Prompt.objects.filter(text="Prompt 2").update(split="heldout")
    file = tmp_path / "pairs.jsonl.gz"
    call_command("export", project.slug, "--format", "trl-preference", "--to", file)
    [line] = gzip.decompress(file.read_bytes()).splitlines()
    assert json.loads(line)["chosen"] == "B0"
    assert capsys.readouterr().out.splitlines() == [
        "pairs.jsonl.gz: 1 row (trl-preference)",
        "  left out: 1 answers on held-out prompts (--split heldout or all)",
        "  left out: 1 ties (--ties keep)",
        f"Written to {file}",
    ]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("container", ["jsonl", "jsonl.zst", "json", "csv", "csv.gz", "parquet"])
def test_every_container_has_the_same_rows(container: str, tmp_path: Path) -> None:
    project = pair_project(1, 2, 3)
    file = tmp_path / f"pairs.{container}"
    call_command("export", project.slug, "--format", "trl-preference", "--to", file, verbosity=0)
    assert read_back(file) == [
        {"prompt": f"Prompt {number}", "chosen": f"B{number}", "rejected": f"A{number}"}
        for number in range(3)
    ]


def read_back(file: Path) -> list[dict[str, Any]]:
    """The texts in a file, read with the libraries of the field."""
    from datasets import load_dataset

    if file.suffix == ".zst":  # for which `datasets` wants one more package
        plain = file.with_suffix("")
        plain.write_bytes(pa.input_stream(file, compression="zstd").read())
        file = plain
    kind = "parquet" if file.suffix == ".parquet" else "csv" if ".csv" in file.suffixes else "json"
    loaded = load_dataset(kind, data_files=str(file), split="train", cache_dir=str(file.parent / "cache"))
    return [{name: row[name] for name in ("prompt", "chosen", "rejected")} for row in loaded]


def test_a_folder_has_a_file_for_each_split(tmp_path: Path) -> None:
    project = pair_project(1, 2, 3)
    Prompt.objects.filter(text="Prompt 2").update(split="heldout")
    folder = tmp_path / "pairs"
    call_command("export", project.slug, "--format", "trl-preference", "--to", folder, verbosity=0)
    assert {path.name: pq.read_table(path).num_rows for path in folder.iterdir()} == {
        "train.parquet": 2,
        "heldout.parquet": 1,
    }
    with pytest.raises(CommandError, match="is there already, and not empty"):
        call_command("export", project.slug, "--format", "trl-preference", "--to", folder)


def test_other_tools_get_what_they_need_beside_the_data(tmp_path: Path) -> None:
    project = pair_project(1, 2, 3)
    for name in ("llama-factory", "label-studio"):
        call_command("export", project.slug, "--format", name, "--to", tmp_path / name, verbosity=0)
    info = json.loads((tmp_path / "llama-factory" / "dataset_info.json").read_text())
    assert info["stories_train"]["file_name"] == "train.json"
    assert info["stories_train"]["ranking"] is True
    assert "<Pairwise" in (tmp_path / "label-studio" / "labeling_config.xml").read_text()


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("pairs.xlsx", [], "name it by what it holds: .jsonl"),
        ("missing/pairs.jsonl", [], "No such file or directory; name a file that can be written"),
        ("tasks.parquet", ["--format", "label-studio"], "label-studio is written as JSON"),
        ("pairs.jsonl", ["--format", "answers", "--aggregate", "majority"], "has each person's answer"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(
    to: str, options: list[str], message: str, tmp_path: Path
) -> None:
    project = pair_project(1)
    chosen = options if "--format" in options else ["--format", "trl-preference"]
    with pytest.raises(CommandError, match=message):
        call_command("export", project.slug, "--to", tmp_path / to, *chosen)
    assert list(tmp_path.iterdir()) == []


def test_only_csv_for_a_spreadsheet_changes_cells_that_would_be_formulas(tmp_path: Path) -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    [prompt] = add_prompts(project, ["=1+1"])
    writer = Generator.objects.create(name="writer")
    [task] = create_tasks(project=project, generator=writer, completions={prompt: ["@SUM(A1)", "-5"]})
    says(annotator(), task, Answer(grade=-1))
    cells = {}
    for name, options in {"data": [], "sheet": ["--spreadsheet"]}.items():
        file = tmp_path / f"{name}.csv"
        call_command(
            "export", project.slug, "--format", "trl-preference", "--to", file, *options, verbosity=0
        )
        [row] = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline=""))
        cells[name] = (row["prompt"], row["chosen"], row["rejected"])
    assert cells == {"data": ("=1+1", "@SUM(A1)", "-5"), "sheet": ("'=1+1", "'@SUM(A1)", "-5")}


# -- The API and the page ---------------------------------------------------------------------------------


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def test_the_api_streams_an_export() -> None:
    pair_project(1, 0)
    response: Any = client_of(admin()).get("/api/projects/stories/export/?format=trl-preference&ties=keep")
    assert response.status_code == 200
    assert response["Content-Disposition"] == 'attachment; filename="stories-trl-preference.jsonl"'
    found = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]
    assert [row["tie"] for row in found] == [False, True]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "format"),
        ("?format=yaml", "format"),
        ("?format=answers&split=some", "split"),
        ("?format=answers&aggregate=majority", "aggregate"),
        ("?format=answers&snapshot=12", "snapshot"),
        ("?format=argilla&container=parquet", "container"),
    ],
)
def test_the_api_names_the_option_that_is_wrong(query: str, field: str) -> None:
    pair_project(1)
    response = client_of(admin()).get(f"/api/projects/stories/export/{query}")
    assert response.status_code == 400
    assert field in response.json()


def test_annotators_may_not_export() -> None:
    pair_project(1)
    response = client_of(annotator("bob")).get("/api/projects/stories/export/?format=answers")
    assert response.status_code == 403


def test_reviewers_download_a_file_from_the_export_page(client: Client) -> None:
    pair_project(1)
    client.force_login(reviewer())
    page = client.get("/projects/stories/export/")
    assert "Export answers" in page.text
    response: Any = client.get("/projects/stories/export/file/?format=trl-preference&container=csv")
    lines = b"".join(response.streaming_content).decode("utf-8-sig").splitlines()
    assert lines[0] == "prompt,chosen,rejected,margin,choice,group,annotator,split"
    assert len(lines) == 2


def test_choices_that_do_not_go_together_are_marked_on_the_page(client: Client) -> None:
    pair_project(1)
    client.force_login(reviewer())
    response = client.get("/projects/stories/export/file/?format=answers&container=jsonl&ties=keep")
    assert response.status_code == 400
    assert "answers cannot say that two are equal; trl-preference can." in response.text


# -- The guide --------------------------------------------------------------------------------------------


def test_the_guide_lists_every_format_with_its_default_prompts_and_every_option() -> None:
    guide = (Path(settings.BASE_DIR) / "labeling" / "README.md").read_text(encoding="utf-8")
    section = guide.split("\n## Export\n")[1]
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| .+ \| `(train|all)` \|$", section, flags=re.MULTILINE))
    assert listed == {each.name: each.split for each in FORMATS.values()}
    for container in CONTAINERS:
        assert f"`.{container}`" in section
    parser = load_command_class("training", "export").create_parser("manage.py", "export")
    options = {name for action in parser._actions for name in action.option_strings if name[:2] == "--"}
    django_own = load_command_class("training", "worker").create_parser("manage.py", "worker")
    shared = {name for action in django_own._actions for name in action.option_strings}
    assert {name for name in options - shared if name not in section} == set()
