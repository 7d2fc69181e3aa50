"""When a round begins, what it waits for, and how it ends."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from labeling.feedback import Answer
from labeling.models import Project
from tests.labeling.objects import admin, annotator, make_tasks, says
from tests.training.factories import make_project
from training import rounds, runs
from training.models import Automation, ModelVersion, Round, Run

pytestmark = pytest.mark.django_db


def policy(name: str, **fields: Any) -> ModelVersion:
    """A version of which nothing is read but its row."""
    kind = ModelVersion.Kind.POLICY
    return ModelVersion.objects.publish(name=name, kind=kind, artifact=name, artifact_hash="", **fields)


def more_answers(project: Project, *, tasks: int = 2) -> None:
    """Tasks with three samples, each ranked by somebody new: three comparisons a task."""
    person = annotator(f"person-{project.tasks.count()}")
    for task in make_tasks(project, project.tasks.count() + tasks)[-tasks:]:
        says(person, task, Answer(ranks=(1, 2, 3)))


def make_ready_project() -> Project:
    """A project with a policy, and six comparisons."""
    project = make_project()
    policy("base", project=project)
    more_answers(project)
    Automation.objects.create(project=project, train_reward={"epochs": 1}, finetune={"steps": 7})
    return project


def end_run(run: Run | None, status: Run.Status, error: str = "") -> None:
    """The run as if it had been executed to this end."""
    assert run is not None
    run.begin()
    run.finish(status, error=error)


def test_a_round_begins_with_a_reward_model_from_the_version_in_production() -> None:
    project = make_ready_project()
    policy("newer", project=project)
    ModelVersion.objects.filter(name="base").update(stage=ModelVersion.Stage.PRODUCTION)
    ada = admin()
    current = rounds.begin(project, by=ada)
    assert current.train_reward is not None
    assert current.train_reward.policy == ModelVersion.objects.get(name="base")
    assert current.train_reward.owner == current.started_by == ada
    assert current.train_reward.parameters["epochs"] == 1
    assert rounds.advance(project) == current
    current.refresh_from_db()
    assert current.outcome == Round.Outcome.IN_PROGRESS
    assert current.finetune is None


def test_without_production_it_begins_from_the_newest_policy_of_the_project() -> None:
    project = make_ready_project()
    policy("of-another", project=make_project("another"))
    assert rounds.base_policy(project) == ModelVersion.objects.get(name="base")
    newer = policy("base-2", project=project)
    assert rounds.base_policy(project) == newer
    ModelVersion.objects.filter(pk=newer.pk).update(stage=ModelVersion.Stage.ARCHIVED)
    assert rounds.base_policy(project) == ModelVersion.objects.get(name="base")


def test_a_second_round_waits_for_the_first() -> None:
    project = make_ready_project()
    rounds.begin(project)
    with pytest.raises(rounds.CannotBegin, match="Round 1 is in progress"):
        rounds.begin(project)
    assert Run.objects.filter(kind=Run.Kind.TRAIN_REWARD).count() == 1


def test_what_is_missing_is_said_before_anything_is_queued() -> None:
    project = make_project(heldout=0)
    assert "no policy" in rounds.reason_not_to_begin(project)
    policy("base", project=project)
    assert "no comparisons" in rounds.reason_not_to_begin(project)
    more_answers(project)
    assert "held-out prompts" in rounds.reason_not_to_begin(project)
    with pytest.raises(rounds.CannotBegin):
        rounds.begin(project)
    Project.objects.filter(pk=project.pk).update(feedback="rewrite")
    project.refresh_from_db()
    assert "supervised" in rounds.reason_not_to_begin(project)
    assert not Round.objects.exists()
    assert not Run.objects.filter(kind=Run.Kind.TRAIN_REWARD).exists()


def test_a_failed_run_stops_the_round_and_says_why() -> None:
    project = make_ready_project()
    current = rounds.begin(project)
    end_run(current.train_reward, Run.Status.FAILED, "Out of memory: try a smaller batch_size.\nTrace")
    rounds.advance_all()
    current.refresh_from_db()
    assert current.outcome == Round.Outcome.STOPPED
    assert current.message == f"{current.train_reward} failed. Out of memory: try a smaller batch_size."
    assert rounds.reason_not_to_begin(project) == ""


def test_a_round_goes_on_when_the_run_that_stopped_it_is_resumed() -> None:
    project = make_ready_project()
    current = rounds.begin(project)
    run = current.train_reward
    assert run is not None
    run.begin()
    run.record_saved_step(3)
    run.finish(Run.Status.FAILED, error="The machine was switched off.")
    rounds.advance_all()
    rounds.advance_all()
    current.refresh_from_db()
    assert current.outcome == Round.Outcome.STOPPED
    runs.resume(run)
    rounds.advance_all()
    current.refresh_from_db()
    assert (current.outcome, current.message, current.ended_at) == (Round.Outcome.IN_PROGRESS, "", None)


def test_a_round_that_somebody_stops_stays_stopped_while_its_run_winds_up() -> None:
    project = make_ready_project()
    current = rounds.begin(project)
    assert current.train_reward is not None
    current.train_reward.begin()
    rounds.stop(project, by=admin())
    rounds.advance_all()
    current.refresh_from_db()
    assert current.outcome == Round.Outcome.STOPPED


def test_a_paused_run_keeps_the_round_waiting() -> None:
    project = make_ready_project()
    current = rounds.begin(project)
    assert current.train_reward is not None
    runs.pause(current.train_reward)
    rounds.advance(project)
    current.refresh_from_db()
    assert current.outcome == Round.Outcome.IN_PROGRESS


def test_stopping_a_round_cancels_what_it_runs() -> None:
    project = make_ready_project()
    current = rounds.begin(project)
    ada = admin()
    assert rounds.stop(project, by=ada)
    assert not rounds.stop(project, by=ada)
    current.refresh_from_db()
    assert (current.outcome, current.message) == (Round.Outcome.STOPPED, "Stopped by ada.")
    assert current.train_reward is not None
    assert current.train_reward.status == Run.Status.CANCELLED
    assert rounds.advance(project) is None


def test_rounds_begin_by_themselves_only_where_that_is_on_and_enough_is_new() -> None:
    project = make_ready_project()
    found = rounds.count_new_comparisons(project)
    rounds.advance_all()
    assert not Round.objects.exists()
    Automation.objects.update(is_on=True, every=found + 1, changed_by=admin())
    rounds.advance_all()
    assert not Round.objects.exists()
    Automation.objects.update(every=found)
    rounds.advance_all()
    rounds.advance_all()
    current = Round.objects.get()
    assert current.is_automatic
    assert current.comparisons == found
    assert current.train_reward is not None
    assert current.train_reward.owner is not None


def test_after_a_stopped_round_only_later_answers_begin_another() -> None:
    project = make_ready_project()
    Automation.objects.update(is_on=True, every=3)
    rounds.advance_all()
    rounds.stop(project, by=admin())
    rounds.advance_all()
    assert Round.objects.count() == 1
    more_answers(project, tasks=3)
    rounds.advance_all()
    assert Round.objects.count() == 2


def test_no_round_begins_beside_a_reward_model_that_somebody_trains() -> None:
    project = make_ready_project()
    Automation.objects.update(is_on=True, every=1)
    form = runs.form_for(Run.Kind.TRAIN_REWARD, {"project": project.slug, "policy": "base"})
    assert form.is_valid()
    runs.start(form)
    rounds.advance_all()
    assert not Round.objects.exists()


def test_what_fails_in_one_project_stops_no_other() -> None:
    project = make_ready_project()
    current = rounds.begin(project)
    end_run(current.train_reward, Run.Status.CANCELLED)
    broken = make_project("broken")
    odd = Round.objects.create(project=broken, number=1, comparisons=0)
    rounds.advance_all()
    for each in (current, odd):
        each.refresh_from_db()
        assert each.outcome == Round.Outcome.STOPPED
    assert odd.message == "Its run was deleted."


def test_the_candidate_is_tuned_against_the_rounds_reward_model_from_what_is_the_base_then() -> None:
    project = make_ready_project()
    current = rounds.begin(project, by=admin())
    reward = ModelVersion.objects.publish(
        name="taste",
        kind=ModelVersion.Kind.REWARD,
        artifact="taste",
        artifact_hash="",
        run=current.train_reward,
    )
    end_run(current.train_reward, Run.Status.SUCCEEDED)
    promoted = policy("promoted-meanwhile", project=project, stage=ModelVersion.Stage.PRODUCTION)
    rounds.advance_all()
    rounds.advance_all()
    current.refresh_from_db()
    assert current.finetune is not None
    assert (current.finetune.reward, current.finetune.policy) == (reward, promoted)
    assert current.finetune.parameters["steps"] == 7
    assert current.finetune.owner == current.started_by
    end_run(current.finetune, Run.Status.SUCCEEDED)
    rounds.advance_all()
    current.refresh_from_db()
    assert current.outcome == Round.Outcome.DONE


def test_upkeep_costs_three_queries_where_no_round_is_due(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    make_ready_project()
    with django_assert_num_queries(3):
        rounds.advance_all()
