"""`manage.py evaluate --from NAME --against NAME`: endpoints in blind comparisons and on the leaderboard."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Prompt, Sample, Task
from labeling.quality.leaderboard import compute_leaderboard
from tests.training.endpoint_server import EndpointServer, Request, add_endpoint, completion, said
from tests.training.factories import annotator, execute_run, make_policy, make_project, make_reward, queue_run
from training import runs
from training.execution.attempt import Attempt, StopReason
from training.execution.executor import execute
from training.models import Run

pytestmark = pytest.mark.django_db(transaction=True)


def options(**changes: Any) -> dict[str, Any]:
    asked = {"from": "parrot", "against": "base", "project": "letters", "judge": "people", "tasks": 4}
    return {
        key: value for key, value in (asked | {"max_new_tokens": 6} | changes).items() if value is not None
    }


def compare(**changes: Any) -> Run:
    return execute_run(Run.Kind.EVALUATE, **options(**changes))


def answer_all(better: str) -> int:
    """A person answers all open tasks, and always prefers what `better` wrote."""
    person, count = annotator(), 0
    project = Task.objects.earliest("pk").project
    while assignment := queue.claim(annotator=person, project=project):
        worse = [sample.generator.name != better for sample in assignment.shown_samples()]
        queue.submit(assignment, Answer(ranks=tuple(1 + each for each in worse)), client_key="k")
        count += 1
    return count


def test_an_endpoint_is_compared_with_a_version_blindly(as_admin: Client, server: EndpointServer) -> None:
    project = make_project()
    make_policy()
    add_endpoint(server, model="parrot")
    opened = compare()
    assert opened.metrics["tasks"] == Task.objects.count() == 4
    for task in Task.objects.all():
        assert task.prompt.split == "heldout"
        assert set(task.samples.values_list("generator__name", flat=True)) == {"parrot", "base"}
    ours = Sample.objects.filter(generator__name="parrot").earliest("pk")
    assert ours.parameters.items() >= {"max_tokens": 6, "finish_reason": "stop", "prompt_tokens": 7}.items()
    assert Sample.objects.filter(generator__name="base").earliest("pk").parameters["max_new_tokens"] == 6
    page = as_admin.get(opened.get_absolute_url()).text
    assert "parrot vs base" in page
    assert "--from parrot --against base --project letters --judge people" in page
    assert answer_all("parrot") == 4
    (row,) = compare(tasks=0).metrics["judges"]
    assert row["won"]["rate"] == 1.0
    (row,) = compare(**{"from": None}, policy="base", against="parrot", tasks=0).metrics["judges"]
    assert row["won"]["rate"] == 0.0
    assert [each.generator.name for each in compute_leaderboard(project).rows] == ["parrot", "base"]
    board = as_admin.get("/projects/letters/leaderboard/").text
    assert "<small>endpoint, parrot</small>" in board


def test_two_endpoints_are_compared_without_any_version(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server)
    add_endpoint(server, "macaw")
    terminal = io.StringIO()
    arguments = [f"--{name}={value}" for name, value in options(against="macaw", max_new_tokens=6).items()]
    call_command("evaluate", *[each.replace("_", "-") for each in arguments], stdout=terminal)
    assert Task.objects.count() == 4
    assert "4 blind tasks opened" in terminal.getvalue()
    assert "evaluate --from parrot --against macaw" in terminal.getvalue()
    answer_all("macaw")
    (row,) = compare(against="macaw", tasks=0).metrics["judges"]
    assert row["won"]["rate"] == 0.0


def test_reward_models_judge_what_endpoints_write(server: EndpointServer) -> None:
    make_project()
    make_policy()
    make_reward()
    add_endpoint(server)
    server.fault = lambda request, number: completion(request, "abc")
    run = compare(judge="taste", tasks=0)
    assert run.metrics["prompts"] == 6
    assert [example["completion"] for example in run.metrics["examples"]] == [" abc"] * 6


def test_conversations_are_sent_as_messages(server: EndpointServer) -> None:
    project = make_project(heldout=0)
    messages = [{"role": "user", "content": "Hi"}]
    Prompt.objects.create(
        project=project, text="\n\nHuman: Hi\n\nAssistant:", messages=messages, split="heldout"
    )
    add_endpoint(server)
    add_endpoint(server, "macaw")
    compare(against="macaw", tasks=1)
    assert [request.body["messages"] for request in server.requests] == [messages] * 2


def test_what_was_written_is_not_asked_for_again_after_a_stop(server: EndpointServer) -> None:
    make_project()
    add_endpoint(server, concurrency=1)
    add_endpoint(server, "macaw", concurrency=1)
    attempts: list[Attempt] = []

    def stop(request: Request, number: int) -> None:
        if number == 6:
            attempts[0].stop(StopReason.CANCELLED)
            server.released.wait(60)

    server.fault = stop
    run = queue_run(Run.Kind.EVALUATE, **options(against="macaw"))
    assert not execute(run, on_attempt=attempts.append)
    assert run.saved_step == 6
    assert not Task.objects.exists()
    server.released.set()
    with (run.folder / "completions-macaw.jsonl").open("a") as file:
        file.write('\n[12, [["cut sho')  # as after a kill
    runs.resume(run, detached=False)
    assert execute(run), run.error
    assert Task.objects.count() == 4
    assert len(server.requests) == 9  # eight, and the one that was stopped
    assert not run.folder.exists()


def test_prompts_that_one_side_refuses_are_left_out(server: EndpointServer) -> None:
    make_project()
    make_policy()
    add_endpoint(server)
    bad = Prompt.objects.filter(split="heldout").earliest("pk").text
    server.fault = lambda request, number: said(400, "Too long.") if request.prompt == bad else None
    run = compare(tasks=6)
    assert Task.objects.count() == 5
    assert "1 prompt left out: endpoint parrot" in run.metrics["notes"][0]


def test_an_endpoint_that_fails_leaves_nothing_half_written(server: EndpointServer) -> None:
    make_project()
    make_policy()
    add_endpoint(server)
    server.fault = lambda request, number: said(404, "No such model.")
    with pytest.raises(CommandError, match="404 Not Found: No such model"):
        call_command(
            "evaluate", "--from=parrot", "--against=base", "--project=letters", "--judge=people", "--tasks=3"
        )
    assert not Run.objects.exists()
    assert not Sample.objects.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"from": None}, "--policy: name a policy, or an endpoint (--from)."),
        ({"policy": "base"}, "--from: name either a policy or an endpoint, not both."),
        ({"against": "parrot"}, "--against: people compare two different models"),
        ({"against": "nobody"}, "--against: there is no “nobody”; there are: base, parrot."),
        ({"source": "stories"}, "--source: perplexity is measured of policies only"),
    ],
)
def test_what_does_not_go_together_is_refused(
    server: EndpointServer, changes: dict[str, Any], message: str
) -> None:
    make_project()
    make_policy()
    add_endpoint(server)
    given = {key: value for key, value in options(**changes).items() if key != "max_new_tokens"}
    with pytest.raises(CommandError) as refusal:
        call_command("evaluate", *[f"--{key}={value}" for key, value in given.items()])
    assert message in str(refusal.value)
