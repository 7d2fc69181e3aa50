"""Who has which part in a project: by whom it is given, changed and taken, and what it opens."""

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.test import Client
from rest_framework.authtoken.models import Token

from labeling.models import Assignment, Invitation, Membership, Project
from labeling.people import accounts, invitations, memberships
from tests.labeling.objects import (
    admin,
    annotator,
    claimed,
    joins,
    make_project,
    make_tasks,
    member,
    reviewer,
)

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def ann(client: Client) -> Client:
    client.force_login(annotator())
    return client


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def role(user: User, project: Project) -> str | None:
    return Membership.objects.filter(person=user, project=project).values_list("role", flat=True).first()


# -- What a project of few shows to whom ------------------------------------------------------------------


def test_a_project_of_others_is_not_there(ann: Client) -> None:
    make_tasks(make_project("inner", everybody=False))
    assert "Inner" not in ann.get("/").text
    for part in ("work", "guidelines"):
        assert ann.get(f"/projects/inner/{part}/").status_code == 404
    assert ann.post("/projects/inner/claim/").status_code == 404


def test_its_members_find_it(ann: Client) -> None:
    project = make_project("inner", everybody=False)
    make_tasks(project)
    project.members.add(User.objects.get(username="ann"))
    assert "Inner" in ann.get("/").text
    assert ann.get("/projects/inner/work/").status_code == 200


def test_the_api_knows_no_project_of_others(client: Client) -> None:
    make_tasks(make_project("inner", everybody=False))
    make_tasks(make_project("open"))
    token = Token.objects.create(user=annotator())
    headers = {"Authorization": f"Token {token.key}"}
    listed = client.get("/api/projects/", headers=headers).json()
    assert [project["slug"] for project in listed["results"]] == ["open"]
    assert client.post("/api/projects/inner/claim/", headers=headers).status_code == 404


def test_a_task_of_somebody_else_is_not_there(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    theirs = claimed(annotator("ben"), project)
    for act in ("submit", "skip", "renew"):
        assert ann.post(f"/assignments/{theirs.pk}/{act}/", {"answer": "{}"}).status_code == 404


def test_a_role_in_one_project_is_worth_nothing_in_another() -> None:
    one, two = make_project("one", everybody=False), make_project("two")
    mia = signed_in(member(one, "reviewers"))
    assert mia.get("/projects/one/quality/").status_code == 200
    assert mia.get("/projects/one/work/").status_code == 200
    assert mia.get("/projects/one/setup/").status_code == 403
    assert mia.get("/projects/two/quality/").status_code == 403
    assert mia.get("/projects/two/work/").status_code == 404
    make_tasks(two)
    assert "Two" not in mia.get("/").text


def test_a_person_in_charge_of_one_project_sets_it_up_and_no_other() -> None:
    project = make_project("one", everybody=False)
    make_project("two")
    mia = signed_in(member(project, "admins"))
    assert mia.get("/projects/one/setup/").status_code == 200
    assert mia.get("/projects/two/setup/").status_code == 403
    assert mia.get("/projects/new/").status_code == 403
    assert "New project" not in mia.get("/").text


# -- Giving a role ----------------------------------------------------------------------------------------


def test_roles_are_given_changed_and_taken_on_the_set_up_page() -> None:
    project, ben = make_project("inner", everybody=False), annotator("ben")
    ada = signed_in(joins(admin(), project, "admins"))
    page = ada.post("/projects/inner/members/", {"username": "ben", "role": "annotators"}, headers=HTMX).text
    assert "ben: saved." in page
    assert role(ben, project) == "annotators"
    ada.post("/projects/inner/members/", {"username": "ben", "role": "reviewers"}, headers=HTMX)
    assert role(ben, project) == "reviewers"
    ada.post("/projects/inner/members/", {"username": "ben", "role": "reviewers", "remove": "1"})
    assert role(ben, project) is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"username": "nemo", "role": "annotators"}, "There is no user “nemo”"),
        ({"username": "ADA", "role": "annotators"}, "You cannot change your own role"),
        ({"username": "ben", "role": "kings"}, "not one of the available choices"),
        ({"username": "ben"}, "Choose a role"),
        ({"username": "", "role": "annotators"}, "required"),
    ],
)
def test_what_is_wrong_with_a_member_is_said(given: dict[str, str], says: str) -> None:
    project, ben = make_project("inner", everybody=False), annotator("ben")
    ada = signed_in(joins(admin(), project, "admins"))
    response = ada.post("/projects/inner/members/", given, headers=HTMX)
    assert (response.status_code, says in response.text) == (422, True)
    assert role(ben, project) is None


def test_roles_are_chosen_on_a_persons_page_too(client: Client) -> None:
    one, two = make_project("one", everybody=False), make_project("two")
    others = make_project("others", everybody=False)
    ann = joins(joins(annotator(), two, "reviewers"), others)
    client.force_login(joins(admin(), one, "admins"))
    page = client.get(f"/people/{ann.pk}/").text
    assert "One" in page
    assert "Others" not in page
    given = {f"role_{one.pk}": "annotators", f"role_{two.pk}": "", f"role_{others.pk}": ""}
    client.post(f"/people/{ann.pk}/projects/", given)
    assert (role(ann, one), role(ann, two), role(ann, others)) == ("annotators", None, "annotators")
    gone = client.post(f"/people/{ann.pk}/projects/", {f"role_{one.pk}": "kings"}, follow=True).text
    assert "Nothing was changed" in gone
    assert role(ann, one) == "annotators"


def test_who_is_removed_gives_back_the_task_they_hold_and_its_page_is_gone() -> None:
    project = make_project("inner", everybody=False)
    ada, mia = joins(admin(), project, "admins"), member(project)
    [task] = make_tasks(project)
    held = claimed(mia, project)
    memberships.set_role(mia, project, None, by=ada)
    task.refresh_from_db()
    assert (task.open, Assignment.objects.get().state) == (1, "released")
    theirs = signed_in(mia)
    assert theirs.get(f"/assignments/{held.pk}/").status_code in {403, 404}
    assert theirs.post(f"/assignments/{held.pk}/submit/", {"answer": "{}"}).status_code in {403, 404}


def test_who_gave_which_role_stands_in_the_persons_history() -> None:
    project = make_project("inner", everybody=False)
    ada, mia = joins(admin(), project, "admins"), member(project)
    for role_given in ("reviewers", "reviewers", None):
        memberships.set_role(mia, project, role_given, by=ada)
    accounts.deactivate(mia, by=ada)
    history = signed_in(User.objects.create_superuser("root")).get(f"/admin/auth/user/{mia.pk}/history/")
    expected = ["Inner: Reviewer.", "Inner: membership removed.", "Deactivated."]
    assert [entry.get_change_message() for entry in history.context["action_list"]] == expected
    assert {entry.user for entry in history.context["action_list"]} == {ada}


# -- Nobody raises their own rights -----------------------------------------------------------------------


def test_nobody_changes_their_own_part() -> None:
    project = make_project("inner", everybody=False)
    for person in (member(project, "admins"), joins(admin(), project)):
        before = role(person, project)
        given = {"username": person.username, "role": "admins"}
        assert signed_in(person).post("/projects/inner/members/", given).status_code == 422
        assert signed_in(person).post("/projects/inner/members/", given | {"remove": "1"}).status_code == 422
        signed_in(person).post(f"/people/{person.pk}/projects/", {f"role_{project.pk}": "reviewers"})
        with pytest.raises(PermissionDenied):
            memberships.set_role(person, project, "reviewers", by=person)
        assert role(person, project) == before


def test_admins_of_the_site_get_into_no_project_of_others() -> None:
    project = make_project("inner", everybody=False)
    ada = admin()
    eve = admin("eve")
    client = signed_in(ada)
    for person in (ada, eve):
        client.post(f"/people/{person.pk}/projects/", {f"role_{project.pk}": "admins"})
        client.post("/projects/inner/members/", {"username": person.username, "role": "admins"})
        with pytest.raises(PermissionDenied):
            memberships.set_role(person, project, "annotators", by=ada)
    assert client.get("/projects/inner/setup/").status_code == 404
    assert client.post("/people/invite/", {"name": "Me", "projects": [project.pk]}).status_code == 422
    with pytest.raises(PermissionDenied):
        invitations.invite(name="Me", projects=[project], by=ada)
    assert not Membership.objects.exists()
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("who", ["annotators", "reviewers"])
def test_only_who_may_invite_gives_roles(who: str) -> None:
    project, ben = make_project("inner", everybody=False), annotator("ben")
    mia = member(project, who)
    given = {"username": "ben", "role": "annotators"}
    assert signed_in(mia).post("/projects/inner/members/", given).status_code == 403
    with pytest.raises(PermissionDenied):
        memberships.set_role(ben, project, "annotators", by=mia)
    assert signed_in(mia).get("/people/").status_code == 403


def test_nobody_gives_what_they_do_not_have() -> None:
    """A reviewer who was given the right to invite, and nothing else, makes no admins and sends none away."""
    project, ben = make_project("inner", everybody=False), annotator("ben")
    invite = Group.objects.get(name="admins").permissions.get(codename="invite")
    rea = joins(reviewer(), project, "reviewers")
    rea.user_permissions.add(invite)
    ada = joins(admin(), project, "admins")
    assert memberships.set_role(ben, project, "reviewers", by=rea)
    for person, given in ((ben, "admins"), (ada, "annotators"), (ada, None)):
        with pytest.raises(PermissionDenied):
            memberships.set_role(person, project, given, by=User.objects.get(pk=rea.pk))
    page = signed_in(rea).post("/projects/inner/members/", {"username": "ben", "role": "admins"})
    assert page.status_code == 422


def test_an_open_project_that_is_closed_gives_nobody_more_than_they_had(client: Client) -> None:
    project = make_project()
    ada = admin()
    client.force_login(ada)
    form = {"name": "Stories", "feedback": "rank", "is_active": "on"}
    client.post("/projects/stories/setup/", form)  # what is missing stays; the box is not ticked
    project.refresh_from_db()
    assert not project.everybody
    assert role(ada, project) == "admins"
    assert client.get("/projects/stories/setup/").status_code == 200
    # Somebody who may set projects up, but is no admin, is none afterwards.
    project = make_project("tales")
    rea = reviewer()
    rea.user_permissions.add(Group.objects.get(name="admins").permissions.get(codename="change_project"))
    client.force_login(rea)
    client.post("/projects/tales/setup/", form | {"name": "Tales"})
    project.refresh_from_db()
    assert (project.everybody, role(rea, project)) == (False, "reviewers")


def test_an_admin_of_one_project_neither_closes_nor_opens_it(client: Client) -> None:
    form = {"name": "Stories", "feedback": "rank", "is_active": "on"}
    opened, closed = make_project("opened"), make_project("closed", everybody=False)
    mia = joins(member(opened, "admins"), closed, "admins")
    client.force_login(mia)
    client.post("/projects/opened/setup/", form)
    client.post("/projects/closed/setup/", form | {"everybody": "on"})
    opened.refresh_from_db()
    closed.refresh_from_db()
    assert (opened.everybody, closed.everybody) == (True, False)
    assert "Only admins of the whole site" in client.get("/projects/closed/setup/").text


# -- Whom one looks after ---------------------------------------------------------------------------------


def test_an_admin_of_one_project_sees_and_invites_its_people_alone(client: Client) -> None:
    project = make_project("inner", everybody=False)
    mia, ben = member(project, "admins"), joins(annotator("ben"), project)
    joins(ben, make_project("secret", everybody=False))
    carl = annotator("carl")
    client.force_login(mia)
    page = client.get("/people/").text
    assert "ben" in page
    for name in ("carl", "Secret"):
        assert name not in page
    assert client.get(f"/people/{carl.pk}/").status_code == 404
    assert client.post(f"/people/{ben.pk}/deactivate/").status_code == 403
    assert client.post("/people/invite/", {"name": "Dan"}, headers=HTMX).status_code == 422
    given = {"name": "Dan", "role": "reviewers", "projects": [project.pk]}
    assert client.post("/people/invite/", given, headers=HTMX).status_code == 200
    invitation, _ = invitations.invite(name="Eli", projects=[project], by=mia)
    assert invitation.everywhere is False
    eli = invitations.accept(invitation, username="eli", password="a quiet harbour")
    assert (role(eli, project), eli.groups.exists(), eli.is_staff) == ("annotators", False, False)


def test_invitations_to_projects_of_others_are_neither_shown_nor_withdrawn(client: Client) -> None:
    project = make_project("inner", everybody=False)
    invitation, _ = invitations.invite(name="Ben", projects=[project], by=member(project, "admins"))
    client.force_login(admin())
    assert "Ben" not in client.get("/people/").text
    assert client.post(f"/invitations/{invitation.pk}/withdraw/").status_code == 404


def test_an_invitation_gives_its_role_in_its_projects_alone() -> None:
    project = make_project("inner", everybody=False)
    make_project("open")
    ada = joins(admin(), project, "admins")
    invitation, _ = invitations.invite(name="Ben", role="admins", projects=[project], by=ada)
    ben = invitations.accept(invitation, username="ben", password="a quiet harbour")
    assert (role(ben, project), ben.is_staff) == ("admins", False)
    assert [group.name for group in ben.groups.all()] == ["annotators"]
    assert ben.has_perm("labeling.change_project", project)
    assert not ben.has_perm("labeling.change_project", Project.objects.get(slug="open"))


def test_an_invitation_is_worth_nothing_once_its_projects_or_the_rights_of_its_author_are_gone() -> None:
    project, other = make_project("inner", everybody=False), make_project("other", everybody=False)
    ada = joins(joins(admin(), project, "admins"), other, "admins")
    first, _ = invitations.invite(name="Ben", role="reviewers", projects=[project], by=ada)
    second, _ = invitations.invite(name="Eli", role="reviewers", projects=[other], by=ada)
    project.delete()
    Membership.objects.filter(person=ada, project=other).delete()
    for invitation in (first, second):
        with pytest.raises(invitations.InvitationClosed):
            invitations.accept(
                Invitation.objects.get(pk=invitation.pk), username="x", password="a quiet harbour"
            )
