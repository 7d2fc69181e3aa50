"""The tiny chat story: a model reads dialogues, answers, is judged, and learns from that; as commands."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from feedback_site.embedded_postgres.processes import server_processes, wait_for_end
from training.formats.messages import parse_dialogue

DIALOGUES = Path(settings.BASE_DIR).parent / "shared" / "data" / "preferences" / "hh-rlhf"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DIALOGUES.is_dir(), reason="the dialogues of hh-rlhf are not on this machine"),
]

MAKE_PROJECT = """
from labeling.models import Project
Project.objects.create(slug="talk", name="Talk", samples_per_task=2)
"""
ANSWER = """
from labeling.models import Project
from training.execution.model_loading import load_scorer
from training.execution.simulated_annotators import answer_open_tasks
from training.rlhf.config import SimulatedAnnotatorsConfig
answer_open_tasks(Project.objects.get(slug="talk"), load_scorer("people"), SimulatedAnnotatorsConfig())
"""
REPORT = """
import json
from labeling.preferences import comparisons
from labeling.models import Project
from training.models import Run
rows = list(comparisons(Project.objects.get(slug="talk")))
runs = {run.kind + str(run.pk): run.metrics for run in Run.objects.order_by("pk")}
print(json.dumps({"rows": rows, "runs": runs}))
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home without anything in it; its database server has ended after the test."""
    yield tmp_path / "home"
    for pid in server_processes(tmp_path / "home" / "postgres" / "data"):
        wait_for_end(pid, seconds=20)


def manage(home: Path, *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "DEBUG"}}
    ended = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env={**kept, "HONE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def write_prompts(path: Path, *, count: int) -> None:
    """The beginnings of short dialogues, up to what the assistant is to answer."""
    prompts: dict[str, None] = {}
    for name in ("helpful", "harmless"):
        with gzip.open(DIALOGUES / f"{name}-base_test.jsonl.gz", "rt") as file:
            for line in file:
                messages = parse_dialogue(json.loads(line)["chosen"]) or []
                while messages and messages[-1]["role"] != "user":
                    messages.pop()
                if messages and sum(len(message["content"]) for message in messages) < 400:
                    prompts[json.dumps({"messages": messages})] = None
    step = len(prompts) // count
    path.write_text("\n".join(list(prompts)[::step][:count]))


def test_a_chat_model_learns_from_what_is_preferred(home: Path, tmp_path: Path) -> None:
    sources = [str(DIALOGUES / f"{name}-base_test.jsonl.gz") for name in ("helpful", "harmless")]
    manage(
        home, "pretrain", "--chat", "--source", ",".join(sources), "--field", "chosen", "--name", "hh",
        "--context", "256", "--minutes", "2",
    )  # fmt: skip
    # What people preferred in the published dialogues is the taste of the annotators below.
    manage(
        home, "train_reward", "--chat", "--policy", "hh", "--preferences", sources[0], "--name", "people",
        "--minutes", "1",
    )  # fmt: skip
    manage(home, "shell", "-c", MAKE_PROJECT)
    write_prompts(tmp_path / "prompts.jsonl", count=300)
    manage(home, "add_prompts", "talk", "--file", str(tmp_path / "prompts.jsonl"), "--heldout", "0.25")
    manage(
        home, "sample", "--chat", "--project", "talk", "--policy", "hh", "--tasks", "150",
        "--max-new-tokens", "32",
    )  # fmt: skip
    manage(home, "shell", "-c", ANSWER)
    manage(
        home, "train_reward", "--chat", "--project", "talk", "--policy", "hh", "--name", "taste",
        "--gold", "people",
    )  # fmt: skip
    manage(
        home, "finetune", "--chat", "--project", "talk", "--policy", "hh", "--reward", "taste",
        "--gold", "people", "--name", "hh-tuned", "--steps", "20", "--max-new-tokens", "32",
    )  # fmt: skip
    report = json.loads(manage(home, "shell", "-c", REPORT).splitlines()[-1])
    assert len(report["rows"]) > 100
    assert all(row["messages"][-1]["role"] == "user" for row in report["rows"])
    assert all(row["chosen"].startswith(" ") for row in report["rows"])
    tuned = next(metrics for name, metrics in report["runs"].items() if name.startswith("finetune"))
    assert tuned["reward_after"] > tuned["reward_before"]
    answer = manage(home, "generate", "--policy", "hh-tuned", "--chat", "How do I bake bread?", "--seed", "1")
    assert answer.strip()
    assert "Human:" not in answer
