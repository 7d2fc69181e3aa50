"""Reading a run's page: values under the pointer and by the keyboard, and what its model wrote when."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import sign_in
from tests.training.factories import admin
from training.models import LogLine, MetricPoint, Run, RunSample

pytestmark = pytest.mark.django_db(transaction=True)


def test_values_are_read_off_the_curves_and_excerpts_are_stepped_through(page: Page, axe: object) -> None:
    ada = admin()
    run = Run.objects.create(kind=Run.Kind.FINETUNE, parameters={"kl_budget": 8.0}, owner=ada)
    other = Run.objects.create(kind=Run.Kind.PRETRAIN, parameters={}, owner=ada)
    for each in (run, other):
        assert each.begin()
    MetricPoint.objects.bulk_create(
        MetricPoint(run=run, step=step, values={"kl": step / 10, "entropy": 3 - step / 100})
        for step in range(101)
    )
    RunSample.objects.create(run=run, step=0, position=0, prompt="Once", text="text 0")
    LogLine.objects.create(run=run, attempt=1, level="warning", text="cut at the limit")
    sign_in(page, ada)
    page.goto(run.get_absolute_url())
    kl, entropy = page.locator("[data-chart^=kl]"), page.locator("[data-chart^=entropy]")
    expect(kl.locator(".value")).to_have_text("10")
    # Half-way through the plot, which spans 52 to 468 of 480.
    box = kl.locator("svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 260 / 480, box["y"] + box["height"] / 2)
    expect(kl.locator(".step")).to_have_text("step 50")
    expect(kl.locator(".value")).to_have_text("5")
    expect(entropy.locator(".value")).to_have_text("2.5")
    page.mouse.move(2, 2)
    expect(kl.locator(".value")).to_have_text("10")
    kl.locator("svg").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#chart-values")).to_contain_text("step 1: training 0.1")
    # The page that polls keeps what was chosen.
    with page.expect_response("**/progress/"):
        pass
    expect(kl.locator(".step")).to_have_text("step 1")
    # One evaluation has no others to step to; those that follow come by themselves. Exact: the log's heading
    # ends in "text", and the time of the line below it may begin with "0".
    expect(page.get_by_text("text 0", exact=True)).to_be_visible()
    expect(page.get_by_label("Evaluation")).to_have_count(0)
    with page.expect_response("**/samples/**"):
        pass
    RunSample.objects.bulk_create(
        RunSample(run=run, step=step, position=0, prompt="Once", text=f"text {step}") for step in (50, 100)
    )
    expect(page.get_by_text("text 100", exact=True)).to_be_visible()
    page.get_by_label("Evaluation").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("text 50", exact=True)).to_be_visible()
    other.finish(Run.Status.FAILED, error="Out of memory.")
    page.reload()
    expect(page.locator(".notice")).to_contain_text("failed")
    axe(page)  # type: ignore[operator]
