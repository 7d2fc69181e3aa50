"""An annotator's own keyboard shortcuts and daily goal."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from labeling.models import WorkSettings
from labeling.workspace.keyboard_shortcuts import ACTIONS, keys_for
from tests.labeling.objects import annotator

pytestmark = pytest.mark.django_db

PATH = "/me/settings/"


@pytest.fixture
def user(client: Client) -> User:
    user = annotator()
    client.force_login(user)
    return user


def form(*, goal: str = "", **keys: str) -> dict[str, str]:
    """What the page sends: every key, these changed."""
    usual = {f"key-{action}": usual.key.upper() for action, usual in ACTIONS.items()}
    return usual | {f"key-{action}": key for action, key in keys.items()} | {"daily_goal": goal}


def beside(page: str, field: str) -> str:
    """The message beside a field."""
    found = re.search(rf'id="id_key-{field}-problem">([^<]*)<', page)
    assert found is not None
    return found[1]


def test_the_page_shows_the_keys_as_they_are(client: Client, user: User) -> None:
    WorkSettings.objects.create(annotator=user, keys={"skip": "x"}, daily_goal=40)
    page = client.get(PATH).text
    assert re.search(r'name="key-skip"[^>]*value="X"', page)
    assert re.search(r'name="key-flag"[^>]*value="F"', page)
    assert re.search(r'name="daily_goal"[^>]*value="40"', page)


def test_only_the_keys_that_differ_are_stored(client: Client, user: User) -> None:
    response = client.post(PATH, form(goal="25", skip="X"), follow=True)
    stored = WorkSettings.objects.get(annotator=user)
    assert (stored.keys, stored.daily_goal) == ({"skip": "x"}, 25)
    assert "Saved." in response.text
    assert keys_for(user)["skip"] == "x"


def test_two_keys_may_change_places(client: Client, user: User) -> None:
    client.post(PATH, form(skip="B", all_bad="S"))
    assert keys_for(user) | {"skip": "b", "all_bad": "s"} == keys_for(user)


def test_an_empty_field_means_the_usual_key(client: Client, user: User) -> None:
    WorkSettings.objects.create(annotator=user, keys={"skip": "x"})
    client.post(PATH, form(skip=""))
    assert WorkSettings.objects.get().keys == {}


def test_a_key_given_twice_is_told_beside_the_field_and_nothing_is_lost(client: Client, user: User) -> None:
    response = client.post(PATH, form(goal="30", skip="F"))
    assert response.status_code == 422
    assert "already used" in beside(response.text, "skip")
    assert beside(response.text, "flag") == ""
    assert re.search(r'name="key-skip"[^>]*value="F"[^>]*aria-invalid="true"', response.text)
    assert re.search(r'name="daily_goal"[^>]*value="30"', response.text)
    assert not WorkSettings.objects.exists()


@pytest.mark.parametrize("key", ["7", "ab", " ", "\u200b"])
def test_what_cannot_be_a_key_is_told_beside_the_field(client: Client, user: User, key: str) -> None:
    response = client.post(PATH, form(skip=key))
    assert response.status_code == 422
    assert beside(response.text, "skip")
    assert not WorkSettings.objects.exists()


def test_markup_as_a_key_is_shown_and_not_run(client: Client, user: User) -> None:
    page = client.post(PATH, form(skip='"><script>alert(1)</script>')).text
    assert "<script>alert" not in page
    client.post(PATH, form(skip="<"))
    assert 'value="&lt;"' in client.get(PATH).text


@pytest.mark.parametrize("goal", ["0", "-3", "many", "2.5", "1000000"])
def test_a_goal_that_is_none_is_told_in_words(client: Client, user: User, goal: str) -> None:
    response = client.post(PATH, form(goal=goal))
    assert response.status_code == 422
    assert 'id="goal-problem"' in response.text
    assert not WorkSettings.objects.exists()


def test_an_empty_goal_takes_ones_own_back(client: Client, user: User) -> None:
    WorkSettings.objects.create(annotator=user, daily_goal=40)
    client.post(PATH, form(goal=""))
    assert WorkSettings.objects.get().daily_goal is None


def test_the_usual_keys_come_back_and_the_goal_stays(client: Client, user: User) -> None:
    WorkSettings.objects.create(annotator=user, keys={"skip": "x"}, daily_goal=40)
    response = client.post(PATH, {"reset": "keys"} | form(skip="9", goal="no"), follow=True)
    stored = WorkSettings.objects.get(annotator=user)
    assert (stored.keys, stored.daily_goal) == ({}, 40)
    assert "reset to their defaults" in response.text


def test_a_field_that_the_page_does_not_have_changes_nothing(client: Client, user: User) -> None:
    other = annotator("bob")
    client.post(PATH, form(skip="X") | {"annotator": str(other.pk), "key-sudo": "y"})
    assert WorkSettings.objects.get().annotator == user
    assert WorkSettings.objects.get().keys == {"skip": "x"}


def test_only_people_who_label_have_settings(client: Client) -> None:
    assert client.get(PATH).headers["Location"] == f"/accounts/login/?next={PATH}"
    outsider = annotator("outsider")
    outsider.groups.clear()
    client.force_login(outsider)
    assert client.get(PATH).status_code == 403
