"""`manage.py evaluate --against`: two versions compared by scorers, and blindly by people."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Project, Sample, Task
from labeling.preferences import create_snapshot
from tests.training.factories import (
    admin,
    annotator,
    execute_run,
    make_policy,
    make_project,
    make_reward,
    queue_run,
)
from training.execution.executor import execute
from training.models import ModelVersion, Run

pytestmark = pytest.mark.django_db(transaction=True)


def two_versions() -> Project:
    """`base` and `other`, of different weights, with a project of six held-out prompts."""
    make_policy()
    make_policy("other", seed=1)
    return make_project()


def execute_comparison(**options: Any) -> Run:
    asked = {"policy": "other", "against": "base", "project": "letters", "max_new_tokens": 6}
    return execute_run(Run.Kind.EVALUATE, **asked | options)


def refusal(**options: Any) -> str:
    """Why the evaluation failed."""
    asked = {"policy": "other", "against": "base", "project": "letters", "max_new_tokens": 6}
    run = queue_run(Run.Kind.EVALUATE, detached=True, **asked | options)
    assert not execute(run)
    run.refresh_from_db()
    return run.error


def answer_all(project: Project, name: str = "ann", *, better: str = "other") -> int:
    """A person who prefers what `better` wrote answers all open tasks; returns how many."""
    user = annotator(name)
    count = 0
    while assignment := queue.claim(annotator=user, project=project):
        worse = [sample.generator.name != better for sample in assignment.shown_samples()]
        answer = Answer(ranks=tuple(1 + each for each in worse))
        if project.feedback == Project.FeedbackKind.SCORE:
            answer = Answer(scores=tuple(5 - each for each in worse))
        queue.submit(assignment, answer, client_key="k")
        count += 1
    return count


def row(run: Run, judge: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in run.metrics["judges"] if each["judge"] == judge)
    return found


def test_scorers_judge_what_both_wrote_to_heldout_prompts() -> None:
    two_versions()
    make_reward()
    run = execute_comparison(judge="taste, story-taste")
    assert [each["judge"] for each in run.metrics["judges"]] == ["taste", "story-reward-function"]
    assert [each["kind"] for each in run.metrics["judges"]] == ["reward model", "reward function"]
    won = row(run, "taste")["won"]
    assert won["count"] == run.metrics["prompts"] == 6
    assert won["low"] < won["rate"] < won["high"]
    assert row(run, "taste")["score"] != row(run, "taste")["score_against"]
    heldout = set(Project.objects.get().prompts.filter(split="heldout").values_list("text", flat=True))
    assert {example["prompt"] for example in run.metrics["examples"]} == heldout
    assert {verdict["judge"] for verdict in run.metrics["examples"][0]["verdicts"]} == {
        "taste",
        "story-reward-function",
    }
    ours, theirs = run.metrics["texts"]
    texts = [example["completion"] for example in run.metrics["examples"]]
    assert ours["distinct_texts"] == pytest.approx(len(set(texts)) / 6)
    assert theirs["words"] > 0
    assert not Task.objects.exists()


def test_the_rate_is_that_of_the_points_shown() -> None:
    two_versions()
    make_reward()
    run = execute_comparison(judge="taste")
    points = [example["verdicts"][0]["points"] for example in run.metrics["examples"]]
    assert row(run, "taste")["won"]["rate"] == pytest.approx(sum(points) / 6)
    for example in run.metrics["examples"]:
        verdict = example["verdicts"][0]
        assert (verdict["score"] > verdict["score_against"]) == (verdict["points"] == 1)


def test_blind_tasks_hold_a_sample_of_each_version_for_heldout_prompts() -> None:
    two_versions()
    run = execute_comparison(judge="people", tasks=4)
    assert run.metrics["tasks"] == Task.objects.count() == 4
    for task in Task.objects.all():
        assert task.prompt.split == "heldout"
        assert set(task.samples.values_list("generator__name", flat=True)) == {"base", "other"}
    assert {sample.parameters["max_new_tokens"] for sample in Sample.objects.all()} == {6}


def test_more_tasks_turn_to_new_prompts_and_then_to_new_samples() -> None:
    two_versions()
    execute_comparison(judge="people", tasks=4)
    run = execute_comparison(judge="people", tasks=4)
    assert Task.objects.values("prompt").distinct().count() == 6
    assert Sample.objects.values("prompt", "text", "generator").distinct().count() == 16
    assert not run.metrics["notes"]
    again = execute_comparison(judge="people", tasks=100)
    assert "6 tasks were opened instead of 100" in again.metrics["notes"][0]


def test_people_decide_and_are_named() -> None:
    project = two_versions()
    execute_comparison(judge="people", tasks=6)
    assert answer_all(project) == 6
    run = execute_comparison(judge="people")
    assert not run.metrics.get("tasks")
    found = row(run, "people")
    assert found["won"]["rate"] == 1.0
    assert found["won"]["high"] == 1.0
    assert 0.5 < found["won"]["low"] < 0.7  # Wilson's interval of 6 out of 6
    assert found["annotators"] == [{"annotator": "ann", "answers": 6, "rate": 1.0}]
    assert run.metrics["examples"][0]["verdicts"] == [{"judge": "people", "points": 1.0, "answers": 1}]
    reverse = execute_comparison(judge="people", policy="base", against="other")
    assert row(reverse, "people")["won"]["rate"] == 0.0


def test_several_answers_to_a_prompt_do_not_narrow_the_interval_as_if_they_were_independent() -> None:
    project = two_versions()
    project.annotations_per_task = 3
    project.save()
    execute_comparison(judge="people", tasks=3)
    for name in ("ann", "bob", "cem"):
        answer_all(project, name)
    won = row(execute_comparison(judge="people"), "people")["won"]
    assert won["count"] == 9
    assert won["low"] < 0.5  # 9 of 9 independent answers would begin at 0.70


def test_scorers_are_held_against_what_people_said() -> None:
    project = two_versions()
    make_reward()
    execute_comparison(judge="people", tasks=6)
    answer_all(project)
    run = execute_comparison(judge="people,taste")
    agreed = row(run, "taste")["agreement"]
    assert agreed["count"] == 6
    verdict = [
        {each["judge"]: each["points"] for each in example["verdicts"]}
        for example in run.metrics["examples"][:6]
    ]
    assert agreed["rate"] == pytest.approx(sum(each["taste"] == each["people"] for each in verdict) / 6)


@pytest.mark.parametrize("feedback", ["rank", "score"])
def test_answers_on_heldout_prompts_never_reach_training(feedback: str) -> None:
    project = two_versions()
    Project.objects.update(feedback=feedback)
    execute_comparison(judge="people", tasks=6)
    project.refresh_from_db()
    answer_all(project)
    snapshot = create_snapshot(project)
    assert snapshot.count == 6
    assert snapshot.rating_count == (12 if feedback == "score" else 0)
    for kind in (Run.Kind.TRAIN_REWARD, Run.Kind.DPO, Run.Kind.SUPERVISED):
        run = queue_run(kind, detached=True, project="letters", policy="base", name="learner")
        assert not execute(run)
        run.refresh_from_db()
        assert "no comparisons yet" in run.error
    assert not ModelVersion.objects.filter(name="learner").exists()


def test_what_cannot_be_answered_is_said_in_one_line() -> None:
    project = two_versions()
    assert "open some with --tasks N" in refusal(judge="people")
    execute_comparison(judge="people", tasks=3)
    assert "none of the 3 blind tasks" in refusal(judge="people")
    make_policy("twin", seed=1)
    assert "wrote the same" in refusal(judge="people", tasks=3, against="twin", temperature=0.0)
    assert project.tasks.count() == 3


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"judge": "nobody"}, "--judge: there is no reward model “nobody”"),
        ({"judge": "taste,nobody"}, "--judge: there is no reward model “nobody”"),
        ({"judge": ","}, "--judge: name a judge"),
        ({"judge": "taste", "tasks": "3"}, "--tasks: .*name people in --judge"),
        ({"judge": "people", "against": "other"}, "--against: people compare two different models"),
    ],
)
def test_what_was_asked_wrongly_is_refused_by_name(asked: dict[str, str], message: str) -> None:
    two_versions()
    make_reward()
    options = {"policy": "other", "against": "base", "project": "letters"} | asked
    with pytest.raises(CommandError, match=message):
        call_command("evaluate", *(part for name, value in options.items() for part in (f"--{name}", value)))
    assert not Run.objects.exists()


def test_a_reward_model_that_the_version_was_tuned_against_is_no_independent_judge() -> None:
    two_versions()
    reward = make_reward()
    tuning = Run.objects.create(kind=Run.Kind.FINETUNE, reward=reward)
    ModelVersion.objects.filter(name="other").update(run=tuning)
    notes = execute_comparison(judge="taste,story-reward-function").metrics["notes"]
    assert len(notes) == 1
    assert "other was tuned against taste" in notes[0]


def test_the_command_shows_a_table_of_judges() -> None:
    project = two_versions()
    make_reward()
    execute_comparison(judge="people", tasks=6)
    answer_all(project)
    terminal = io.StringIO()
    call_command(
        "evaluate", "--policy", "other", "--against", "base", "--project", "letters",
        "--judge", "people,taste,story-reward-function", "--max-new-tokens", "6", stdout=terminal,
    )  # fmt: skip
    text = terminal.getvalue()
    for shown in (
        "other wins",
        "95 % interval",
        "people",
        "taste",
        "story-reward-function",
        "100%",
        "ann",
        "Distinct",
    ):
        assert shown in text
    assert "6 answers by 1 person on 6 prompts" in text


def test_the_page_shows_each_judge_the_people_and_the_pairs(client: Client) -> None:
    project = two_versions()
    make_reward()
    execute_comparison(judge="people", tasks=6)
    answer_all(project)
    run = execute_comparison(judge="people,taste")
    client.force_login(admin())
    page = client.get(run.get_absolute_url()).content.decode()
    for shown in ("other vs base", "blind comparisons", "6 answers by 1 person on 6 prompts", "taste"):
        assert shown in page
    assert page.count('class="interval') == 2
    assert page.count('class="example"') == len(run.metrics["examples"]) == 8
    assert page.count('<span class="who">people:</span> other') == 6
    assert ">ann<" in page


def test_the_page_says_what_comes_after_blind_tasks_were_opened(client: Client) -> None:
    two_versions()
    run = execute_comparison(judge="people", tasks=4)
    client.force_login(admin())
    page = client.get(run.get_absolute_url()).content.decode()
    assert "4 blind tasks opened at /projects/letters/work/" in page
    assert "--policy other --against base --project letters --judge people" in page
    assert "no answers yet" in page


def test_text_of_models_and_names_of_judges_are_escaped(client: Client) -> None:
    two_versions()
    make_reward()
    run = execute_comparison(judge="taste")
    metrics = run.metrics
    metrics["judges"][0]["judge"] = "<em>taste"
    metrics["examples"][0] |= {"prompt": "<b>", "completion": "<script>x", "against": "<i>"}
    Run.objects.filter(pk=run.pk).update(metrics=metrics)
    client.force_login(admin())
    page = client.get(run.get_absolute_url()).content.decode()
    for raw in ("<em>taste", "<script>x", "<b>", "<i>"):
        assert raw not in page
    assert "&lt;script&gt;x" in page


def test_the_best_of_several_completions_is_compared() -> None:
    two_versions()
    make_reward()
    run = execute_comparison(against="other", best_of=8, reward="taste", judge="taste,story-reward-function")
    assert row(run, "taste")["won"]["rate"] > 0.5
    assert row(run, "taste")["score"] > row(run, "taste")["score_against"]
    curve = run.metrics["best_of"]
    assert [each["n"] for each in curve] == [1, 2, 4, 8]
    assert [each["kl"] for each in curve] == pytest.approx([0, 0.193147, 0.636294, 1.204442], abs=1e-5)
    assert curve[-1]["reward"] == pytest.approx(row(run, "taste")["score"], rel=1e-5)
    assert [each["reward"] for each in curve] == sorted(each["reward"] for each in curve)
    assert set(curve[0]["judges"]) == {"taste", "story-reward-function"}
    assert "taste selected the completions that it judges" in run.metrics["notes"][0]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"best-of": "4", "judge": "taste"}, "--reward: name the reward model that picks"),
        ({"reward": "taste", "judge": "taste"}, "--best-of: give the number of completions"),
        ({"best-of": "4", "reward": "taste", "judge": "people"}, "--best-of: people judge"),
    ],
)
def test_best_of_without_what_it_needs_is_refused(asked: dict[str, str], message: str) -> None:
    two_versions()
    make_reward()
    options = {"policy": "other", "against": "base", "project": "letters"} | asked
    with pytest.raises(CommandError, match=message):
        call_command("evaluate", *(part for name, value in options.items() for part in (f"--{name}", value)))
