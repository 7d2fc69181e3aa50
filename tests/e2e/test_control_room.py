"""From an empty site to a second version in production, by pages alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labeling.models import Annotation, Task
from tests.e2e.conftest import sign_in
from tests.e2e.controls import start_run
from tests.processes import eventually, worker
from tests.training.factories import admin, annotator
from training.gpt.corpus import stories
from training.models import Decision, Gate, ModelVersion

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]

PATIENCE = 300_000  # milliseconds that a run may take
OPENINGS = list(
    dict.fromkeys(stories.first_sentence(story) for story in stories.write_stories(160, 31_000_000))
)[:80]
SHORT = 40  # tokens of a completion


def wait_for_end(page: Page, status: str = "Succeeded") -> None:
    """Watch the page of a run until it has ended."""
    expect(page.locator("#progress .status").first).to_have_text(status, timeout=PATIENCE)


def answer_all(page: Page, name: str, *, slug: str) -> int:
    """Rank by length, the shortest text first, until nothing is left; returns how many tasks that were."""
    page.goto(f"/projects/{slug}/work/")
    theirs = Annotation.objects.filter(assignment__annotator__username=name)
    answered, before = 0, theirs.count()
    while True:
        either = page.locator("#task, #idle")
        expect(either).to_be_focused()
        if page.locator("#idle").count():
            return answered
        task = page.locator("#task")
        lengths = [len(text) for text in task.locator(".sample > .text").all_inner_texts()]
        order = sorted(range(len(lengths)), key=lambda place: lengths[place])
        for place, number in enumerate(order):
            if place and lengths[number] == lengths[order[place - 1]]:
                page.keyboard.press("t")
            page.keyboard.press(str(number + 1))
        expect(page.locator(".order .chip")).to_have_count(len(order))
        page.keyboard.press("Enter")
        answered += 1
        assert eventually(theirs.all()[before + answered - 1 :].exists, seconds=20)
        expect(task.locator(".chip")).to_have_count(0)


@pytest.mark.slow
def test_from_an_empty_site_to_a_second_version_in_production(
    page: Page, open_context: Callable[..., BrowserContext], tmp_path: Path
) -> None:
    sign_in(page, admin())
    people = {
        name: open_context(viewport={"width": 1440, "height": 900}).new_page() for name in ("anna", "ben")
    }
    for name, theirs in people.items():
        sign_in(theirs, annotator(name))

    # A project and its prompts.
    page.get_by_role("link", name="Dashboard").click()
    page.get_by_role("link", name="New project").first.click()
    page.get_by_label("Name", exact=True).fill("Short tales")
    page.get_by_role("button", name="Create the project").click()
    page.wait_for_url("**/setup/#import")
    page.get_by_label("Paste prompts").fill("\n".join(OPENINGS))
    expect(page.locator("#import-plan")).to_contain_text("80 prompts")
    page.locator("#import-options summary", has_text="Advanced").click()
    with page.expect_response("**/imports/*/"):
        page.get_by_label("Held out, percent").fill("50")
        page.get_by_label("Held out, percent").blur()
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("Imported: 80 prompts")).to_be_visible()

    with worker(tmp_path):
        # A first version, which goes to production without a gate: nothing was there before.
        start_run(
            page, "Pretrain", source="stories", stories=2000, vocab_size=300, context=96, batch_size=16,
            steps=100, minutes=0, project="short-tales", tasks=30, name="first",
        )  # fmt: skip
        wait_for_end(page)
        page.get_by_role("link", name="first", exact=True).click()
        promote(page)
        assert ModelVersion.objects.get(name="first").stage == "production"

        # People answer what it wrote.
        assert eventually(lambda: Task.objects.filter(open__gt=0).count() == 30, seconds=120)
        assert sum(answer_all(theirs, name, slug="short-tales") for name, theirs in people.items()) >= 30

        # A reward model from their answers, and a candidate tuned against it.
        start_run(page, "Train a reward model", project="short-tales", policy="first", name="taste")
        wait_for_end(page)
        start_run(
            page, "Fine-tune", project="short-tales", policy="first", reward="taste", steps=60, name="second",
            max_new_tokens=SHORT, evaluate_every=20, learning_rate=1e-4,
        )  # fmt: skip
        wait_for_end(page)

        # Its gate: people compare the two blindly.
        page.get_by_role("link", name="second", exact=True).first.click()
        page.get_by_role("button", name="Open gate").click()
        page.wait_for_url("**/gates/*/")
        gate = Gate.objects.get()
        assert eventually(lambda: Task.objects.filter(open__gt=0).exists(), seconds=120)
        for name, theirs in people.items():
            answer_all(theirs, name, slug="short-tales")
        page.reload()
        assert eventually(lambda: Gate.objects.get().outcome == Gate.Outcome.MET, seconds=30)

    page.goto(gate.candidate.get_absolute_url())
    promote(page)
    first, second = ModelVersion.objects.get(name="first"), ModelVersion.objects.get(name="second")
    assert (first.stage, second.stage) == ("candidate", "production")
    assert second.parent == first
    decision = Decision.objects.filter(version=second).get()
    assert (decision.gate, decision.gate_was_met, decision.replaced) == (gate, True, first)
    assert second.run is not None
    assert second.run.reward is not None
    assert second.run.reward.run is not None
    snapshot = second.run.reward.run.snapshot
    assert snapshot is not None
    assert snapshot.answers.count() == 30


def promote(page: Page) -> None:
    """Promote the version whose page is open."""
    page.locator("summary", has_text="Promote to production").click()
    page.get_by_role("button", name="Promote to production").click()
    expect(page.get_by_text("In production").first).to_be_visible()
