"""`manage.py loop`: a whole round from nothing, in one process, on the story corpus."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from labeling.models import Annotation, Project, Task
from tests.training.factories import QUICK_PRETRAIN
from training.models import ModelVersion, Run

pytestmark = pytest.mark.django_db(transaction=True)


def options(**values: object) -> list[str]:
    return [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def test_two_rounds_leave_a_lineage_and_a_report(tmp_path: Path) -> None:
    call_command("pretrain", *options(name="stories", **QUICK_PRETRAIN), stdout=StringIO())
    report, out = tmp_path / "report.json", StringIO()
    call_command(
        "loop",
        *options(policy="stories", rounds=2, tasks=8, steps=2, max_new_tokens=8, count=2, report=report),
        stdout=out,
    )
    written = json.loads(report.read_text())
    assert written["project"] == "stories"
    first, second = written["rounds"]
    assert set(first) == {
        "round", "tasks", "annotations", "comparisons", "reward_accuracy", "gold_before", "gold_after",
        "gold_win_rate", "kl", "seconds",
    }  # fmt: skip
    assert set(first["seconds"]) == {"sample", "label", "reward", "finetune", "evaluate"}
    assert first["tasks"] == first["annotations"] == 8
    assert second["comparisons"] > first["comparisons"]
    lineage = list(ModelVersion.objects.policies().order_by("pk").values_list("name", "parent__name"))
    assert lineage == [("stories", None), ("stories-2", "stories"), ("stories-3", "stories-2")]
    assert Annotation.objects.for_project(Project.objects.get(slug="stories")).count() == 16
    names = set(Annotation.objects.values_list("assignment__annotator__username", flat=True))
    assert names == {"simulated-1", "simulated-2"}
    assert set(Run.objects.values_list("status", flat=True)) == {"succeeded"}
    text = out.getvalue()
    assert text.count("before") >= 5
    assert text.count("after") >= 5


@pytest.mark.slow
def test_later_rounds_ask_what_the_reward_model_before_would_learn_from(tmp_path: Path) -> None:
    call_command("pretrain", *options(name="stories", **QUICK_PRETRAIN), stdout=StringIO())
    report, out = tmp_path / "report.json", StringIO()
    asked = options(policy="stories", rounds=2, tasks=16, steps=2, max_new_tokens=8, count=2, report=report)
    call_command("loop", *asked, "--choose=disagreement", "--annotations=8", stdout=out)
    first, second = json.loads(report.read_text())["rounds"]
    assert "order" not in first["seconds"]
    assert "order" in second["seconds"]
    assert (first["annotations"], second["annotations"]) == (8, 8)
    ordered = Run.objects.get(kind=Run.Kind.ORDER_TASKS)
    assert ordered.metrics["tasks"] == 24
    assert f"{ordered.metrics['chosen']} of 24 tasks chosen by disagreement" in out.getvalue()
    answered = Task.objects.filter(assignments__state="submitted", priority__gt=0)
    assert set(answered.values_list("priority", flat=True)) == set(range(1, 9))
    assert ordered.reward is not None
    assert ordered.reward.run is not None
    assert ordered.reward.run.parameters["members"] == 4


@pytest.mark.parametrize("annotations", [[], ["--annotations=20"]])
def test_to_choose_there_must_be_more_tasks_than_answers(annotations: list[str]) -> None:
    with pytest.raises(CommandError, match="--annotations: with --choose, give fewer than the 16 tasks"):
        call_command("loop", "--tasks=16", "--choose=closeness", *annotations)


def test_it_waits_for_people_and_goes_on_once_enough_answers_are_in(tmp_path: Path) -> None:
    """The people here are a thread that answers through the queue while the loop waits."""
    from threading import Thread

    from django.db import connection

    from training.execution.simulated_annotators import answer_open_tasks
    from training.rlhf.config import SimulatedAnnotatorsConfig
    from training.rlhf.reward_functions import story_reward_function

    call_command("pretrain", *options(name="stories", **QUICK_PRETRAIN), stdout=StringIO())
    out = StringIO()

    def people() -> None:
        import time

        try:
            while "waiting for" not in out.getvalue():
                time.sleep(0.1)
            project = Project.objects.get(slug="stories")
            answer_open_tasks(project, story_reward_function, SimulatedAnnotatorsConfig(count=1))
        finally:
            connection.close()

    thread = Thread(target=people)
    thread.start()
    report = tmp_path / "report.json"
    call_command(
        "loop",
        *options(policy="stories", annotators="human", tasks=8, steps=2, max_new_tokens=8, report=report),
        stdout=out,
    )
    thread.join()
    (only,) = json.loads(report.read_text())["rounds"]
    assert only["annotations"] == 8
    assert only["gold_win_rate"] is None
