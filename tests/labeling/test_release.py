import pytest
from django.test import Client
from django.urls import reverse

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Assignment
from tests.labeling.objects import admin, annotator, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db


def test_signing_out_gives_back_what_was_held_with_its_draft() -> None:
    stories, poems = make_project("stories"), make_project("poems")
    [story] = make_tasks(stories)
    make_tasks(poems)
    ann, bob = annotator("ann"), annotator("bob")
    held = claimed(ann, stories)
    queue.save_draft(held, {"order": [2]})
    claimed(ann, poems)
    bobs = Client()
    bobs.force_login(bob)
    client = Client()
    client.force_login(ann)
    response = client.post(reverse("logout"))
    assert response.status_code == 302
    assert "_auth_user_id" not in client.session
    assert not Assignment.objects.leased().exists()
    story.refresh_from_db()
    assert story.open == 1
    held.refresh_from_db()
    assert held.draft == {"order": [2]}


def test_signing_out_leaves_what_others_hold() -> None:
    project = make_project()
    make_tasks(project, 2)
    claimed(annotator("bob"), project)
    client = Client()
    client.force_login(annotator("ann"))
    client.post(reverse("logout"))
    assert Assignment.objects.leased().count() == 1


def test_signing_out_of_the_admin_is_the_same() -> None:
    project = make_project()
    make_tasks(project)
    ada = admin()
    claimed(ada, project)
    client = Client()
    client.force_login(ada)
    client.post(reverse("admin:logout"))
    assert "_auth_user_id" not in client.session
    assert not Assignment.objects.leased().exists()


def test_a_stranger_who_signs_out_is_sent_to_sign_in() -> None:
    assert Client().post(reverse("logout")).url == reverse("login")  # type: ignore[attr-defined]


def test_signing_out_wants_a_post() -> None:
    project = make_project()
    make_tasks(project)
    ann = annotator()
    claimed(ann, project)
    client = Client()
    client.force_login(ann)
    assert client.get(reverse("logout")).status_code == 405
    assert Assignment.objects.leased().exists()


def test_another_browser_loses_the_lease_and_claims_the_same_task_again() -> None:
    project = make_project()
    make_tasks(project, 3)
    ann = annotator()
    held = claimed(ann, project)
    assert queue.release_all(annotator=ann) == 1
    with pytest.raises(queue.LeaseLost):
        queue.submit(held, Answer(ranks=(1, 2, 3)), client_key="k")
    assert claimed(ann, project) == held
