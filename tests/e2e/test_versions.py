"""Pages of versions in a real browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import sign_in
from tests.training.factories import admin, make_policy, make_project
from training.models import ModelVersion
from training.registry import decisions

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]


def test_an_admin_rolls_back_with_the_keyboard_and_sees_where_versions_come_from(
    page: Page, axe: Callable[[Page], None]
) -> None:
    project = make_project()
    for seed, name in enumerate(("base", "better")):
        version = make_policy(name, seed=seed)
        decisions.promote(version, project=project, by=None, reason="A try.", without_gate=True)
    make_policy("newer", seed=2)
    sign_in(page, admin())
    page.goto("/models/")
    page.get_by_label("Stage").select_option("In production")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="better").click()
    page.get_by_text("Roll back to base", exact=True).first.focus()
    page.keyboard.press("Enter")
    page.get_by_label("Reason").focus()
    page.keyboard.type("It repeats itself.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="base")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Rolled back to: base.")
    expect(page.get_by_text("It repeats itself.")).to_be_visible()
    production = ModelVersion.objects.production(project)
    assert production is not None
    assert production.name == "base"
    axe(page)
    page.get_by_role("link", name="Lineage").click()
    expect(page.get_by_role("link", name=re.compile("^base.*policy, in production"))).to_be_visible()
    axe(page)
