"""The page of a run besides its progress (queue, samples, log, resources, metrics), and the list of runs."""

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.training.factories import admin, begin_run, make_policy, make_project
from training import runs
from training.models import LogLine, MetricPoint, Run, RunSample
from training.reports.queue_position import queue_position

pytestmark = pytest.mark.django_db


def page_of(client: Client, run: Run) -> str:
    return client.get(run.get_absolute_url()).content.decode()


def address(name: str, run: Run, query: str = "") -> str:
    return reverse(f"training:{name}", args=[run.pk]) + query


# -- Steering ---------------------------------------------------------------------------------------------


def test_a_run_is_paused_and_taken_up_again_from_its_page(as_admin: Client) -> None:
    run = begin_run()
    assert address("pause", run) in page_of(as_admin, run)
    as_admin.post(address("pause", run))
    assert "pausing at the next step" in page_of(as_admin, run)
    run.finish(Run.Status.PAUSED)
    page = page_of(as_admin, run)
    assert "it will start over when resumed" in page
    assert "every 2s" not in page
    as_admin.post(address("resume", run))
    run.refresh_from_db()
    assert run.status == Run.Status.QUEUED


def test_every_run_can_be_cloned(as_admin: Client) -> None:
    run = begin_run()
    assert f"{reverse('admin:training_run_add')}?clone={run.pk}" in page_of(as_admin, run)


def test_a_failed_run_says_why_and_what_to_do(as_admin: Client) -> None:
    run = begin_run()
    run.finish(Run.Status.FAILED, error="/data/stories: no such file or folder on this machine.")
    page = page_of(as_admin, run)
    assert "/data/stories: no such file or folder" in page
    assert "clone this run with another source" in page
    assert "/data/stories: no such file or folder" in as_admin.get(reverse("training:runs")).content.decode()


# -- The queue --------------------------------------------------------------------------------------------


def queued() -> Run:
    run = Run.objects.create(kind=Run.Kind.PRETRAIN, parameters={})
    runs.wake_worker(run)
    return run


def a_worker_is_there() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO procrastinate_workers DEFAULT VALUES")


def test_a_queued_run_tells_its_place_in_the_queue(as_admin: Client) -> None:
    first, second, third = queued(), queued(), queued()
    begin_run()
    a_worker_is_there()
    places = [queue_position(run) for run in (first, second, third)]
    assert [place.runs_ahead for place in places if place] == [0, 1, 2]
    assert "queue position 3, 1 run running" in page_of(as_admin, third)
    assert "next in the queue" in page_of(as_admin, first)


def test_a_resumed_run_waits_behind_those_that_were_there() -> None:
    first = begin_run()
    first.finish(Run.Status.PAUSED)
    second = queued()
    runs.resume(first)
    place, other = queue_position(first), queue_position(second)
    assert place is not None
    assert other is not None
    assert (place.runs_ahead, other.runs_ahead) == (1, 0)


def test_a_queue_without_a_worker_says_so(as_admin: Client) -> None:
    assert "no worker is running" in page_of(as_admin, queued())


# -- Samples ----------------------------------------------------------------------------------------------


def writes(run: Run, *steps: int) -> None:
    RunSample.objects.bulk_create(
        RunSample(run=run, step=step, position=position, prompt=f"prompt {position}", text=f"text {step}")
        for step in steps
        for position in (0, 1)
    )


def test_what_a_model_writes_is_shown_first_and_now(as_admin: Client) -> None:
    run = begin_run()
    writes(run, 0, 10, 20)
    page = page_of(as_admin, run)
    assert "prompt 1" in page
    assert page.count("text 0") == page.count("text 20") == 2
    assert "text 10" not in page


def test_the_section_knows_how_many_evaluations_it_shows_before_there_is_a_slider(as_admin: Client) -> None:
    run = begin_run()
    writes(run, 0)
    page = page_of(as_admin, run)
    assert '<input type="hidden" id="known-evaluations" name="of" value="1">' in page
    assert 'type="range"' not in page
    assert as_admin.get(address("run_samples", run, "?of=1")).status_code == 204
    writes(run, 10)
    grown = as_admin.get(address("run_samples", run, "?of=1")).content.decode()
    assert 'id="samples"' in grown
    assert 'type="range"' in grown


def test_the_slider_shows_any_evaluation(as_admin: Client) -> None:
    run = begin_run()
    writes(run, 0, 10, 20)
    shown = as_admin.get(address("run_samples", run, "?place=1")).content.decode()
    assert "text 10" in shown
    assert "text 20" not in shown
    assert "<section" not in shown


def test_the_section_follows_new_evaluations_unless_somebody_looks_at_an_earlier_one(
    as_admin: Client,
) -> None:
    run = begin_run()
    writes(run, 0, 10)
    assert as_admin.get(address("run_samples", run, "?place=1&of=2")).status_code == 204
    writes(run, 20)
    assert "text 20" in as_admin.get(address("run_samples", run, "?place=1&of=2")).content.decode()
    assert "text 20" not in as_admin.get(address("run_samples", run, "?place=0&of=2")).content.decode()
    run.finish(Run.Status.CANCELLED)
    assert as_admin.get(address("run_samples", run, "?place=2&of=3")).status_code == 286
    assert as_admin.get(address("run_samples", run, "?place=x")).status_code == 404


# -- The log ----------------------------------------------------------------------------------------------


def test_new_log_lines_come_by_polling_until_the_run_has_ended(as_admin: Client) -> None:
    run = begin_run()
    first = LogLine.objects.create(run=run, attempt=1, text="loading <the> policy")
    page = page_of(as_admin, run)
    assert "loading &lt;the&gt; policy" in page
    after = address("log", run, f"?after={first.pk}")
    assert after in page
    assert as_admin.get(after).status_code == 204
    LogLine.objects.create(run=run, attempt=1, level=LogLine.Level.WARNING, text="cut at the limit")
    answer = as_admin.get(after)
    assert "cut at the limit" in answer.content.decode()
    assert "loading" not in answer.content.decode()
    assert "hx-get" in answer.content.decode()
    run.finish(Run.Status.CANCELLED)
    ended = as_admin.get(after)
    assert ended.status_code == 286
    assert "hx-get" not in ended.content.decode()


def test_the_whole_log_is_text(as_admin: Client) -> None:
    run = begin_run()
    LogLine.objects.bulk_create(LogLine(run=run, attempt=1, text=f"line {number}") for number in range(300))
    answer = as_admin.get(address("log", run))
    lines = b"".join(answer.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 300
    assert lines[0].endswith("attempt 1 info: line 0")
    assert "line 0<" not in page_of(as_admin, run)


# -- Resources, metrics, parameters -----------------------------------------------------------------------


def test_resources_are_shown_as_they_were_read(as_admin: Client) -> None:
    run = begin_run()
    run.record_resources(
        {"memory": 1.25e9, "peak_memory": 1.6e9, "machine_memory": 16e9, "cpu": 1.5, "cores": 2}
    )
    page = page_of(as_admin, run)
    assert "1.2 GB, peak 1.6 GB of 16 GB" in page
    assert "1.5 of 2 cores" in page


def test_all_metrics_come_as_csv(as_admin: Client) -> None:
    run = begin_run()
    MetricPoint.objects.create(run=run, step=1, values={"kl": 0.5, "score": None})
    MetricPoint.objects.create(run=run, step=2, values={"kl": 1.5, "heldout/kl": 1.25})
    answer = as_admin.get(address("points", run))
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert list(csv.reader(io.StringIO(text))) == [
        ["step", "heldout/kl", "kl", "score"],
        ["1", "", "0.5", ""],
        ["2", "1.25", "1.5", ""],
    ]


def test_what_differs_from_the_defaults_stands_apart(as_admin: Client) -> None:
    run = begin_run(parameters={"kl_budget": 3.5, "evaluate_every": 10})
    page = page_of(as_admin, run)
    assert page.index("3.5") < page.index("1 default<")


def test_the_kl_is_drawn_against_its_budget(as_admin: Client) -> None:
    run = begin_run(parameters={"kl_budget": 3.5})
    MetricPoint.objects.bulk_create(
        MetricPoint(run=run, step=step, values={"kl": float(step)}) for step in (1, 2)
    )
    page = page_of(as_admin, run)
    assert "budget 3.5" in page
    assert 'class="reference"' in page


# -- The list ---------------------------------------------------------------------------------------------


def shown(client: Client, query: str) -> set[int]:
    page = client.get(reverse("training:runs") + query)
    return {run.pk for run, _ in page.context["rows"]}


def test_the_list_is_narrowed_by_kind_status_project_and_owner(client: Client) -> None:
    ada = admin()
    client.force_login(ada)
    project = make_project()
    hers = begin_run(owner=ada)
    queued_one = queued()
    of_project = begin_run(project=project, policy=make_policy())
    assert shown(client, "") == {hers.pk, queued_one.pk, of_project.pk}
    assert shown(client, "?kind=pretrain") == {queued_one.pk}
    assert shown(client, "?status=queued") == {queued_one.pk}
    assert shown(client, "?project=letters") == {of_project.pk}
    assert shown(client, "?mine=on&status=running") == {hers.pk}
    assert shown(client, "?kind=cake&project=none") == {hers.pk, queued_one.pk, of_project.pk}
    assert "No matching runs" in client.get(reverse("training:runs") + "?kind=dpo").content.decode()


def test_a_long_list_is_paged_and_keeps_its_filter(as_admin: Client) -> None:
    Run.objects.bulk_create(Run(kind=Run.Kind.DPO) for _ in range(31))
    first = as_admin.get(reverse("training:runs") + "?kind=dpo")
    assert len(first.context["rows"]) == 30
    assert "?kind=dpo&amp;page=2" in first.content.decode()
    assert len(shown(as_admin, "?kind=dpo&page=2")) == 1


# -- Notifications ----------------------------------------------------------------------------------------


def test_any_page_tells_its_owner_once_that_a_run_has_ended(client: Client) -> None:
    ada = admin()
    client.force_login(ada)
    news = reverse("training:notifications")
    assert client.get(news).status_code == 286
    run, others = begin_run(owner=ada), begin_run(owner=admin("bob"))
    others.finish(Run.Status.SUCCEEDED)
    assert client.get(news).status_code == 200
    assert str(run) not in client.get(news).content.decode()
    run.finish(Run.Status.FAILED, error="Out of memory.")
    page = client.get(news).content.decode()
    assert run.get_absolute_url() in page
    assert str(others) not in page
    assert str(run) not in client.post(address("seen", run)).content.decode()
    assert client.get(news).status_code == 286
    assert client.post(address("seen", others)).status_code == 404


def test_who_looks_at_the_runs_page_needs_no_notice(client: Client) -> None:
    ada = admin()
    client.force_login(ada)
    run = begin_run(owner=ada)
    run.finish(Run.Status.SUCCEEDED)
    client.get(run.get_absolute_url())
    assert client.get(reverse("training:notifications")).status_code == 286


def test_an_old_end_is_no_news(client: Client) -> None:
    ada = admin()
    client.force_login(ada)
    run = begin_run(owner=ada)
    run.finish(Run.Status.SUCCEEDED)
    Run.objects.filter(pk=run.pk).update(finished_at=timezone.now() - timedelta(days=3))
    assert client.get(reverse("training:notifications")).status_code == 286
