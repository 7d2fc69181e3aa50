"""What a run records: stages, samples, resource usage and how it ended."""

import logging
import warnings
from typing import Any

import pytest

from tests.training.factories import (
    QUICK_PRETRAIN,
    execute_run,
    make_policy,
    make_project,
    make_reward,
    queue_run,
)
from training import artifacts
from training.execution import run_log
from training.execution.attempt import Attempt, StopReason
from training.execution.code_version import code_version
from training.execution.executor import execute
from training.models import ModelVersion, Run

pytestmark = pytest.mark.django_db(transaction=True)

QUICK: dict[str, Any] = QUICK_PRETRAIN | {"name": "small", "evaluate_every": 2, "evaluation_tokens": 500}


def attempt_at(run: Run) -> Attempt:
    assert run.begin(code_version="commit abc")
    return Attempt(run)


def log_of(run: Run) -> list[tuple[str, str]]:
    return list(run.log.values_list("level", "text"))


def test_a_pretraining_shows_what_it_writes_and_says_what_it_does() -> None:
    run = execute_run(Run.Kind.PRETRAIN, **QUICK)
    shown = list(run.samples.values_list("step", "position"))
    assert sorted(shown) == [(step, position) for step in (0, 2, 4) for position in range(3)]
    prompts = run.samples.filter(step=0).order_by("position").values_list("prompt", flat=True)
    assert prompts[0] == ""
    assert all(prompts[1:])
    assert list(run.samples.filter(step=4).order_by("position").values_list("prompt", flat=True)) == list(
        prompts
    )
    texts = [text for _, text in log_of(run)]
    assert texts[0].startswith("Attempt 1 on ")
    assert any(text.startswith("step 2: validation loss") for text in texts)
    assert texts[-1].startswith("Succeeded after")
    assert run.code_version == code_version()
    assert run.resources["memory"] > 1e7
    assert run.resources["memory"] <= run.resources["peak_memory"] < run.resources["machine_memory"]
    assert run.resources["threads"] >= 1
    assert run.resources["cpu"] >= 0


def test_a_fine_tune_shows_its_held_out_completions_with_their_scores() -> None:
    make_project(heldout=6)
    make_policy()
    make_reward()
    run = execute_run(
        Run.Kind.FINETUNE, name="tuned", project="letters", policy="base", reward="taste", steps=2, minutes=0,
        evaluate_every=1, prompts_per_step=2, samples_per_prompt=2, max_new_tokens=4,
    )  # fmt: skip
    assert sorted(set(run.samples.values_list("step", flat=True))) == [0, 1, 2]
    last = run.samples.filter(step=2)
    assert last.count() == 4
    assert all(isinstance(each.score, float) for each in last)
    # The same prompts and texts as the evaluation's own report.
    report = run.metrics["examples"][:4] if run.metrics["best_step"] == 2 else None
    assert report is None or [each["completion"] for each in report] == [each.text for each in last]


def test_warnings_and_what_training_logs_stand_in_the_log() -> None:
    with attempt_at(queue_run(Run.Kind.PRETRAIN, **QUICK)) as attempt:
        logging.getLogger("training.elsewhere").warning("odd: %s", 3)
        logging.getLogger("other").warning("not ours")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("slow path", UserWarning, stacklevel=1)
        attempt.run.finish(Run.Status.FAILED, error="It broke.")
    log_lines = log_of(attempt.run)
    assert ("warning", "odd: 3") in log_lines
    assert [text for level, text in log_lines if "slow path" in text and level == "warning"]
    assert "not ours" not in str(log_lines)
    assert log_lines[-1] == ("error", "Failed: It broke.")
    logging.getLogger("training.elsewhere").warning("after the end")
    assert len(log_of(attempt.run)) == len(log_lines)


def test_a_stage_is_said_once_however_often_its_count_goes_on() -> None:
    with attempt_at(queue_run(Run.Kind.PRETRAIN, **QUICK)) as attempt:
        for done in range(5):
            attempt.report(f"prompt {done} of 5")
        attempt.report("measuring")
        attempt.run.finish(Run.Status.SUCCEEDED)
    assert [text for _, text in log_of(attempt.run)][1:3] == ["prompt 0 of 5", "measuring"]


def test_an_endless_log_is_cut_but_keeps_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "MAX_LINES", 5)
    with attempt_at(queue_run(Run.Kind.PRETRAIN, **QUICK)) as attempt:
        for number in range(20):
            logging.getLogger("training").warning("again %s", number)
        attempt.run.finish(Run.Status.FAILED, error="Enough.")
    log_lines = [text for _, text in log_of(attempt.run)]
    assert len(log_lines) == 6
    assert "left out" in log_lines[-2]
    assert log_lines[-1] == "Failed: Enough."


def test_a_crash_leaves_its_traceback_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise ZeroDivisionError("by design")

    run = queue_run(Run.Kind.PRETRAIN, detached=True, **QUICK)
    monkeypatch.setattr(artifacts, "store", refuse)
    assert not execute(run)
    errors = [text for level, text in log_of(run) if level == "error"]
    assert "Traceback" in errors[0]
    assert errors[-1] == "Failed: ZeroDivisionError: by design"


def test_a_lost_attempt_says_nothing_more() -> None:
    with attempt_at(queue_run(Run.Kind.PRETRAIN, **QUICK)) as attempt:
        attempt.stop(StopReason.LOST)
        logging.getLogger("training").warning("too late")
    assert log_of(attempt.run) == []
    assert not ModelVersion.objects.exists()
