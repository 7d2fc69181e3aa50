"""An endpoint in a browser: from the admin, through the form that starts a run, to the page of its run."""

from collections.abc import Callable, Iterator
from ipaddress import ip_network

import pytest
from playwright.sync_api import Page, expect
from pytest_django import Settings

from tests.e2e.conftest import sign_in
from tests.training.endpoint_server import EndpointServer, endpoint_server, said
from tests.training.factories import admin, make_policy, make_project
from training.execution.executor import execute
from training.models import Run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(settings: Settings) -> Iterator[EndpointServer]:
    settings.ENDPOINT_TRUSTED_NETWORKS = [ip_network("127.0.0.0/8")]
    with endpoint_server() as server:
        yield server


def test_an_endpoint_from_the_admin_to_the_page_of_its_run(
    page: Page, axe: Callable[[Page], None], server: EndpointServer, own_artifacts: None
) -> None:
    make_project()
    make_policy()
    sign_in(page, admin())
    page.goto("/admin/training/endpoint/add/")
    page.get_by_label("Name").fill("parrot")
    page.get_by_label("URL").fill(server.url)
    page.get_by_role("textbox", name="Model").fill("sparrow")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("has no model “sparrow”; there are: parrot.")).to_be_visible()
    page.get_by_role("textbox", name="Model").fill("parrot")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#result_list").get_by_role("link", name="parrot")).to_be_visible()

    page.goto("/admin/training/run/add/?kind=sample&project=letters")
    page.get_by_label("Or an endpoint").select_option("parrot")
    page.get_by_label("Tasks to open").fill("3")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    axe(page)
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text("is queued.")).to_be_visible()
    run = Run.objects.get()
    server.fault = lambda request, number: said(401, "Incorrect API key provided.")
    assert not execute(run)
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("401 Unauthorized: Incorrect API key provided")
    expect(page.locator("dl.facts")).to_contain_text("Endpoint")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    axe(page)
