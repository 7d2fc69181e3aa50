"""The pages of gates and of the leaderboard: what they show, to whom, and what their buttons do."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from labeling.models import Project
from labeling.quality.leaderboard import compute_leaderboard
from tests.labeling.objects import admin, annotator
from tests.training.test_gates import OPEN, WITHDRAWN, answer, make_open_gate, two_versions
from training.models import Gate
from training.registry import gates

pytestmark = pytest.mark.django_db


def text(client: Client, name: str, *args: object) -> str:
    response = client.get(reverse(f"training:{name}", args=args))
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def reviewer() -> User:
    user = User.objects.create_user("rae")
    user.groups.add(Group.objects.get(name="reviewers"))
    return user


def test_one_click_on_the_page_of_a_version_opens_its_gate(client: Client) -> None:
    _, _, new = two_versions()
    client.force_login(admin())
    assert "Open gate" in text(client, "version", new.name)
    response = client.post(reverse("training:open_gate", args=[new.name]))
    gate = Gate.objects.get()
    assert response["Location"] == gate.get_absolute_url()
    assert "Samples are being generated" in text(client, "gate", gate.pk)
    card = text(client, "version", new.name)
    assert "Open gate" not in card
    assert gate.get_absolute_url() in card


def test_what_cannot_be_opened_says_why(client: Client) -> None:
    _, old, _ = two_versions()
    client.force_login(admin())
    page = client.post(reverse("training:open_gate", args=[old.name]), follow=True).content.decode()
    assert "old is in production already." in page


def test_the_page_shows_how_it_stands_and_closes_it_when_looked_at(client: Client) -> None:
    gate, ann = make_open_gate(), annotator()
    client.force_login(admin("eve"))
    answer(gate, ann, "+++=-++")
    page = text(client, "gate", gate.pk)
    assert "So far: the candidate wins 79% on 7 compared prompts" in page
    assert 'hx-trigger="every 5s"' in page
    answer(gate, ann, "++++++")
    fragment = client.get(reverse("training:gate_evidence", args=[gate.pk]))
    assert fragment.status_code == 286  # htmx stops asking
    page = text(client, "gate", gate.pk)
    assert "People prefer new" in page
    assert "Promote new…" in page
    assert "every 5s" not in page


def test_asking_more_and_withdrawing_are_for_those_who_start_runs(client: Client) -> None:
    gate = make_open_gate()
    client.force_login(reviewer())
    assert "Withdraw gate" not in text(client, "gate", gate.pk)
    for name in ("ask_more", "withdraw_gate"):
        assert client.post(reverse(f"training:{name}", args=[gate.pk])).status_code == 403
    client.force_login(User.objects.get(username="ada"))
    page = client.post(reverse("training:ask_more", args=[gate.pk]), follow=True).content.decode()
    assert "No more prompts can be added: being answered." in page
    client.post(reverse("training:withdraw_gate", args=[gate.pk]))
    gate.refresh_from_db()
    assert gate.outcome == WITHDRAWN


def test_annotators_and_strangers_to_a_project_find_no_gate(client: Client) -> None:
    gate = make_open_gate()
    client.force_login(annotator())
    assert client.get(gate.get_absolute_url()).status_code == 404
    Project.objects.update(everybody=False)
    client.force_login(reviewer())
    assert client.get(gate.get_absolute_url()).status_code == 404


def test_the_leaderboard_puts_the_preferred_version_first_and_links_to_the_answers(client: Client) -> None:
    gate = make_open_gate()
    answer(gate, annotator(), "++++-+=++-+-++")
    client.force_login(reviewer())
    page = text(client, "leaderboard", gate.project.slug)
    assert page.index(">new</a>") < page.index(">old</a>")
    assert "From 14 comparisons by people on 14 prompts" in page
    behind = f"{reverse('training:answers', args=[gate.project.slug])}?first=new&amp;second=old"
    assert behind in page
    assert client.get(behind.replace("&amp;", "&")).status_code == 200


def test_a_leaderboard_of_nothing_says_how_to_begin(client: Client) -> None:
    project, _, _ = two_versions()
    client.force_login(admin())
    assert "Nothing to compare yet" in text(client, "leaderboard", project.slug)


def test_places_are_open_where_the_interval_leaves_them_open() -> None:
    gate = make_open_gate()
    ann = annotator()
    answer(gate, ann, "+-")
    first, second = compute_leaderboard(gate.project).rows
    assert first.rank_range == second.rank_range == (1, 2)
    answer(gate, ann, "+" * 14)
    first, second = compute_leaderboard(gate.project).rows
    assert (first.generator.name, first.rank_range, second.rank_range) == ("new", (1, 1), (2, 2))
    assert first.interval[0] > 0.5 > second.interval[1]
    assert gates.close_if_decided(gate).outcome != OPEN
