import hashlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client
from django.utils import timezone

from labeling.models import Invitation, Project
from labeling.people import invitations
from tests.labeling.objects import admin, annotator, joins, make_project

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
CHOSEN = {"username": "ben", "password1": "a quiet harbour", "password2": "a quiet harbour"}


def invited(**given: object) -> str:
    """The address of a new invitation's page."""
    by = User.objects.filter(username="ada").first() or admin()
    for project in given.get("projects", ()):  # type: ignore[attr-defined]
        joins(by, project, "admins")
    given.setdefault("by", by)
    _, secret = invitations.invite(**{"name": "Ben", **given})  # type: ignore[arg-type]
    return f"/invitations/{secret}/"


def test_an_invited_person_chooses_a_name_and_begins(client: Client) -> None:
    closed = make_project("closed", everybody=False)
    make_project("open")
    make_project("other", everybody=False)
    address = invited(projects=[closed])
    assert "ada invites you, Ben" in client.get(address).text
    response = client.post(address, CHOSEN)
    assert response.headers["Location"] == "/"
    ben = User.objects.get(username="ben")
    assert [group.name for group in ben.groups.all()] == ["annotators"]
    assert not ben.is_staff
    assert client.session["_auth_user_id"] == str(ben.pk)
    assert [project.slug for project in Project.objects.for_annotator(ben)] == ["closed", "open"]
    assert client.get("/projects/other/work/").status_code == 404
    invitation = Invitation.objects.get()
    assert invitation.accepted_by == ben


def test_a_link_works_once(client: Client) -> None:
    address = invited()
    client.post(address, CHOSEN)
    client.logout()
    response = client.post(address, CHOSEN | {"username": "carl"})
    assert (response.status_code, User.objects.filter(username="carl").exists()) == (410, False)
    assert "This link has already been used" in response.text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"withdrawn": timezone.now()}, "was withdrawn"),
        ({"expires": timezone.now() - timedelta(seconds=1)}, "has expired"),
    ],
)
def test_a_link_that_is_over_says_so(client: Client, change: dict[str, object], says: str) -> None:
    address = invited()
    Invitation.objects.update(**change)
    for response in (client.get(address), client.post(address, CHOSEN)):
        assert response.status_code == 410
        assert says in response.text
    assert not User.objects.filter(username="ben").exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_open_a_link_at_once_one_gets_in() -> None:
    invitation, _ = invitations.invite(name="Ben", by=admin())
    barrier = threading.Barrier(4)

    def come(number: int) -> str:
        barrier.wait()
        try:
            return invitations.accept(invitation, username=f"ben{number}", password="x").username
        except invitations.InvitationClosed:
            return ""
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        came = [name for name in pool.map(come, range(4)) if name]
    assert list(User.objects.exclude(username="ada").values_list("username", flat=True)) == came
    assert len(came) == 1


def test_an_unknown_link_leads_nowhere(client: Client) -> None:
    invited()
    assert client.get("/invitations/AAAA/").status_code == 404
    assert client.post("/invitations/AAAA/", CHOSEN).status_code == 404


def test_a_link_lasts_seven_days_and_only_a_digest_of_its_secret_is_kept() -> None:
    invitation, secret = invitations.invite(name="Ben", by=admin())
    assert invitation.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert len(secret) >= 43  # 256 bits
    assert timedelta(days=6, hours=23) < invitation.expires - timezone.now() <= timedelta(days=7)
    stored = " ".join(str(value) for row in Invitation.objects.values_list() for value in row)
    assert secret not in stored


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"password1": "short", "password2": "short"}, "too short"),
        ({"password1": "12345678901", "password2": "12345678901"}, "entirely numeric"),
        ({"password1": "password1", "password2": "password1"}, "too common"),
        ({"password2": "another thing"}, "match"),
        ({"username": "ADA"}, "already exists"),
        ({"username": "b en"}, "valid username"),
        ({"username": ""}, "required"),
    ],
)
def test_names_and_passwords_are_checked(client: Client, given: dict[str, str], says: str) -> None:
    address = invited()
    response = client.post(address, CHOSEN | given)
    assert response.status_code == 422
    assert says in response.text
    assert Invitation.objects.get().accepted is None


def test_nobody_gives_themselves_more_than_they_were_invited_to(client: Client) -> None:
    closed = make_project("closed", everybody=False)
    more = {"role": "admins", "is_staff": "on", "is_superuser": "on", "groups": "1", "projects": closed.pk}
    client.post(invited(), CHOSEN | {key: str(value) for key, value in more.items()})
    ben = User.objects.get(username="ben")
    assert (ben.is_staff, ben.is_superuser, ben.projects.count()) == (False, False, 0)
    assert [group.name for group in ben.groups.all()] == ["annotators"]


def test_the_page_leads_to_no_other_site(client: Client) -> None:
    address = f"{invited()}?next=https://evil.example/"
    response = client.post(address, CHOSEN | {"next": "https://evil.example/"})
    assert response.headers["Location"] == "/"
    sign_in = client.post(
        "/accounts/login/?next=//evil.example", {"username": "ben", "next": "//evil.example"}
    )
    assert "evil.example" not in sign_in.headers.get("Location", "")


def test_somebody_who_is_signed_in_is_told_so(client: Client) -> None:
    address = invited()
    client.force_login(annotator())
    response = client.post(address, CHOSEN)
    assert response.status_code == 403
    assert "You are signed in as ann" in response.text
    assert Invitation.objects.get().accepted is None


def test_the_page_is_kept_by_no_cache(client: Client) -> None:
    assert "no-store" in client.get(invited()).headers["Cache-Control"]


# -- Who may invite ---------------------------------------------------------------------------------------


def test_the_link_is_shown_once_to_whoever_invites(client: Client) -> None:
    client.force_login(admin())
    response = client.post("/people/invite/", {"name": "Ben"}, headers=HTMX)
    [secret] = re.findall(r"http://testserver/invitations/([\w-]+)/", response.text)
    assert Invitation.objects.get().digest == invitations.digest(secret)
    assert "no-store" in response.headers["Cache-Control"]
    page = client.get("/people/").text
    assert "Ben" in page
    assert secret not in page
    client.logout()
    assert client.get(f"/invitations/{secret}/").status_code == 200


def test_only_superusers_invite_admins_of_the_whole_site(client: Client) -> None:
    client.force_login(admin())
    response = client.post("/people/invite/", {"name": "Eve", "role": "admins"}, headers=HTMX)
    assert response.status_code == 422
    with pytest.raises(PermissionDenied):
        invitations.invite(name="Eve", role="admins", by=User.objects.get(username="ada"))
    assert not Invitation.objects.exists()


def test_superusers_invite_admins(client: Client) -> None:
    root = User.objects.create_superuser("root")
    client.force_login(root)
    assert client.post("/people/invite/", {"name": "Eve", "role": "admins"}, headers=HTMX).status_code == 200
    address = invited(role="admins", by=root)
    client.logout()
    client.post(address, CHOSEN)
    ben = User.objects.get(username="ben")
    assert (ben.is_staff, ben.is_superuser, ben.has_perm("labeling.invite")) == (True, False, True)


def test_an_invitation_is_worth_no_more_than_the_rights_of_its_author(client: Client) -> None:
    root = User.objects.create_superuser("root")
    address = invited(role="admins", by=root)
    User.objects.filter(pk=root.pk).update(is_superuser=False)
    root.groups.add(Group.objects.get(name="admins"))
    assert client.post(address, CHOSEN).status_code == 410
    address = invited()
    User.objects.filter(username="ada").update(is_active=False)
    assert client.post(address, CHOSEN).status_code == 410
    assert not User.objects.filter(username="ben").exists()


def test_an_invitation_can_be_withdrawn(client: Client) -> None:
    address = invited()
    client.force_login(User.objects.get(username="ada"))
    page = client.post(f"/invitations/{Invitation.objects.get().pk}/withdraw/", follow=True).text
    assert "The link for Ben is withdrawn" in page
    client.logout()
    assert client.get(address).status_code == 410


def test_annotators_and_strangers_invite_nobody(client: Client) -> None:
    address = invited()
    pk = Invitation.objects.get().pk
    posts = ("/people/invite/", f"/invitations/{pk}/withdraw/")
    for post in posts:
        assert client.post(post, {"name": "Eve"}).headers["Location"].startswith("/accounts/login/")
    client.force_login(annotator())
    for post in posts:
        assert client.post(post, {"name": "Eve"}).status_code == 403
    assert client.get("/people/").status_code == 403
    with pytest.raises(PermissionDenied):
        invitations.invite(name="Eve", by=User.objects.get(username="ann"))
    client.logout()
    assert client.get(address).status_code == 200


def test_markup_in_names_is_shown_and_not_run(client: Client) -> None:
    bad = "<img src=x onerror=alert(1)>"
    address = invited(name=bad)
    assert "<img" not in client.get(address).text
    client.force_login(User.objects.get(username="ada"))
    assert "<img" not in client.get("/people/").text
    assert "<img" not in client.post("/people/invite/", {"name": bad}, headers=HTMX).text
