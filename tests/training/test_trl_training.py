"""TRL's own trainers learn from exports as they are: their defaults, and no line in between.

Needs `.venv-bench`, which `script/bench rlhf` makes.
"""

import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from labeling.feedback import Answer
from labeling.models import Generator, Project, Prompt, Task
from labeling.prompts import add_prompts
from labeling.tasks import create_tasks
from tests.gpt.chat_templates import FAMILIES, save_chat_folder
from tests.labeling.objects import annotator, make_project, says
from training.formats.prompt_completions import ParsedPrompt, parse_prompt
from training.models import ModelVersion

PEER = Path(settings.BASE_DIR) / ".venv-bench" / "bin" / "python"
SCRIPT = Path(__file__).parent / "trl_training.py"
FORMATS = {
    "trl-preference": ("RewardTrainer", "DPOTrainer"),
    "trl-unpaired": ("KTOTrainer",),
    "prompt-completion": ("SFTTrainer",),
}

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.slow,
    pytest.mark.skipif(not PEER.exists(), reason="needs .venv-bench: script/bench rlhf makes it"),
]


@pytest.fixture
def model(own_artifacts: None, tmp_path: Path) -> Path:
    """A tiny chat model, imported and exported."""
    save_chat_folder(tmp_path / "published", FAMILIES["ChatML"])
    call_command("import_model", tmp_path / "published", "--name", "tiny", verbosity=0)
    call_command("export_model", "tiny", tmp_path / "model", verbosity=0)
    return tmp_path / "model"


def answered_project(*, conversations: bool) -> Project:
    """Rankings of two people with ties, all-bad answers and held-out prompts among them."""
    project = make_project("animals", samples_per_task=3, annotations_per_task=2)
    prompts: list[ParsedPrompt | str] = [
        parse_prompt([{"role": "user", "content": f"Tell me of animal {number}"}])
        if conversations
        else f"The animal {number}"
        for number in range(10)
    ]
    writer = Generator.objects.create(name="writer")
    texts = [" is a fox.", " is an owl.", " is …"]
    tasks = create_tasks(
        project=project,
        generator=writer,
        completions=dict.fromkeys(add_prompts(project, prompts), texts),
    )
    Prompt.objects.filter(pk__in=[task.prompt_id for task in tasks[-2:]]).update(split="heldout")
    answer_all(tasks)
    return project


def answer_all(tasks: list[Task]) -> None:
    people = [annotator(name) for name in ("ann", "bob")]
    given = [
        Answer(ranks=(1, 2, 3)),
        Answer(ranks=(2, 1, 3)),
        Answer(ranks=(1, 2, 2)),
        Answer(ranks=(1, 1, 1)),
        Answer(all_bad=True),
    ]
    for number, task in enumerate(tasks):
        for turn, person in enumerate(people):
            says(person, task, given[(number + turn) % len(given)])


def train(trainer: str, model: Path, kind: str, path: Path, out: Path) -> dict[str, Any]:
    """Two steps in the peer's environment: what its script says of them."""
    command = [PEER, SCRIPT, trainer, model, kind, path, out]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("conversations", [False, True], ids=["text", "conversations"])
@pytest.mark.parametrize(
    ("format_name", "trainer"), [(name, each) for name, trainers in FORMATS.items() for each in trainers]
)
def test_a_trainer_takes_two_steps(
    format_name: str, trainer: str, *, conversations: bool, model: Path, tmp_path: Path
) -> None:
    project = answered_project(conversations=conversations)
    file = tmp_path / "data.jsonl"
    call_command("export", project.slug, "--format", format_name, "--to", file, verbosity=0)
    found = train(trainer, model, "json", file, tmp_path / "out")
    assert found["rows"] == len(file.read_text().splitlines()) > 2
    assert "tie" not in found["columns"]
    assert math.isfinite(found["loss"])


@pytest.mark.parametrize("container", ["json", "csv", "parquet", "jsonl.gz"])
def test_every_container_is_trained_on(container: str, model: Path, tmp_path: Path) -> None:
    project = answered_project(conversations=False)
    file = tmp_path / f"data.{container}"
    call_command("export", project.slug, "--format", "trl-preference", "--to", file, verbosity=0)
    kind = {"csv": "csv", "parquet": "parquet"}.get(container, "json")
    assert math.isfinite(train("DPOTrainer", model, kind, file, tmp_path / "out")["loss"])


def test_a_data_set_is_trained_on_by_the_name_of_its_folder(model: Path, tmp_path: Path) -> None:
    project = answered_project(conversations=True)
    call_command("export", project.slug, "--to", tmp_path / "data", verbosity=0)
    found = train("RewardTrainer", model, "folder", tmp_path / "data", tmp_path / "out")
    assert math.isfinite(found["loss"])


def test_the_tutorial_runs_as_it_is_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(settings.BASE_DIR) / "docs" / "going-to-trl.md").read_text(encoding="utf-8")
    project = answered_project(conversations=False)
    Project.objects.filter(pk=project.pk).update(slug="stories")
    ModelVersion.objects.filter(name="tiny").update(name="base")
    model.rename(tmp_path / "published model")
    monkeypatch.chdir(tmp_path)
    for line in re.findall(r"^\$ .venv/bin/python manage.py (.+)$", page, flags=re.MULTILINE):
        call_command(*line.split(), verbosity=0)
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        done = subprocess.run([PEER, "-c", block], capture_output=True, text=True, check=False, timeout=500)
        assert done.returncode == 0, done.stderr[-3000:]
    assert {"reward", "DPOTrainer", "KTOTrainer", "SFTTrainer"} <= {path.name for path in tmp_path.iterdir()}
