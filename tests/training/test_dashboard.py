"""The pages that show where the loop stands, of all projects and of one, and a project's rounds."""

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from labeling.models import Membership, Project
from tests.labeling.objects import annotator
from tests.training.factories import make_project
from tests.training.test_rounds import end_run, make_ready_project, policy
from training import rounds
from training.models import Automation, Gate, ModelVersion, Round, Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("midday")]

DASHBOARD = "/dashboard/"


def text(client: Client, url: str, status: int = 200) -> str:
    response = client.get(url)
    assert response.status_code == status
    return " ".join(response.content.decode().split())


def reviewer(project: Project) -> User:
    """Somebody with a part in one project alone, by membership."""
    person = User.objects.create_user("rita")
    Membership.objects.create(project=project, person=person, role=Membership.Role.REVIEWER)
    return person


def in_production(version: ModelVersion) -> ModelVersion:
    version.stage = ModelVersion.Stage.PRODUCTION
    version.save()
    return version


def test_the_dashboard_tells_of_each_project_where_its_loop_stands(as_admin: Client) -> None:
    project = make_ready_project()
    base = in_production(ModelVersion.objects.get(name="base"))
    kind = ModelVersion.Kind.REWARD
    metrics = {"accuracy": 0.731}
    ModelVersion.objects.publish(
        name="taste", kind=kind, project=project, artifact="t", artifact_hash="", metrics=metrics
    )
    candidate = policy("base-2", project=project, parent=base)
    won = {"judges": [{"judge": "people", "won": {"rate": 0.62, "low": 0.55, "high": 0.7, "count": 90}}]}
    measured = Run.objects.create(
        kind=Run.Kind.EVALUATE, policy=candidate, project=project, parameters={"against": "base"}
    )
    measured.begin()
    measured.finish(Run.Status.SUCCEEDED, metrics=won)
    page = text(as_admin, DASHBOARD)
    for expected in ("Letters", "<strong>6</strong> <small>of 1,000", "73 %", "62%", "over base, by people",
                 "base</a> in production", "2 answers in the last 14 days, 2 of them today",
                 "Open a gate for base-2"):  # fmt: skip
        assert expected in page
    assert reverse("training:open_gate", args=["base-2"]) in page


def test_what_is_at_work_is_shown_and_the_page_looks_again_soon(as_admin: Client) -> None:
    project = make_ready_project()
    assert 'hx-trigger="every 60s"' in text(as_admin, DASHBOARD)
    current = rounds.begin(project)
    assert current.train_reward is not None
    current.train_reward.begin()
    current.train_reward.record_heartbeat(progress=0.4, message="")
    page = text(as_admin, DASHBOARD)
    assert 'hx-trigger="every 5s"' in page
    assert str(current.train_reward) in page
    assert "40 %" in page


def test_an_empty_site_says_how_to_begin(as_admin: Client) -> None:
    page = text(as_admin, DASHBOARD)
    assert "No projects yet" in page
    assert reverse("labeling:new_project") in page


def test_twenty_projects_cost_as_many_queries_as_two(as_admin: Client) -> None:
    for number in range(20):
        project = make_project(f"project-{number}", train=2, heldout=1)
        base = in_production(policy(f"base-{number}", project=project))
        policy(f"next-{number}", project=project, parent=base)
        Round.objects.create(project=project, number=1, comparisons=0, outcome="done")
        if number == 1:
            counts = [queries(as_admin, DASHBOARD)]
    counts.append(queries(as_admin, DASHBOARD))
    assert counts[0] == counts[1] <= 32


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as caught:
        text(client, url)
    return len(caught)


def test_one_sees_the_projects_in_which_one_may_watch_runs(client: Client) -> None:
    mine = Project.objects.create(slug="mine", name="Mine alone", everybody=False)
    make_project()
    client.force_login(reviewer(mine))
    page = text(client, DASHBOARD)
    assert "Mine alone" in page
    assert "Letters" not in page
    assert "Import prompts" in page
    # A reviewer reads; the button is an admin's.
    assert "Only an admin of the project can do this." in page
    assert text(client, reverse("training:project_dashboard", args=["mine"]))
    assert text(client, reverse("training:rounds", args=["mine"]))
    text(client, reverse("training:project_dashboard", args=["letters"]), status=403)


def test_annotators_find_neither_the_page_nor_a_link_to_it(client: Client) -> None:
    make_project()
    client.force_login(annotator())
    text(client, DASHBOARD, status=403)
    text(client, reverse("training:project_dashboard", args=["letters"]), status=403)
    assert DASHBOARD not in text(client, "/")


def test_the_loop_page_shows_its_stages_versions_and_rounds(as_admin: Client) -> None:
    project = make_ready_project()
    base = in_production(ModelVersion.objects.get(name="base"))
    candidate = policy("base-2", project=project, parent=base)
    Gate.objects.create(project=project, candidate=candidate, against=base, max_prompts=10)
    current = rounds.begin(project, by=User.objects.get(username="ada"))
    end_run(current.train_reward, Run.Status.FAILED, "Out of memory.")
    rounds.advance(project)
    page = text(as_admin, reverse("training:project_dashboard", args=[project.slug]))
    for expected in ("Gate: Open", "Round 1", "Stopped", "Out of memory.", "6 comparisons", "by ada",
                 "Answers in the last 14 days"):  # fmt: skip
        assert expected in page


def test_a_new_project_is_not_taken_for_one(as_admin: Client) -> None:
    assert "New project" in text(as_admin, "/projects/new/")


# -- Rounds ---------------------------------------------------------------------------------------------


def automation_settings(**changes: object) -> dict[str, object]:
    usual = {
        "every": 250, "reward-members": 1, "reward-epochs": 0, "reward-minutes": 0, "tuning-steps": 100,
        "tuning-minutes": 0, "tuning-kl_target": 6, "tuning-kl_budget": 15, "tuning-tasks": 0,
    }  # fmt: skip
    return {**usual, **changes}


def test_automatic_rounds_are_switched_on_with_the_options_of_their_runs(as_admin: Client) -> None:
    project = make_project()
    url = reverse("training:rounds", args=[project.slug])
    asked = automation_settings(is_on="on", **{"tuning-steps": 40, "reward-reliability": "on"})
    assert as_admin.post(url, asked, follow=True).status_code == 200
    stored = Automation.objects.get(project=project)
    assert (stored.is_on, stored.every) == (True, 250)
    assert stored.train_reward == {"reliability": True}
    assert stored.finetune == {"steps": 40}
    assert stored.changed_by is not None
    page = text(as_admin, url)
    assert 'value="40"' in page
    as_admin.post(url, automation_settings())
    stored.refresh_from_db()
    assert not stored.is_on
    assert stored.finetune == {}


@pytest.mark.parametrize(
    ("field", "value"), [("every", 0), ("tuning-steps", 0), ("reward-members", 1000), ("every", "many")]
)
def test_settings_that_cannot_be_are_refused_and_stay_on_the_page(
    as_admin: Client, field: str, value: object
) -> None:
    project = make_project()
    url = reverse("training:rounds", args=[project.slug])
    response = as_admin.post(url, automation_settings(**{field: value}))
    assert response.status_code == 422
    assert "Nothing was saved" in response.content.decode()
    assert not Automation.objects.exists()


def test_a_round_is_begun_and_stopped_from_its_page(as_admin: Client) -> None:
    project = make_ready_project()
    page = as_admin.post(reverse("training:begin_round", args=[project.slug]), follow=True).content.decode()
    assert "Round 1 has started" in page
    assert "Stop the round" in page
    assert "Start a round" not in page
    page = as_admin.post(reverse("training:stop_round", args=[project.slug]), follow=True).content.decode()
    assert "Stopped by ada." in page
    assert Round.objects.get().outcome == Round.Outcome.STOPPED


def test_where_no_round_can_begin_the_page_says_why(as_admin: Client) -> None:
    project = make_project()
    url = reverse("training:begin_round", args=[project.slug])
    page = as_admin.post(url, follow=True).content.decode()
    assert page.count("There is no policy to start from") == 2
    assert "Start a round" not in page
    assert not Round.objects.exists()


def test_reviewers_read_the_rounds_and_change_nothing(client: Client) -> None:
    project = make_ready_project()
    person = User.objects.create_user("rita")
    person.groups.add(Group.objects.get(name="reviewers"))
    client.force_login(person)
    url = reverse("training:rounds", args=[project.slug])
    page = text(client, url)
    assert "Start a round" not in page
    assert "Save" not in page
    assert client.post(url, automation_settings()).status_code == 403
    for name in ("begin_round", "stop_round"):
        assert client.post(reverse(f"training:{name}", args=[project.slug])).status_code == 403
