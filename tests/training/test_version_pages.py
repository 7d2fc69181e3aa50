"""The pages of versions: the list, one version, and what is decided there."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from labeling.models import Membership, Project
from tests.training.factories import admin, annotator, make_policy, make_project, make_reward
from tests.training.lineage_factories import make_version
from training.artifacts import artifact_storage
from training.models import Decision, Gate, ModelVersion, Run
from training.registry import decisions
from training.registry.win_rates import win_rates

pytestmark = pytest.mark.django_db

TUNING: dict[str, Any] = {
    "stopped": "steps", "steps": 20, "best_step": 20, "notes": [],
    "tuning": {
        "chosen_by": "reward", "prompts": 64,
        "changes": [
            {"measure": "reward", "before": -0.2, "after": 0.9, "low": 0.8, "high": 1.4},
            {"measure": "win_rate", "before": 0.5, "after": 0.78, "low": 0.19, "high": 0.36},
        ],
    },
    "examples": [
        {"prompt": "abc", "completion": "<b>new", "against": "old", "score": 1.5, "score_against": -0.5}
    ],
}  # fmt: skip


@pytest.fixture
def project() -> Project:
    return make_project()


def page_of(client: Client, version: ModelVersion) -> str:
    answer = client.get(version.get_absolute_url())
    assert answer.status_code == 200
    return str(answer.content.decode())


def names_in(client: Client, **query: str) -> list[str]:
    answer = client.get(reverse("training:versions"), query)
    return [row["version"].name for row in answer.context["rows"]]


def tuned(project: Project) -> ModelVersion:
    base = make_version("base", project=project)
    reward = make_version("taste", kind=Run.Kind.TRAIN_REWARD, project=project, policy=base)
    version = make_version(
        "better", kind=Run.Kind.FINETUNE, project=project, policy=base, reward=reward, metrics=TUNING
    )
    asked = {"seed": 7, "reward": "taste", "steps": 20, "source": ""}
    Run.objects.filter(version=version).update(parameters=asked, code_version="commit 0123456789ab")
    return version


def test_a_version_shows_how_it_came_to_be(as_admin: Client, project: Project) -> None:
    page = page_of(as_admin, tuned(project))
    for expected in ("base", "taste", "commit 0123456789ab", "<dd>7</dd>", "0" * 64, "reward −0.20 → 0.90"):
        assert expected in page


def test_a_version_stands_beside_its_parent_on_held_out_prompts(as_admin: Client, project: Project) -> None:
    page = page_of(as_admin, tuned(project))
    assert "Compared with its parent" in page
    assert "&lt;b&gt;new" in page
    assert "<b>new" not in page


def test_win_rates_are_by_people_first_and_each_judges_latest(project: Project) -> None:
    version = tuned(project)

    def evaluated(judge: str, rate: float) -> None:
        won = {"rate": rate, "low": rate - 0.1, "high": rate + 0.1, "count": 50}
        Run.objects.create(
            kind=Run.Kind.EVALUATE, status=Run.Status.SUCCEEDED, project=project, policy=version,
            parameters={"against": "base", "best_of": 1},
            metrics={"judges": [{"judge": judge, "won": won}]},
        )  # fmt: skip

    evaluated("people", 0.4)
    evaluated("story-reward-function", 0.7)
    evaluated("people", 0.6)
    version = ModelVersion.objects.select_related("run", "parent").get(pk=version.pk)
    found = win_rates([version])[version.pk]
    assert [(each.judge, each.interval.rate, each.is_from_training) for each in found] == [
        ("people", 0.6, False), ("story-reward-function", 0.7, False), ("taste", 0.78, True),
    ]  # fmt: skip
    own = found[-1].interval
    assert (round(own.low, 2), round(own.high, 2)) == (0.69, 0.86)


def test_a_closed_gate_is_the_word_of_people(as_admin: Client, project: Project) -> None:
    version = tuned(project)
    assert version.parent is not None
    points = {"points": [1.0] * 18 + [0.5, 0.0], "answers": 20}
    gate = Gate.objects.create(
        project=project, candidate=version, against=version.parent, max_prompts=20, evidence=points,
        outcome=Gate.Outcome.MET, closed_at=timezone.now(),
    )  # fmt: skip
    found = win_rates([version])[version.pk][0]
    assert (found.by_people, found.interval.rate, found.interval.count) == (True, 0.925, 20)
    assert 0.5 < found.interval.low < 0.925 < found.interval.high
    page = page_of(as_admin, version)
    assert gate.get_absolute_url() in page
    assert ">gate</a>" in page


def test_the_list_is_filtered_and_hides_the_archive(as_admin: Client, project: Project) -> None:
    base, taste, old = make_policy(), make_reward(), make_policy("old", seed=1)
    decisions.promote(base, project=project, by=None, reason="")
    decisions.archive(old, by=None, reason="Superseded.")
    assert names_in(as_admin) == [taste.name, "base"]
    assert names_in(as_admin, stage="archived") == ["old"]
    assert names_in(as_admin, stage="all", kind="policy") == ["old", "base"]
    assert names_in(as_admin, project="letters") == ["base"]
    assert names_in(as_admin, project="nowhere", stage="best") == [taste.name, "base"]


def test_the_list_takes_few_queries(
    as_admin: Client, project: Project, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        make_version(f"version-{number}", project=project)
    with django_assert_max_num_queries(14):
        assert len(names_in(as_admin)) == 20


def test_a_version_is_promoted_from_its_page(as_admin: Client, project: Project) -> None:
    base = make_policy()
    assert "Promote to production" in page_of(as_admin, base)
    url = reverse("training:promote", args=["base"])
    answer = as_admin.post(url, {"project": "letters", "reason": ""}, follow=True)
    assert "Promoted: base." in answer.content.decode()
    assert ModelVersion.objects.production(project) == base
    decision = Decision.objects.get()
    assert decision.by is not None
    assert decision.by.username == "ada"


def test_a_refusal_says_why_and_keeps_what_was_typed(as_admin: Client, project: Project) -> None:
    decisions.promote(make_policy(), project=project, by=None, reason="")
    make_policy("newer", seed=1)
    url = reverse("training:promote", args=["newer"])
    asked = {"project": "letters", "reason": "It reads well."}
    refused = as_admin.post(url, asked)
    page = refused.content.decode()
    assert refused.status_code == 422
    assert "People have not compared newer with base yet" in page
    assert "It reads well." in page
    assert as_admin.post(url, asked | {"without_gate": "on"}).status_code == 302
    assert not Decision.objects.latest("pk").gate_was_met
    assert "without gate" in page_of(as_admin, ModelVersion.objects.get(name="newer"))


def test_rolling_back_from_the_page_refuses_a_tampered_artifact(as_admin: Client, project: Project) -> None:
    base, newer = make_policy(), make_policy("newer", seed=1)
    for version in (base, newer):
        decisions.promote(version, project=project, by=None, reason="Why not.", without_gate=True)
    url = reverse("training:roll_back", args=["letters"])
    assert f'action="{url}"' in page_of(as_admin, newer)
    weights = Path(artifact_storage().path(base.artifact)) / "model.safetensors"
    stored = weights.read_bytes()
    weights.write_bytes(stored[:-1] + b"\0")
    refused = as_admin.post(url, {"reason": "Worse."})
    assert refused.status_code == 422
    assert "their hash differs" in refused.content.decode()
    assert ModelVersion.objects.production(project) == newer
    weights.write_bytes(stored)
    answer = as_admin.post(url, {"reason": "Worse."}, follow=True)
    assert "Rolled back to: base." in answer.content.decode()
    assert ModelVersion.objects.production(project) == base
    assert "Was in production" in page_of(as_admin, newer)


def test_archiving_and_restoring_from_the_page(as_admin: Client) -> None:
    base = make_policy()
    archive, restore = (reverse(f"training:{name}", args=["base"]) for name in ("archive", "restore"))
    assert as_admin.post(archive, {"reason": ""}).status_code == 422
    as_admin.post(archive, {"reason": "A try."})
    assert "Restore" in page_of(as_admin, base)
    as_admin.post(restore, {"reason": "Wanted after all."})
    reasons = list(Decision.objects.order_by("pk").values_list("action", "reason"))
    assert reasons == [("archive", "A try."), ("restore", "Wanted after all.")]
    assert as_admin.get(archive).status_code == 405


def test_reviewers_look_and_do_not_decide(client: Client, project: Project) -> None:
    base = make_policy()
    decisions.promote(base, project=project, by=None, reason="")
    person = annotator()
    client.force_login(person)
    assert client.get(base.get_absolute_url()).status_code == 404
    project.memberships.create(person=person, role=Membership.Role.REVIEWER)
    page = page_of(client, base)
    assert "Roll back" not in page
    assert "Archive" not in page
    for name in ("promote", "archive", "restore"):
        assert client.post(reverse(f"training:{name}", args=["base"])).status_code == 403
    assert client.post(reverse("training:roll_back", args=["letters"])).status_code == 403
    assert not Decision.objects.exclude(action="promote").exists()


def test_versions_of_other_projects_are_not_named(client: Client, project: Project) -> None:
    closed = make_project("digits")
    Project.objects.filter(pk=closed.pk).update(everybody=False)
    hidden = make_version("hidden", project=closed)
    child = make_version("child", kind=Run.Kind.DPO, project=project, policy=hidden)
    client.force_login(admin())
    page = page_of(client, child)
    assert "a version of another project" in page
    assert client.get(hidden.get_absolute_url()).status_code == 404


def test_the_django_admin_leads_to_the_page(as_admin: Client) -> None:
    base = make_policy()
    url = reverse("admin:training_modelversion_change", args=[base.pk])
    assert as_admin.get(url).headers["Location"] == base.get_absolute_url()
    assert as_admin.post(url, {"stage": "production"}).status_code == 302
    assert ModelVersion.objects.get().stage == "candidate"
