import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.test import Client

from labeling import queue
from labeling.feedback import Answer
from labeling.imports.people import imported_annotator
from labeling.models import Assignment, Project, Task
from labeling.people import accounts, memberships
from tests.labeling.importing import import_text, json_lines
from tests.labeling.objects import admin, annotator, claimed, joins, make_project, make_tasks, member

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(admin())
    return client


def test_the_page_shows_who_is_here_and_what_they_did(ada: Client) -> None:
    ann, project = annotator(), make_project("inner", everybody=False)
    project.members.add(ann)
    joins(User.objects.get(username="ada"), project, "admins")
    make_tasks(project)
    queue.submit(claimed(ann, project), Answer(ranks=(1, 2, 3)), client_key="k")
    User.objects.create_superuser("root")
    User.objects.create_user("nobody")
    page = ada.get("/people/").text
    for text in ("ann", "Annotator", "Inner", "root", "Superuser", "Admin", "No role", "never"):
        assert text in page
    row = accounts.people_with_activity(User.objects.get(username="ada")).get(username="ann")
    assert (row.answers, row.last_seen is not None) == (1, True)
    assert ada.get(f"/people/{ann.pk}/").status_code == 200


def test_a_name_can_be_found_among_many(ada: Client) -> None:
    User.objects.bulk_create(User(username=f"person{number:03}") for number in range(60))
    assert "page 1 of 2" in ada.get("/people/").text
    page = ada.get("/people/", {"q": "PERSON01"}).text
    assert "person017" in page
    assert "person021" not in page
    assert "No one found" in ada.get("/people/", {"q": "<b>"}).text
    assert ada.get("/people/", {"q": "a\x00", "page": "x"}).status_code == 200


def test_a_deactivated_annotator_is_out_at_once_and_their_tasks_go_to_others(ada: Client) -> None:
    ann, project = annotator(), make_project()
    [task] = make_tasks(project)
    claimed(ann, project)
    theirs = Client()
    theirs.force_login(ann)
    page = ada.post(f"/people/{ann.pk}/deactivate/", follow=True).text
    assert "ann can no longer sign in" in page
    assert "1 task" in page
    assert theirs.get("/").status_code == 302
    task.refresh_from_db()
    assert task.open == 1
    assert Assignment.objects.get().state == "released"
    assert claimed(annotator("ben"), project).task == task


def test_a_reactivated_annotator_is_back(ada: Client) -> None:
    ann = annotator()
    ada.post(f"/people/{ann.pk}/deactivate/")
    assert "ann can sign in again" in ada.post(f"/people/{ann.pk}/reactivate/", follow=True).text
    assert User.objects.get(pk=ann.pk).is_active


@pytest.mark.parametrize("who", ["oneself", "an admin", "a superuser"])
def test_admins_deactivate_neither_themselves_nor_each_other(ada: Client, who: str) -> None:
    person = {
        "oneself": lambda: User.objects.get(username="ada"),
        "an admin": lambda: admin("eve"),
        "a superuser": lambda: User.objects.create_superuser("root"),
    }[who]()
    for act in ("deactivate", "reactivate"):
        assert ada.post(f"/people/{person.pk}/{act}/").status_code == 403
    assert User.objects.get(pk=person.pk).is_active
    assert "Deactivate" not in ada.get(f"/people/{person.pk}/").text


def test_a_superuser_deactivates_admins(client: Client) -> None:
    eve = admin("eve")
    client.force_login(User.objects.create_superuser("root"))
    client.post(f"/people/{eve.pk}/deactivate/")
    assert not User.objects.get(pk=eve.pk).is_active


def test_annotators_manage_nobody(client: Client) -> None:
    ann, ben, project = annotator(), annotator("ben"), make_project("inner", everybody=False)
    client.force_login(ann)
    assert client.get(f"/people/{ben.pk}/").status_code == 403
    for act in ("deactivate", "reactivate", "projects"):
        assert client.post(f"/people/{ben.pk}/{act}/", {"projects": [project.pk]}).status_code == 403
    with pytest.raises(PermissionDenied):
        memberships.set_role(ben, project, "annotators", by=ann)
    with pytest.raises(PermissionDenied):
        accounts.deactivate(ben, by=ann)


def test_acting_needs_a_post(ada: Client) -> None:
    ann = annotator()
    assert ada.get(f"/people/{ann.pk}/deactivate/").status_code == 405
    assert User.objects.get(pk=ann.pk).is_active


def test_nobody_raises_rights_on_the_pages_of_people(ada: Client) -> None:
    ann = annotator()
    make_project()
    given = {"is_staff": "on", "is_superuser": "on", "groups": "2", "role": "admins"}
    ada.post(f"/people/{ann.pk}/projects/", given)
    ann = User.objects.get(pk=ann.pk)
    assert (ann.is_staff, ann.is_superuser, ann.memberships.count()) == (False, False, 0)
    assert list(ann.groups.all()) == [Group.objects.get(name="annotators")]


def test_superusers_are_counted_among_nobodys_annotators() -> None:
    User.objects.create_superuser("root")
    admin()
    ann = annotator()
    User.objects.create_user("nobody")
    assert list(accounts.annotators()) == [ann]


def test_tasks_of_other_people_are_kept_when_one_goes(ada: Client) -> None:
    ann, ben, project = annotator(), annotator("ben"), make_project()
    make_tasks(project, 2)
    claimed(ann, project)
    held = claimed(ben, project)
    ada.post(f"/people/{ann.pk}/deactivate/")
    held.refresh_from_db()
    assert held.is_leased
    assert Task.objects.filter(open=1).count() == 1
    assert Project.objects.for_annotator(User.objects.get(pk=ann.pk)).count() == 0


def test_imported_annotators_are_listed_apart_and_never_reactivated(client: Client) -> None:
    boss = admin("boss")
    client.force_login(boss)
    person = imported_annotator("label-studio", "2")
    page = client.get("/people/").text
    assert "label-studio:2" not in page
    assert "1 imported annotator" in page
    assert "label-studio:2" in client.get("/people/?imported=1").text
    page = client.get(f"/people/{person.pk}/").text
    assert "Imported annotator" in page
    assert "Reactivate" not in page
    assert client.post(f"/people/{person.pk}/reactivate/").status_code == 403
    person.refresh_from_db()
    assert not person.is_active


def test_an_admin_of_a_project_sees_whose_answers_were_imported_into_it(client: Client) -> None:
    ours, theirs = make_project("ours", feedback="pair"), make_project("theirs", feedback="pair")
    for project, name in ((ours, "ls1"), (theirs, "ls2")):
        row = {"prompt": "Q", "chosen": "a", "rejected": "b", "annotator": name}
        import_text(project, json_lines(row))
    client.force_login(member(ours, "admins"))
    page = client.get("/people/?imported=1").text
    assert "trl:ls1" in page
    assert "trl:ls2" not in page
