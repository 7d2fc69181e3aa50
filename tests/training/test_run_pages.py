"""The pages on which runs are watched, and started from the Django admin."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.training.factories import annotator, begin_run, make_policy, make_project, make_reward, queue_run
from training.models import MetricPoint, ModelVersion, Run

pytestmark = pytest.mark.django_db


def make_unfinished_run(*, saved_step: int | None) -> Run:
    run = begin_run()
    if saved_step is not None:
        run.record_saved_step(saved_step)
    run.finish(Run.Status.CANCELLED)
    return run


def test_a_running_run_is_polled_and_shows_its_curves(as_admin: Client) -> None:
    run = begin_run()
    run.record_heartbeat(progress=0.25, message="step 2")
    MetricPoint.objects.bulk_create(
        MetricPoint(run=run, step=step, values={"kl": step * 0.5}) for step in (1, 2)
    )
    page = as_admin.get(run.get_absolute_url()).content.decode()
    assert 'hx-trigger="every 2s"' in page
    assert "25 %" in page
    assert "step 2" in page
    assert "KL, nats per sequence" in page
    assert "<polyline" in page
    assert as_admin.get(reverse("training:progress", args=[run.pk])).status_code == 200


def test_an_ended_run_stops_the_polling(as_admin: Client) -> None:
    run = begin_run()
    run.finish(Run.Status.FAILED, error="Out of memory: try a smaller batch_size.")
    page = as_admin.get(run.get_absolute_url()).content.decode()
    assert "every 2s" not in page
    assert "Out of memory" in page
    assert as_admin.get(reverse("training:progress", args=[run.pk])).status_code == 286


def test_text_of_models_is_escaped(as_admin: Client) -> None:
    run = begin_run()
    example = {
        "prompt": "<b>", "completion": "<script>x", "against": "<i>", "score": 1.0, "score_against": 0.0
    }  # fmt: skip
    run.finish(Run.Status.SUCCEEDED, metrics={"examples": [example]})
    page = as_admin.get(run.get_absolute_url()).content.decode()
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page


def test_cancelling_asks_the_run_to_stop(as_admin: Client) -> None:
    run = begin_run()
    as_admin.post(reverse("training:cancel", args=[run.pk]))
    run.refresh_from_db()
    assert run.cancel_requested
    assert "stopping at the next step" in as_admin.get(run.get_absolute_url()).content.decode()


def test_cancelling_by_get_is_refused(as_admin: Client) -> None:
    assert as_admin.get(reverse("training:cancel", args=[begin_run().pk])).status_code == 405


def test_a_run_that_left_a_state_is_resumed_from_its_page(as_admin: Client) -> None:
    run = make_unfinished_run(saved_step=7)
    page = as_admin.get(run.get_absolute_url()).content.decode()
    assert "saved at step 7" in page
    url = reverse("training:resume", args=[run.pk])
    assert url in page
    answer = as_admin.post(url, headers={"HX-Request": "true"})
    assert answer.headers["HX-Refresh"] == "true"
    run.refresh_from_db()
    assert run.status == Run.Status.QUEUED
    assert run.detached
    assert "resumes from step 7" in as_admin.get(run.get_absolute_url()).content.decode()


def test_a_run_without_a_state_offers_no_resume_and_says_why(as_admin: Client) -> None:
    run = make_unfinished_run(saved_step=None)
    url = reverse("training:resume", args=[run.pk])
    assert url not in as_admin.get(run.get_absolute_url()).content.decode()
    assert "has no saved state" in as_admin.post(url, follow=True).content.decode()
    run.refresh_from_db()
    assert run.status == Run.Status.CANCELLED


def test_runs_are_resumed_from_the_list_in_the_django_admin(as_admin: Client) -> None:
    first, second = make_unfinished_run(saved_step=7), make_unfinished_run(saved_step=None)
    answer = as_admin.post(
        reverse("admin:training_run_changelist"),
        {"action": "resume", "_selected_action": [first.pk, second.pk]},
        follow=True,
    )
    page = answer.content.decode()
    assert "1 of 2 runs" in page
    assert f"{second} has no saved state to resume from" in page
    assert Run.objects.get(status=Run.Status.QUEUED) == first


def test_annotators_see_no_runs_and_do_not_learn_which_there_are(client: Client) -> None:
    client.force_login(annotator())
    run = begin_run()
    assert client.get(reverse("training:runs")).status_code == 403
    for name in ("run", "progress", "log", "run_samples", "points"):
        assert client.get(reverse(f"training:{name}", args=[run.pk])).status_code == 404
    for name in ("cancel", "pause", "resume"):
        assert client.post(reverse(f"training:{name}", args=[run.pk])).status_code == 404


def test_strangers_are_sent_to_sign_in(client: Client) -> None:
    assert client.get(reverse("training:runs")).headers["Location"].startswith(reverse("login"))


def test_the_list_shows_runs_with_few_queries(
    as_admin: Client, django_assert_max_num_queries: object
) -> None:
    project, policy = make_project(), make_policy()
    for _ in range(20):
        begin_run(project=project, policy=policy)
    with django_assert_max_num_queries(8):  # type: ignore[operator]
        assert as_admin.get(reverse("training:runs")).status_code == 200


def test_an_admin_starts_a_finetune_from_the_django_admin(as_admin: Client) -> None:
    make_project()
    make_policy()
    make_reward()
    url = reverse("admin:training_run_add") + "?kind=finetune"
    assert "Tune a policy by policy gradient" in as_admin.get(url).content.decode()
    answer = as_admin.post(url, {"project": "letters", "policy": "base", "reward": "taste", "steps": "5"})
    run = Run.objects.get()
    assert answer.headers["Location"] == run.get_absolute_url()
    assert run.status == Run.Status.QUEUED
    assert run.parameters["steps"] == 5
    assert run.owner is not None


def test_the_form_of_pretraining_begins_from_scratch_unless_a_policy_is_chosen(as_admin: Client) -> None:
    make_policy()
    pretraining = as_admin.get(reverse("admin:training_run_add") + "?kind=pretrain").content.decode()
    assert '<option value="base" selected>' not in pretraining
    sampling = as_admin.get(reverse("admin:training_run_add") + "?kind=sample").content.decode()
    assert '<option value="base" selected>' in sampling


def test_the_form_says_what_is_missing_and_starts_nothing(as_admin: Client) -> None:
    make_project()
    make_policy()
    url = reverse("admin:training_run_add") + "?kind=finetune"
    page = as_admin.post(url, {"project": "letters", "policy": "base"}).content.decode()
    assert "Train a reward model" in page
    assert not Run.objects.exists()


def test_every_kind_of_run_has_a_form_and_every_admin_page_loads(as_admin: Client) -> None:
    make_policy()
    make_reward()
    queue_run(Run.Kind.PRETRAIN, detached=True)
    for kind in Run.Kind:
        assert as_admin.get(reverse("admin:training_run_add") + f"?kind={kind}").status_code == 200
    for name in ("run_changelist", "modelversion_changelist"):
        assert as_admin.get(reverse(f"admin:training_{name}")).status_code == 200
    for version in ModelVersion.objects.all():
        assert as_admin.get(version.get_absolute_url()).status_code == 200


def test_a_versions_page_shows_parent_metrics_and_samples(as_admin: Client) -> None:
    project, parent, child = make_project(), make_policy(), make_policy("child")
    ModelVersion.objects.filter(pk=child.pk).update(parent=parent, metrics={"kl": 3.25})
    prompt = project.prompts.first()
    assert prompt is not None
    assert child.generator is not None
    child.generator.samples.create(prompt=prompt, text=" and <i>more")
    page = as_admin.get(child.get_absolute_url()).content.decode()
    for expected in ("base", "3.25", "and &lt;i&gt;more"):
        assert expected in page


def test_an_annotator_cannot_open_the_admin(client: Client) -> None:
    client.force_login(annotator())
    assert client.get(reverse("admin:training_run_add")).status_code == 302
