"""`manage.py sample --from NAME`: what an endpoint writes, and what happens when it fails."""

import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from labeling.models import Prompt, Sample, Task
from tests.processes import environment, eventually, worker
from tests.training.endpoint_server import Answer, EndpointServer, Request, add_endpoint, completion, said
from tests.training.factories import make_policy, make_project, queue_run
from training import runs
from training.execution.attempt import Attempt, StopReason
from training.execution.executor import execute
from training.models import HEARTBEAT_TIMEOUT, Run

pytestmark = pytest.mark.django_db(transaction=True)

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Who are you?"},
]


def queue_sampling(**options: Any) -> Run:
    given: dict[str, Any] = {"from": "parrot", "project": "letters"} | options
    return queue_run(Run.Kind.SAMPLE, **given)


def sample(**options: Any) -> Run:
    """A run that may fail."""
    run = queue_sampling(**{"tasks": 4} | options)
    execute(run)
    return run


def sample_well(**options: Any) -> Run:
    run = sample(**options)
    assert run.status == Run.Status.SUCCEEDED, run.error
    return run


def tasks_per_prompt() -> Counter[str]:
    return Counter(Task.objects.values_list("prompt__text", flat=True))


# -- What it writes ---------------------------------------------------------------------------------------


def test_each_prompt_becomes_a_task_with_samples_of_the_endpoint(server: EndpointServer) -> None:
    make_project()
    endpoint = add_endpoint(server)
    run = sample_well(temperature=0.5, max_new_tokens=9, seed=5)
    assert run.endpoint == endpoint
    assert run.policy is None
    assert tasks_per_prompt() == Counter(
        Prompt.objects.filter(tasks__isnull=False).values_list("text", flat=True)
    )
    assert Task.objects.count() == 4
    for task in Task.objects.all():
        assert task.prompt.split == "train"
        texts = list(task.samples.values_list("text", flat=True))
        assert len(set(texts)) == 3
        assert all(text.startswith(f" {task.prompt.text}, said") for text in texts)
    assert {each.generator for each in Sample.objects.all()} == {endpoint.generator}
    found = Sample.objects.earliest("pk").parameters
    asked = {
        "temperature": 0.5,
        "max_tokens": 9,
        "model": "parrot-2026",
        "finish_reason": "stop",
        "run": run.pk,
    }
    assert found.items() >= asked.items()
    assert (found["prompt_tokens"], found["completion_tokens"]) == (7, 3)
    assert (
        run.metrics | {"tasks": 4, "samples": 12, "prompt_tokens": 84, "completion_tokens": 36} == run.metrics
    )
    assert len({request.body["seed"] for request in server.requests}) == 12
    assert all("top_k" not in request.body for request in server.requests)


def test_a_conversation_is_sent_as_messages(server: EndpointServer) -> None:
    project = make_project(train=0)
    text = "Be brief.\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Who are you?\n\nAssistant:"
    Prompt.objects.create(project=project, text=text, messages=CONVERSATION)
    add_endpoint(server)
    sample_well()
    assert server.requests[0].body["messages"] == CONVERSATION
    assert Sample.objects.earliest("pk").text.startswith(" Who are you?, said")


def test_plain_completions_are_sent_as_text(server: EndpointServer) -> None:
    project = make_project(train=0)
    text = "\n\nHuman: Hi\n\nAssistant:"
    Prompt.objects.create(project=project, text=text, messages=[{"role": "user", "content": "Hi"}])
    add_endpoint(server, api="completions")
    sample_well(stop="END")
    asked = server.requests[0]
    assert asked.path == "/v1/completions"
    assert asked.body["prompt"] == text
    assert asked.body["stop"] == ["END", "\n\nHuman:"]
    assert Sample.objects.earliest("pk").text.startswith(text)


def test_the_endpoint_adds_parameters_and_leaves_some_out(server: EndpointServer) -> None:
    make_project()
    extra = {"max_tokens": None, "max_completion_tokens": 50, "temperature": None}
    add_endpoint(server, extra_parameters=extra)
    sample_well(tasks=1, top_k=7)
    body = server.requests[0].body
    assert body["max_completion_tokens"] == 50
    assert body["top_k"] == 7
    assert not {"max_tokens", "temperature", "seed", "top_p", "min_p"} & set(body)


def test_the_key_is_sent_and_never_stored_or_shown(
    server: EndpointServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project()
    add_endpoint(server, api_key_variable="PARROT_API_KEY")
    monkeypatch.delenv("PARROT_API_KEY", raising=False)
    assert "PARROT_API_KEY is not set" in sample(detached=True).error
    monkeypatch.setenv("PARROT_API_KEY", "secret-of-ours")
    sample_well()
    assert server.requests[0].headers["authorization"] == "Bearer secret-of-ours"
    server.fault = lambda request, number: said(401, "Incorrect API key provided: secret-of-ours")
    run = sample(detached=True)
    assert "401 Unauthorized: Incorrect API key provided: …; check the key in PARROT_API_KEY" in run.error
    everything = [*Sample.objects.values_list("parameters"), *Run.objects.values_list("parameters", "error")]
    assert "secret-of-ours" not in str(everything)


def test_without_a_key_none_is_sent(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project()
    add_endpoint(server)
    monkeypatch.setenv("OPENAI_API_KEY", "for-another-server")
    monkeypatch.setenv("OPENAI_ORG_ID", "for-another-server")
    sample_well(tasks=1)
    assert "authorization" not in server.requests[0].headers
    assert "for-another-server" not in str(server.requests[0].headers)


def test_no_more_requests_at_once_than_allowed(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server, concurrency=2)
    sample_well(tasks=10)
    assert len(server.requests) == 30
    assert server.most_at_once <= 2


def test_equal_and_unusable_answers_are_asked_for_again(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server, concurrency=1)
    texts = ["same", "same", "", "other", "third"]
    server.fault = lambda request, number: completion(request, texts[number])
    sample_well(tasks=1)
    assert sorted(Sample.objects.values_list("text", flat=True)) == [" other", " same", " third"]


def test_a_model_that_always_says_the_same_still_gets_its_tasks(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server)
    server.fault = lambda request, number: completion(request, "Yes.")
    sample_well(tasks=2, temperature=0)
    assert list(Sample.objects.values_list("text", flat=True)) == [" Yes."] * 6
    assert len(server.requests) == 6


def test_text_that_the_database_cannot_store_is_mended(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server)
    server.fault = lambda request, number: completion(request, f"a\x00b {number}")
    sample_well(tasks=1)
    assert Sample.objects.earliest("pk").text.startswith(" ab ")


# -- Faults that pass -------------------------------------------------------------------------------------

PASSING = {
    "a full server": lambda: said(429, "Slow down.", retry_after="0"),
    "a broken server": lambda: said(500, "Oops."),
    "a gateway": lambda: Answer(body="<html>Bad gateway</html>", status=502),
    "a cut answer": lambda: Answer(body='{"choices": [{"message": {"content": "Once upon', cut=8),
    "wrong JSON": lambda: Answer(body='{"choices": [{"mess'),
    "no choices": lambda: Answer(body='{"object": "chat.completion", "choices": []}'),
    "another object": lambda: Answer(body='{"choices": ["a text"]}'),
    "a list": lambda: Answer(body="[1, 2]"),
    "nothing": lambda: Answer(body=""),
    "no message": lambda: Answer(body='{"choices": [{"message": null}]}'),
}


@pytest.mark.parametrize("fault", PASSING)
def test_after_a_fault_that_passes_nothing_is_lost_or_written_twice(
    server: EndpointServer, fault: str
) -> None:
    make_project()
    add_endpoint(server)
    server.fault = lambda request, number: PASSING[fault]() if number in {1, 5} else None
    sample_well()
    assert set(tasks_per_prompt().values()) == {1}
    assert Sample.objects.count() == 12
    assert len(server.requests) == 14


def test_a_request_that_hangs_is_given_up_and_repeated(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server, timeout=1)

    def hang(request: Request, number: int) -> None:
        if number == 1:
            server.released.wait(30)

    server.fault = hang
    sample_well()
    assert Sample.objects.count() == 12
    assert len(server.requests) == 13


def test_a_server_that_asks_to_wait_is_left_alone(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server, retries=2)
    server.fault = lambda request, number: said(429, "Slow down.", retry_after="1") if number == 0 else None
    run = sample_well(tasks=1)
    assert run.seconds is not None
    assert run.seconds >= 1


def test_a_server_that_asks_to_wait_too_long_ends_the_run(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server)
    server.fault = lambda request, number: said(429, "Come tomorrow.", retry_after="86400")
    run = sample(detached=True)
    assert "429 Too Many Requests: Come tomorrow; it asks to wait 86400 s" in run.error
    assert len(server.requests) <= 9


def test_a_limit_of_requests_a_minute_spaces_them(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server, requests_per_minute=240)
    run = sample_well(tasks=2)  # six requests, a quarter of a second apart
    assert run.seconds is not None
    assert run.seconds >= 1.25


# -- Faults that last -------------------------------------------------------------------------------------

LASTING = {
    "401 Unauthorized: No key; it wants a key": said(401, "No key."),
    "403 Forbidden: Not yours": said(403, "Not yours."),
    "404 Not Found: No such model; check the URL and the model “parrot”": said(404, "No such model."),
    "402 Payment Required": Answer(body="", status=402),
    "it redirects to https://elsewhere.example/v1: enter that address": Answer(
        body="", status=307, headers={"Location": "https://elsewhere.example/v1"}
    ),
    "You exceeded your current quota": Answer(
        body='{"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}',
        status=429,
    ),
}


@pytest.mark.parametrize("message", LASTING)
def test_a_fault_that_lasts_ends_the_run_at_once_with_one_line(server: EndpointServer, message: str) -> None:
    make_project()
    add_endpoint(server, concurrency=1)
    server.fault = lambda request, number: LASTING[message]
    with pytest.raises(CommandError, match=r"endpoint parrot, http://127\.0\.0\.1:") as refusal:
        call_command("sample", "--from", "parrot", "--project", "letters")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(server.requests) == 1
    assert not Run.objects.exists()
    assert not Sample.objects.exists()


def test_a_web_page_instead_of_an_answer_is_named(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server, retries=0, concurrency=1)
    page = Answer(body="<!doctype html><title>Sign in</title>", headers={"Content-Type": "text/html"})
    server.fault = lambda request, number: page
    run = sample(detached=True, tasks=20)
    assert "10 prompts in a row failed" in run.error
    assert "the server answered with a web page (HTML): check the URL; the base URL" in run.error
    assert not Sample.objects.exists()


def test_a_server_that_is_not_there_is_named(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server, url="http://127.0.0.1:1/v1", retries=0)
    run = sample(detached=True)
    assert "endpoint parrot, http://127.0.0.1:1/v1: cannot be reached" in run.error


def test_a_name_that_nobody_knows_is_named(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server, url="https://nowhere.invalid/v1", retries=0)
    assert "the name nowhere.invalid cannot be resolved" in sample(detached=True).error


# -- Partial failure --------------------------------------------------------------------------------------


def test_prompts_that_the_server_refuses_are_left_out_and_counted(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server)
    bad = Prompt.objects.filter(split="train").earliest("pk").text
    server.fault = lambda request, number: (
        said(400, "This model's maximum context length is 8 tokens.") if request.prompt == bad else None
    )
    run = sample_well(tasks=100)
    assert run.metrics["tasks"] == Task.objects.count() == 23
    (note,) = run.metrics["notes"]
    assert "1 prompt left out: endpoint parrot" in note
    assert "400 Bad Request: This model's maximum context length is 8 tokens" in note


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"finish_reason": "content_filter"}, "withheld by the server's content filter"),
        ({"message": {"content": None, "refusal": "No."}}, "empty"),
        ({"message": {"content": "  "}, "finish_reason": "length"}, "no token was left for the answer"),
    ],
)
def test_answers_that_nobody_can_judge_make_no_task(
    server: EndpointServer, changes: dict[str, Any], reason: str
) -> None:
    make_project()
    add_endpoint(server)
    bad = Prompt.objects.filter(split="train").earliest("pk").text
    server.fault = lambda request, number: (
        completion(request, "", **changes) if request.prompt == bad else None
    )
    run = sample_well(tasks=100)
    assert Task.objects.count() == 23
    assert reason in run.metrics["notes"][0]


def test_what_failed_is_kept_and_resumed(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server)
    bad = set(Prompt.objects.filter(split="train").order_by("pk").values_list("text", flat=True)[:3])
    server.fault = lambda request, number: said(503, "Busy.") if request.prompt in bad else None
    with pytest.raises(CommandError, match=r"3 prompts failed; .*503 .*Busy; `manage.py resume \d+`"):
        call_command("sample", "--from", "parrot", "--project", "letters")
    run = Run.objects.get()
    assert run.status == Run.Status.FAILED
    assert Task.objects.count() == run.saved_step == 21
    server.fault = lambda request, number: None
    server.requests.clear()
    call_command("resume", str(run.pk))
    run.refresh_from_db()
    assert run.status == Run.Status.SUCCEEDED
    assert run.metrics["tasks"] == 24
    assert set(tasks_per_prompt().values()) == {1}
    assert {request.prompt for request in server.requests} == bad
    assert run.metrics["prompt_tokens"] == 7 * 72
    assert not run.folder.exists()


@pytest.mark.parametrize("reason", [StopReason.CANCELLED, StopReason.PAUSED])
def test_a_stopped_run_ends_its_open_requests_and_goes_on_later(
    server: EndpointServer, reason: StopReason
) -> None:
    make_project()
    add_endpoint(server, concurrency=1, timeout=600)
    attempts: list[Attempt] = []

    def stop(request: Request, number: int) -> None:
        if number == 7:
            attempts[0].stop(reason)
            server.released.wait(60)

    server.fault = stop
    run = queue_sampling()
    assert not execute(run, on_attempt=attempts.append)
    assert run.is_resumable
    assert Task.objects.count() == run.saved_step == 2
    server.released.set()
    runs.resume(run, detached=False)
    assert execute(run), run.error
    assert Counter(tasks_per_prompt().values()) == {1: 24}


def test_an_attempt_that_lost_its_run_writes_nothing_more(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server, concurrency=1)

    def lose(request: Request, number: int) -> None:
        if number == 4:
            Run.objects.update(status=Run.Status.QUEUED, attempt=None)
            connection.close()  # that of the server's thread

    server.fault = lose
    run = queue_sampling()
    assert not execute(run)
    assert Task.objects.count() == 1
    assert execute(Run.objects.get())
    assert Counter(tasks_per_prompt().values()) == {1: 24}


# -- Real processes ---------------------------------------------------------------------------------------


def hang_after(server: EndpointServer, number: int) -> None:
    """The server answers so many requests, then none until it is released."""

    def wait(request: Request, count: int) -> None:
        if count >= number:
            server.released.wait(120)

    server.fault = wait


def test_a_killed_command_is_resumed_and_nothing_is_written_twice(
    server: EndpointServer, tmp_path: Path
) -> None:
    make_project()
    add_endpoint(server, concurrency=4, timeout=600)
    hang_after(server, 31)
    arguments = ["sample", "--from", "parrot", "--project", "letters"]
    with subprocess.Popen(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments], env=environment(tmp_path)
    ) as process:
        try:
            assert eventually(lambda: len(server.requests) >= 35 and Task.objects.count() >= 8)
        finally:
            process.kill()
    run = Run.objects.get()
    assert run.status == Run.Status.RUNNING
    assert run.saved_step == Task.objects.count() < 24
    server.released.set()
    Run.objects.update(heartbeat_at=timezone.now() - HEARTBEAT_TIMEOUT - timedelta(seconds=1))
    call_command("resume", str(run.pk))
    run.refresh_from_db()
    assert run.status == Run.Status.SUCCEEDED
    assert run.attempts == 2
    assert Counter(tasks_per_prompt().values()) == {1: 24}
    assert Sample.objects.count() == run.metrics["samples"] == 72


def test_a_killed_run_of_a_worker_goes_on_by_itself(server: EndpointServer, tmp_path: Path) -> None:
    make_project()
    add_endpoint(server, concurrency=4, timeout=600)
    hang_after(server, 31)
    run = queue_sampling(detached=True)
    with worker(tmp_path) as process:
        assert eventually(lambda: len(server.requests) >= 35 and Task.objects.count() >= 8)
        process.kill()
    server.released.set()
    Run.objects.filter(status=Run.Status.RUNNING).update(
        heartbeat_at=timezone.now() - HEARTBEAT_TIMEOUT - timedelta(seconds=1)
    )
    with worker(tmp_path):
        assert eventually(lambda: Run.objects.filter(pk=run.pk, status=Run.Status.SUCCEEDED).exists())
    assert Counter(tasks_per_prompt().values()) == {1: 24}
    assert Sample.objects.count() == 72


TORCH_FREE = """
import sys, django
django.setup()
from django.core.management import call_command
call_command("sample", "--from", "parrot", "--project", "letters", "--tasks", "2")
assert "torch" not in sys.modules, "the run loads torch"
"""


def test_the_run_loads_no_torch(server: EndpointServer, tmp_path: Path) -> None:
    make_project()
    add_endpoint(server)
    ended = subprocess.run(
        [sys.executable, "-c", TORCH_FREE],
        env={**environment(tmp_path), "DJANGO_SETTINGS_MODULE": "feedback_site.settings"},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "prompt tokens" in ended.stdout
    assert Task.objects.count() == 2


# -- The form ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "nobody"], "--from: there is no “nobody”; there are: parrot."),
        (["--from", "parrot", "--policy", "base"], "--from: name either a policy or an endpoint, not both."),
        (["--from", "parrot", "--beams", "4"], "--beams: leave it out: endpoints have no beam search."),
    ],
)
def test_what_does_not_go_together_is_refused(
    server: EndpointServer, options: list[str], message: str
) -> None:
    make_project()
    make_policy()
    add_endpoint(server)
    with pytest.raises(CommandError) as refusal:
        call_command("sample", "--project", "letters", *options)
    assert str(refusal.value) == message
    assert not Run.objects.exists()
