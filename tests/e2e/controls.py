"""What the browser tests of an admin at the controls do again and again."""

from typing import Any

from playwright.sync_api import Page, expect


def begin(page: Page, kind: str) -> None:
    """From the Django admin's first page to the form of a kind of run."""
    page.goto("/admin/")
    page.locator("#content-main").get_by_role("link", name="Runs").click()
    page.get_by_role("link", name="Add run").click()
    page.get_by_role("navigation", name="Kind of run").get_by_role("link", name=kind, exact=True).click()


def set_option(page: Page, name: str, value: Any) -> None:
    """Set one field of that form, wherever it is folded away."""
    field = page.locator(f"#field-{name}")
    page.locator("details", has=field).evaluate_all("all => all.forEach((group) => { group.open = true })")
    if field.locator("select").count():
        field.locator("select").select_option(value)
    else:
        field.locator("input").fill(str(value))


def start_run(page: Page, kind: str, **options: Any) -> None:
    """From the first page of the admin to the page of a new run."""
    begin(page, kind)
    for name, value in options.items():
        set_option(page, name, value)
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/runs/*/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("#")
