"""A data set in a folder: what `datasets` and Croissant's own library read of it, and what its card says."""

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from labeling.feedback import Answer
from labeling.models import PreferenceSnapshot, Project, Prompt, Task
from labeling.people.answer_deletion import delete_answers
from labeling.preferences import create_snapshot
from tests.labeling.objects import annotator, make_project, make_tasks, says
from tests.training.factories import make_reward
from training.models import Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    """Two people's pairs, on training and held-out prompts, with a tie."""
    project = make_project(feedback="pair", samples_per_task=2, annotations_per_task=2)
    project.revise_guidelines("# Rules\n\nPrefer the *kind* one.")
    tasks = make_tasks(project, 12, samples=2)
    for name in ("ann", "bob"):
        person = annotator(name)
        for number, task in enumerate(tasks):
            says(person, task, Answer(grade=0 if number == 3 else 2 if number % 2 else -1))
    Task.objects.update(open=0)
    Prompt.objects.filter(pk__in=[task.prompt_id for task in tasks[-4:]]).update(split="heldout")
    return project


def exported(project: Project, folder: Path, *options: str) -> Path:
    call_command("export", project.slug, "--to", folder, *options, verbosity=0)
    return folder


def card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def test_datasets_reads_every_configuration_and_split(project: Project, tmp_path: Path) -> None:
    folder = exported(project, tmp_path / "data")
    sizes = {
        name: {
            split: len(rows)
            for split, rows in load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache")).items()
        }
        for name in ("preferences", "answers", "prompts")
    }
    assert sizes == {
        "preferences": {"train": 14, "heldout": 8},
        "answers": {"train": 16, "heldout": 8},
        "prompts": {"train": 8, "heldout": 4},
    }
    first = load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache"))[0]
    assert (first["prompt"], first["chosen"], first["rejected"]) == ("Prompt 0", "A0", "B0")


@pytest.mark.filterwarnings("ignore")
def test_croissant_describes_every_file(project: Project, tmp_path: Path) -> None:
    import mlcroissant

    folder = exported(project, tmp_path / "data")
    described = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert not described.metadata.ctx.issues.errors
    counts = {each.id: len(list(described.records(each.id))) for each in described.metadata.record_sets}
    assert counts == {
        "preferences-train": 14,
        "preferences-heldout": 8,
        "answers-train": 16,
        "answers-heldout": 8,
        "prompts-train": 8,
        "prompts-heldout": 4,
    }
    first: Any = next(iter(described.records("preferences-train")))
    assert first["preferences-train/chosen"] == b"A0"


def test_the_card_says_what_is_in_it_how_people_agreed_and_what_they_were_asked(
    project: Project, tmp_path: Path
) -> None:
    text = card(exported(project, tmp_path / "data"))
    assert "| preferences | train | 14 | `preferences/train.parquet` |" in text
    assert "2 people gave 24 answers and skipped 0 tasks; 0 answers say that all samples are bad." in text
    assert "They are called by number." in text
    assert "| Pairwise agreement | 100 % | 100 % to 100 % | 12 |" in text
    assert "> # Rules" in text
    assert "ann" not in text.split("## Columns")[0].replace("annotator", "").replace("Annotators", "")


def test_the_card_names_the_snapshot_and_the_models_that_learned_from_it(
    project: Project, tmp_path: Path, own_artifacts: None
) -> None:
    snapshot = create_snapshot(project)
    reward = make_reward()
    run = Run.objects.create(kind=Run.Kind.TRAIN_REWARD, project=project, snapshot=snapshot)
    type(reward).objects.filter(pk=reward.pk).update(run=run)
    text = card(exported(project, tmp_path / "data"))
    assert f"The rows for training are those of snapshot `{snapshot.hash}`." in text
    assert f"| `{snapshot.hash[:12]}` |" in text
    assert f"| {reward.name} |" in text
    assert PreferenceSnapshot.objects.count() == 1


def test_the_card_counts_what_was_withdrawn(project: Project, tmp_path: Path) -> None:
    create_snapshot(project)
    root = User.objects.create_superuser("root")
    delete_answers(User.objects.get(username="bob"), projects=[project], by=root)
    folder = exported(project, tmp_path / "data")
    assert "12 answers were withdrawn since from snapshots of the project" in card(folder)
    rows = load_dataset(str(folder), "answers", split="train", cache_dir=str(tmp_path / "cache"))
    assert set(rows["annotator"]) == {"1"}


def test_an_error_leaves_no_folder(project: Project, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="has none that begins with"):
        exported(project, tmp_path / "data", "--snapshot", "abc")
    assert list(tmp_path.iterdir()) == []


def test_texts_that_people_wrote_are_demonstrations(tmp_path: Path) -> None:
    project = make_project(feedback="rewrite")
    [task] = make_tasks(project)
    says(annotator(), task, Answer(text="mine"))
    folder = exported(project, tmp_path / "data")
    [row] = load_dataset(str(folder), "demonstrations", split="train", cache_dir=str(tmp_path / "cache"))
    assert (row["prompt"], row["completion"]) == ("Prompt 0", "mine")
    names = {each["name"] for each in json.loads((folder / "croissant.json").read_text())["recordSet"]}
    assert names == {"demonstrations-train", "answers-train", "prompts-train"}
