"""A failed run shows a hint, and the last lines of its process's standard error are logged."""

import asyncio
from collections import deque

import pytest

from tests.training.factories import make_policy, queue_run
from training import artifacts, jobs
from training.execution.executor import execute
from training.models import Run
from training.reports.failure_hints import CLONE_HINT, RESUME_HINT, failure_hint

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("error", "what_to_do"),
    [
        ("batch_size: 64 sequences of 1024 tokens at once need more memory than there is", "smaller"),
        ("The process of this run was killed by signal 9; if the machine ran out of memory, …", "smaller"),
        ("The process of this run was killed by signal 11.", "last lines of the log"),
        ("/data/books.txt: no such file or folder; corpora that go by a name are stories", "Put it back"),
        ("the files of base (base-1) were changed: their hash differs from the stored one.", "backup"),
        ("project: “letters” has no comparisons yet; let people answer some", "Collect more annotations"),
        ("folder/last/training.json: this training began with another corpus; begin anew", "start over"),
        ("learning_rate: the loss became nan at step 12; lower it", "third of the learning rate"),
        ("OSError: [Errno 28] No space left on device", "Free space"),
        ("device: cuda is not available on this machine; choose cpu or auto", "Automatic"),
    ],
)
def test_a_known_cause_has_its_hint(error: str, what_to_do: str) -> None:
    run = Run(kind=Run.Kind.PRETRAIN, status=Run.Status.FAILED, error=error)
    assert what_to_do in failure_hint(run)


def test_an_unknown_cause_is_resumed_where_that_is_possible() -> None:
    run = Run(kind=Run.Kind.PRETRAIN, status=Run.Status.FAILED, error="Strange.", saved_step=3)
    assert failure_hint(run) == RESUME_HINT
    run.saved_step = None
    assert failure_hint(run) == CLONE_HINT


def test_what_did_not_fail_needs_none() -> None:
    assert failure_hint(Run(kind=Run.Kind.PRETRAIN, status=Run.Status.CANCELLED)) == ""


@pytest.mark.django_db(transaction=True)
def test_a_version_tampered_with_fails_the_run_that_was_to_use_it() -> None:
    version = make_policy()
    storage = artifacts.artifact_storage()
    storage.delete(f"{version.artifact}/config.json")
    run = queue_run(
        Run.Kind.EVALUATE, policy="base", source="stories", stories=10, split="test", detached=True
    )
    assert not execute(run)
    assert "hash differs" in run.error
    assert "backup" in failure_hint(run)


def test_the_last_words_of_a_crashed_process_stand_in_the_log_once() -> None:
    run = Run.objects.create(kind=Run.Kind.PRETRAIN)
    for _ in range(2):
        jobs.record_crash(run.pk, 1, "ImportError: no module named torch")
    assert run.log.get().level == "error"
    run.refresh_from_db()
    assert run.status == Run.Status.QUEUED
    run.begin()
    jobs.record_crash(run.pk, -11, "Segmentation fault")
    run.refresh_from_db()
    assert run.status == Run.Status.FAILED
    assert run.error == "The process of this run was killed by signal 11."
    assert list(run.log.values_list("text", flat=True))[1:] == ["Segmentation fault"]


def test_what_a_child_says_is_passed_on_and_its_end_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    async def forwarded(text: bytes) -> deque[str]:
        stream, last = asyncio.StreamReader(limit=100), deque[str](maxlen=2)
        stream.feed_data(text)
        stream.feed_eof()
        await jobs.forward_stderr(stream, last)
        return last

    endless = b"." * 250
    last = asyncio.run(forwarded(b"one\ntwo\nthree\n" + endless))
    assert "".join(last).endswith(".")
    assert capsys.readouterr().err == "one\ntwo\nthree\n" + endless.decode()
