"""Several sites on one host: on two ports, or below paths that a proxy gives them."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults

import pytest
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.template.loader import render_to_string
from django.urls import get_script_prefix, set_script_prefix

from labeling.models import Project
from tests.labeling import objects

NAMES = "from django.conf import settings as s; print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME)"


def cookie_names(**environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "SECRET_KEY"}}
    kept["DJANGO_SETTINGS_MODULE"] = "feedback_site.settings"
    command = [sys.executable, "-c", NAMES]
    done = subprocess.run(
        command,
        env={**kept, **environment},
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_sites_on_one_host_have_cookies_of_their_own(tmp_path: Path) -> None:
    """Browsers keep cookies by host and not by port."""
    key = {"SECRET_KEY": "one key for all"}
    first, again, second, shared, other_database = (
        cookie_names(HONE_HOME=str(tmp_path / "a")),
        cookie_names(HONE_HOME=str(tmp_path / "a")),
        cookie_names(HONE_HOME=str(tmp_path / "b")),
        cookie_names(HONE_HOME=str(tmp_path / "b"), **key),
        cookie_names(HONE_HOME=str(tmp_path / "b"), DATABASE_URL="postgres://db/other", **key),
    )
    assert first == again
    assert len({*first, *second, *shared, *other_database}) == 8


def test_two_web_hosts_of_one_site_have_the_same_cookies(tmp_path: Path) -> None:
    site = {"SECRET_KEY": "one key for all", "DATABASE_URL": "postgres://db/hone"}
    names = [cookie_names(HONE_HOME=str(tmp_path / name), **site) for name in "ab"]
    assert names[0] == names[1]


class Browser:
    """Requests to the site as a server behind a proxy makes them, below `/hone`."""

    def __init__(self) -> None:
        self.site = get_wsgi_application()
        self.cookies: dict[str, str] = {}

    def request(self, path: str, form: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        assert path.startswith("/hone/"), f"{path} leads out of the site"
        path, _, query = path.removeprefix("/hone").partition("?")
        sent = urlencode(form or {}).encode()
        environ: dict[str, Any] = {
            "SCRIPT_NAME": "/hone",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": "GET" if form is None else "POST",
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(sent)),
            "HTTP_HOST": "localhost",
            "HTTP_COOKIE": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "wsgi.input": io.BytesIO(sent),
        }
        setup_testing_defaults(environ)
        answer: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
            answer.extend((status, headers))

        with closing(self.site(environ, start)) as body:
            content = b"".join(body)
        for name, value in answer[1]:
            if name == "Set-Cookie":
                self.cookies |= {key: morsel.value for key, morsel in SimpleCookie(value).items()}
        return int(answer[0].split()[0]), dict(answer[1]), content

    def page(self, path: str, *, status: int = 200) -> str:
        """A page, all of whose addresses stay below `/hone`."""
        found, _, content = self.request(path)
        assert found == status, path
        return checked(content.decode())


def checked(page: str) -> str:
    addresses = re.findall(r'(?:href|src|action|hx-get|hx-post)="(/[^"]*)"', page)
    assert addresses
    assert not [each for each in addresses if each.split("/")[1] != "hone"]
    return page


@pytest.fixture
def below_a_path() -> Iterator[None]:
    before = get_script_prefix()
    set_script_prefix("/hone/")
    yield
    set_script_prefix(before)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("below_a_path")
def test_below_a_path_every_address_of_a_page_stays_below_it() -> None:
    person = objects.admin()
    person.set_password("a long password for tests")
    person.save()
    project = Project.objects.create(name="Stories", slug="stories")
    browser = Browser()
    login = browser.page("/hone/accounts/login/")
    for static in re.findall(r'(?:href|src)="(/[^"]*\.(?:css|js|svg))"', login):
        assert browser.request(static)[0] == 200, static
    token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]*)"', login)[0]
    status, headers, _ = browser.request(
        "/hone/accounts/login/",
        {"username": person.username, "password": "a long password for tests", "csrfmiddlewaretoken": token},
    )
    assert (status, headers["Location"]) == (302, "/hone/")
    for page in (
        "",
        f"projects/{project.slug}/",
        "dashboard/",
        "runs/",
        "models/",
        "people/",
        "me/",
        "admin/",
    ):
        browser.page(f"/hone/{page}")
    browser.page("/hone/nowhere/", status=404)
    status, _, content = browser.request("/hone/accounts/login/", {"username": "ann"})
    assert (status, bool(checked(content.decode()))) == (403, True)  # the form lacks its token


@pytest.mark.usefixtures("below_a_path")
def test_the_pages_of_errors_lead_back_into_the_site() -> None:
    for name in ("500", "400", "403_csrf"):
        assert 'class="button primary" href="/hone/"' in checked(render_to_string(f"{name}.html"))
