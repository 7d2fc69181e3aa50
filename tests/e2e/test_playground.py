"""The playground and the page of live comparisons, as people see them while answers are written."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django import Settings

from labeling.models import Generator, Project
from tests.e2e.task_page import PHONE_WIDTH, fits_touch_targets, log_in, phone_page
from tests.labeling.objects import admin, annotator, make_project
from tests.training.lineage_factories import make_version
from tests.training.scripted_models import ScriptedModels, scripted_models

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("midday")]

REPLIES = {"north-1": "Go **north** and then on.", "south-2": "Go `south` and then on."}


@pytest.fixture
def models(settings: Settings) -> Iterator[ScriptedModels]:
    with scripted_models() as found:
        settings.SERVE_URL = found.url
        found.replies = dict(REPLIES)
        yield found


@pytest.fixture
def project(models: ScriptedModels) -> Project:
    project = make_project(feedback="pair", samples_per_task=2, text_format="markdown")
    for name in REPLIES:
        make_version(name, project=project)
    return project


def test_answers_appear_side_by_side_while_they_are_written(
    page: Page, project: Project, models: ScriptedModels, axe: Callable[[Page], None]
) -> None:
    log_in(page, admin())
    page.goto("/projects/stories/playground/")
    axe(page)
    models.may_go_on.clear()
    page.get_by_label("Your message").fill("Where to?")
    page.keyboard.press("Enter")
    answers = [page.get_by_role("region", name=name) for name in ("south-2", "north-1")]
    expect(answers[0]).to_contain_text("Go south")
    expect(answers[1]).to_contain_text("Go north")
    expect(page.get_by_text("Writing…")).to_have_count(2)
    axe(page)
    models.may_go_on.set()
    expect(page.locator(".exchange")).to_have_attribute("aria-busy", "false")
    expect(answers[0]).to_contain_text("Go south and then on.")
    expect(answers[1].locator("strong")).to_have_text("north")
    first, second = (answer.bounding_box() for answer in answers)
    assert first
    assert second
    assert first["y"] == second["y"]
    expect(page.get_by_label("Your next message")).to_be_focused()

    # After a reload it is all there, the models chosen too; a new conversation keeps them.
    page.reload()
    expect(answers[0]).to_contain_text("Go south and then on.")
    expect(page.get_by_label("First model").locator("option:checked")).to_have_text("south-2")
    page.get_by_label("First model").select_option(label="north-1")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".exchange")).to_have_count(0)
    expect(page.get_by_label("First model").locator("option:checked")).to_have_text("north-1")

    # Annotators may compare from now on.
    page.get_by_label("Annotators may compare models live").check()
    page.locator("#live").get_by_label("north-1").check()
    page.locator("#live").get_by_label("south-2").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    project.refresh_from_db()
    assert project.has_live_comparisons
    assert project.live_generators.count() == 2


def test_a_live_comparison_is_watched_compared_and_gone_on_with(
    page: Page, project: Project, models: ScriptedModels, axe: Callable[[Page], None]
) -> None:
    Project.objects.filter(pk=project.pk).update(live_comparisons=True)
    project.live_generators.set(Generator.objects.filter(model_version__project=project))
    log_in(page, annotator())
    page.goto("/")
    page.get_by_role("link", name="Live comparison").click()
    axe(page)
    models.may_go_on.clear()
    page.keyboard.type("Where to?")
    page.keyboard.press("Enter")
    for name in ("First", "Second"):
        expect(page.get_by_role("group", name=name)).to_contain_text("Writing…")
        expect(page.get_by_role("group", name=name)).to_contain_text("Go")
    axe(page)
    models.may_go_on.set()
    expect(page.locator("#task")).to_be_focused()
    expect(page.locator("#announcement")).to_have_text("Both answers are complete. Compare them.")
    assert page.locator('[data-act="skip"]').count() == 0
    axe(page)
    page.keyboard.press("d")
    expect(page.locator(".sample ins, .sample del").first).to_be_visible()
    page.keyboard.press("7")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your next message")).to_be_visible()
    axe(page)

    # A failure stands beside the answer that is there, and can be repeated.
    models.failures["north-1"] = (503, "the server is stopping")
    page.keyboard.type("And then?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="An answer is missing")).to_be_visible()
    expect(page.locator("#work")).not_to_contain_text("stopping")
    axe(page)
    models.failures.clear()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#task")).to_be_focused()
    page.keyboard.press("l")
    expect(page.locator("#last-answers button").first).to_be_visible()
    page.keyboard.press("1")
    expect(page.locator(".dock .banner")).to_contain_text("Your answer from")
    page.keyboard.press("6")
    page.keyboard.press("Enter")
    page.wait_for_url("**/live/")
    expect(page.locator("#task")).to_be_focused()


def test_both_pages_fit_a_phone(
    open_context: Callable[..., BrowserContext], project: Project, models: ScriptedModels
) -> None:
    Project.objects.filter(pk=project.pk).update(live_comparisons=True)
    project.live_generators.set(Generator.objects.filter(model_version__project=project))
    page = phone_page(open_context)
    log_in(page, annotator())
    page.goto("/projects/stories/live/")
    page.get_by_label("Write to two models").fill("Where to? " * 40)
    page.get_by_role("button", name="Send").tap()
    expect(page.locator("#task")).to_be_visible()
    assert fits_touch_targets(page, ".scale label")
    log_in(page, admin())
    page.goto("/projects/stories/playground/")
    page.get_by_label("Your message").fill("Where to?")
    page.get_by_role("button", name="Send").tap()
    expect(page.locator(".exchange")).to_have_attribute("aria-busy", "false")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE_WIDTH
    above, below = (each.bounding_box() for each in page.locator(".answer").all())
    assert above
    assert below
    assert above["y"] + above["height"] <= below["y"]
