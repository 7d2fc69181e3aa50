"""How the result of a run is published: under its name, safe on disk, and though the database restarts."""

import errno
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django import Settings

from labeling.models import Generator
from tests.training.factories import begin_run, execute_run, make_policy, make_project, make_reward, queue_run
from training import artifacts, runs
from training.execution.attempt import Attempt
from training.execution.executor import execute, save_result
from training.execution.result import NewVersion, RunResult
from training.forms.base import name_is_taken
from training.forms.endpoints import EndpointForm
from training.gpt.training_loop import Sample
from training.models import HEARTBEAT_TIMEOUT, ModelVersion, Run

pytestmark = pytest.mark.django_db(transaction=True)

QUICK: dict[str, Any] = {
    "project": "letters",
    "policy": "base",
    "reward": "taste",
    "steps": 1,
    "prompts_per_step": 4,
    "max_new_tokens": 4,
    "heldout_prompts": 4,
    "device": "cpu",
}


@pytest.fixture
def ready() -> None:
    """A project, a policy and a reward model."""
    make_project()
    make_policy()
    make_reward()


def stored_folders() -> set[str]:
    """The folders in the artifact storage."""
    return {path.name for path in Path(artifacts.artifact_storage().path("")).glob("*")}


def versions_folders() -> set[str]:
    return set(ModelVersion.objects.values_list("artifact", flat=True))


def files_in(tmp_path: Path) -> Path:
    """A folder of files of a model."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"x")
    return folder


def lose_the_connection() -> None:
    """What a restart of the database does to a connection in use."""
    with connection.cursor() as cursor, pytest.raises(OperationalError):
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_the_name_of_a_version_is_reserved_while_its_run_waits_works_or_pauses(ready: None) -> None:
    run = queue_run(Run.Kind.FINETUNE, name="new", **QUICK)
    for status in ("queued", "running", "paused"):
        if status == "running":
            run.begin()
        if status == "paused":
            run.finish(Run.Status.PAUSED)
        form = runs.form_for(Run.Kind.FINETUNE, {"name": "new", **QUICK})
        assert "“new” is taken" in str(form.errors), status
        endpoint = EndpointForm({"name": "new", "url": "https://models.example/v1", "model": "m"})
        assert "“new” is taken" in str(endpoint.errors["name"]), status
    runs.resume(run, detached=False)
    assert run.parameters["name"] == "new"
    runs.cancel(run)
    assert not name_is_taken("new")


def test_of_two_that_ask_for_a_name_at_once_one_gets_the_next(ready: None) -> None:
    forms = [runs.form_for(Run.Kind.FINETUNE, {"name": "new", **QUICK}) for _ in range(2)]
    assert all(form.is_valid() for form in forms)
    assert [runs.start(form).parameters["name"] for form in forms] == ["new", "new-2"]


def test_a_name_that_was_taken_all_the_same_costs_no_work(ready: None) -> None:
    run = queue_run(Run.Kind.FINETUNE, name="new", **QUICK)
    Generator.objects.create(name="new")
    assert execute(run), run.error
    assert run.version.name == run.parameters["name"] == "new-2"


@pytest.mark.parametrize("detached", [True, False])
def test_files_of_a_killed_attempt_are_collected_when_it_is_found_dead(
    detached: bool, tmp_path: Path
) -> None:
    run = begin_run(detached=detached)
    before = stored_folders()
    artifacts.store(files_in(tmp_path), name="new", run=run)
    assert stored_folders() != before
    Run.objects.update(heartbeat_at=timezone.now() - HEARTBEAT_TIMEOUT - timedelta(seconds=1))
    assert runs.recover_dead_runs() == 1
    assert stored_folders() == before
    assert not artifacts.note_of(run).exists()


def test_files_of_a_killed_attempt_are_collected_by_the_next(ready: None, tmp_path: Path) -> None:
    run = queue_run(Run.Kind.FINETUNE, name="new", **QUICK)
    artifacts.store(files_in(tmp_path), name="new", run=run)
    assert execute(run), run.error
    assert stored_folders() == versions_folders()
    assert not artifacts.note_of(run).exists()


class FullDisk(FileSystemStorage):
    """A disk with room for one file."""

    def _save(self, name: str, content: File) -> str:
        if any(Path(self.path("")).glob("new*/*")):
            raise OSError(errno.ENOSPC, "No space left on device")
        saved: str = super()._save(name, content)  # type: ignore[misc]
        return saved


def test_a_full_disk_fails_the_run_in_words_and_leaves_no_files(ready: None, settings: Settings) -> None:
    before = stored_folders()
    place = artifacts.artifact_storage().path("")
    settings.STORAGES = settings.STORAGES | {
        "artifacts": {"BACKEND": f"{__name__}.FullDisk", "OPTIONS": {"location": place}}
    }
    run = queue_run(Run.Kind.FINETUNE, name="new", detached=True, **QUICK)
    assert not execute(run)
    assert run.error.startswith("The disk is full: free some space")
    assert stored_folders() == before


def test_a_result_is_published_although_the_database_goes_away(tmp_path: Path) -> None:
    run = begin_run(parameters={"name": "new"})
    tries = []

    def record() -> None:
        tries.append(1)
        if len(tries) == 1:
            lose_the_connection()

    version = NewVersion(folder=files_in(tmp_path), kind=ModelVersion.Kind.POLICY, parent=None)
    save_result(run, RunResult(metrics={}, version=version, record=record))
    assert len(tries) == 2
    assert run.status == Run.Status.SUCCEEDED
    assert stored_folders() == {ModelVersion.objects.get(name="new").artifact}


def test_a_result_that_was_written_already_is_not_written_again() -> None:
    run, recorded = begin_run(), []
    for _ in range(2):
        save_result(run, RunResult(metrics={}, record=lambda: recorded.append(1)))
    assert len(recorded) == 1
    assert run.status == Run.Status.SUCCEEDED


def test_what_an_attempt_measures_outlives_a_lost_connection() -> None:
    run = begin_run()
    with Attempt(run) as attempt:
        attempt.on_step(1, 0.5, {"loss": 1.0})
        lose_the_connection()
        attempt.on_samples(1, [Sample("a", "b")])
        lose_the_connection()
        with attempt.saving(1):
            lose_the_connection()
        lose_the_connection()
        attempt.report("halfway")
        attempt.flush()
        lose_the_connection()
        attempt.on_resume(1)
    assert run.points.count() == run.samples.count() == 1
    assert run.log.filter(text="halfway").exists()
    run.refresh_from_db()
    assert run.saved_step == 1


def test_a_host_whose_clock_is_ahead_finds_no_live_run_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    begin_run()
    later = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert not Run.objects.without_heartbeat().exists()


def test_a_published_version_is_on_the_disk_before_its_run_is_cleared_away(ready: None) -> None:
    run = execute_run(Run.Kind.FINETUNE, name="new", **QUICK)
    assert not run.folder.exists()
    assert not artifacts.note_of(run).exists()
    artifacts.verify(run.version)
