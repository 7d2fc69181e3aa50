import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from labeling.imports import background
from labeling.models import Assignment, Cursor, DataImport, Invitation, Project, Prompt, Sample, Task
from labeling.prompts import add_prompts
from tests.labeling.objects import admin, annotator, joins, make_project, make_tasks

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(admin())
    return client


def settings(**changes: object) -> dict[str, object]:
    return {
        "name": "Stories",
        "feedback": "rank",
        "scale": 5,
        "criteria": "",
        "samples_per_task": 4,
        "text_format": "plain",
        "annotations_per_task": 1,
        "lease_minutes": 12,
        "gold_percent": 4,
        "repeat_percent": 3,
        "entry_percent": 80,
        "adjudicate_percent": 50,
        "chosen_percent": 50,
        "everybody": "on",
        "is_active": "on",
        "guidelines_text": "",
        **changes,
    }


def upload(client: Client, slug: str = "stories", **given: Any) -> str:
    """Upload something, and see its preview."""
    response = client.post(f"/projects/{slug}/imports/", given, headers=HTMX)
    assert response.status_code == 200
    return response.text


def change(client: Client, slug: str = "stories", **given: Any) -> str:
    """Read the latest upload in another way, or start its import."""
    latest = DataImport.objects.latest("pk")
    response = client.post(f"/projects/{slug}/imports/{latest.pk}/", given, headers=HTMX)
    assert response.status_code == 200
    return response.text


def can_start(page: str) -> bool:
    return 'name="start"' in page


# -- A project --------------------------------------------------------------------------------------------


def test_a_name_and_a_kind_make_a_project(ada: Client) -> None:
    response = ada.post(
        "/projects/new/", settings(name="Short  stories", feedback="pair", samples_per_task=4)
    )
    assert response.headers["Location"] == "/projects/short-stories/setup/#import"
    project = Project.objects.get()
    assert (project.name, project.feedback, project.samples_per_task) == ("Short stories", "pair", 2)


def test_a_new_project_is_open_to_every_annotator_and_hands_out_tasks(ada: Client) -> None:
    given = settings()
    for name in ("everybody", "is_active"):
        given.pop(name)  # not asked on the page
    ada.post("/projects/new/", given)
    project = Project.objects.get()
    assert (project.everybody, project.is_active) == (True, True)


def test_addresses_are_made_of_names_and_never_taken_twice(ada: Client) -> None:
    for _ in range(3):
        ada.post("/projects/new/", settings())
    ada.post("/projects/new/", settings(name="短篇"))
    ada.post("/projects/new/", settings(name="New"))
    assert sorted(Project.objects.values_list("slug", flat=True)) == [
        "new-2",
        "project",
        "stories",
        "stories-2",
        "stories-3",
    ]


def test_a_project_that_is_not_valid_is_not_made(ada: Client) -> None:
    response = ada.post("/projects/new/", settings(name="", samples_per_task=1))
    assert response.status_code == 422
    assert "This field is required" in response.text
    assert "takes 2 to 9 samples, not 1" in response.text
    assert not Project.objects.exists()


def test_what_is_valid_is_saved_and_what_is_not_is_said_beside_its_field(ada: Client) -> None:
    make_project()
    given = settings(name="Tales", criteria="a, b, c, d, e", gold_percent=70, guidelines_text="Be kind.")
    response = ada.post("/projects/stories/setup/", given)
    assert response.status_code == 422
    assert "Saved, except for the fields marked below" in response.text
    assert "At most 4 criteria" in response.text
    assert "less than or equal to 50" in response.text
    project = Project.objects.get()
    assert (project.name, project.criteria, project.gold_percent) == ("Tales", [], 0)
    assert project.guidelines is not None
    assert project.guidelines.text == "Be kind."


def test_a_kind_and_its_number_of_samples_are_saved_together_or_not_at_all(ada: Client) -> None:
    make_project(feedback="score", samples_per_task=1)
    ada.post("/projects/stories/setup/", settings(feedback="rank", samples_per_task=1, scale=7))
    project = Project.objects.get()
    assert (project.feedback, project.samples_per_task, project.scale) == ("score", 1, 7)


def test_everything_can_be_saved_at_once(ada: Client) -> None:
    make_project()
    given = settings(feedback="score", criteria="kind, fluent", daily_goal=50)
    given.pop("everybody")
    assert ada.post("/projects/stories/setup/", given).status_code == 302
    project = Project.objects.get()
    assert (project.criteria, project.daily_goal, project.everybody) == (["kind", "fluent"], 50, False)


def test_the_steps_say_what_is_missing(ada: Client) -> None:
    project = make_project(everybody=False)
    joins(User.objects.get(username="ada"), project, "admins")
    page = ada.get("/projects/stories/setup/").text
    for says in (
        "No prompts yet",
        "No samples yet: generate or import them",
        "No annotators yet",
    ):
        assert says in page
    make_tasks(project, 2)
    project.members.add(annotator())
    page = ada.get("/projects/stories/setup/").text
    assert "2 prompts" in page
    assert "2 tasks, 2 of them open" in page
    assert "1 annotator" in page
    Project.objects.update(is_active=False)
    assert "The project is not active" in ada.get("/projects/stories/setup/").text


@pytest.mark.parametrize("address", ["/projects/new/", "/projects/stories/setup/"])
def test_only_admins_set_projects_up(client: Client, address: str) -> None:
    make_project()
    assert client.get(address).headers["Location"].startswith("/accounts/login/")
    client.force_login(annotator())
    assert client.get(address).status_code == 403
    assert client.post(address, settings(name="Mine")).status_code == 403
    for part in ("preview", "imports"):
        assert client.post(f"/projects/stories/{part}/", settings()).status_code == 403
    assert Project.objects.get().name == "Stories"


def test_nothing_but_the_settings_can_be_set(ada: Client) -> None:
    make_project()
    ada.post("/projects/stories/setup/", settings(slug="other", id=99, created="2000-01-01", tasks="1"))
    project = Project.objects.get()
    assert (project.slug, project.created.year > 2000) == ("stories", True)


def test_markup_in_settings_is_shown_and_not_run(ada: Client) -> None:
    bad = "<img src=x onerror=alert(1)>"
    project = make_project(name=bad, criteria=["<i>kind</i>"], feedback="score")
    project.revise_guidelines(f"{bad} <script>alert(2)</script> [x](javascript:alert(3))")
    add_prompts(project, [f"</textarea>{bad}"])
    page = ada.get("/projects/stories/setup/").text
    seen = ada.post(
        "/projects/stories/preview/",
        settings(
            name=bad, feedback="score", criteria="<i>kind</i>", guidelines_text=f"{bad}<script>x</script>"
        ),
        headers=HTMX,
    ).text
    planned = upload(ada, text=f"<b>bold</b> {bad}")
    for text in (page, seen, planned):
        for tag in ("<img", "<i>kind", "<script>alert", "<b>bold", 'href="javascript'):
            assert tag not in text.replace("<script src", "").replace('<script type="module"', "")


# -- The preview ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("feedback", ["pair", "rank", "best", "score", "rewrite"])
def test_the_preview_shows_every_kind_before_anything_is_saved(ada: Client, feedback: str) -> None:
    given = settings(
        feedback=feedback, samples_per_task=3, criteria="kindness", guidelines_text="Be **kind**."
    )
    page = ada.post("/projects/preview/", given, headers=HTMX).text
    assert "inert hx-disable" in page
    assert "lighthouse keeper" in page
    assert page.count('class="sample"') == (2 if feedback == "pair" else 3)
    assert "<strong>kind</strong>" in page
    assert not Project.objects.exists()


def test_the_preview_shows_the_first_task_and_claims_nothing(ada: Client) -> None:
    project = make_project()
    make_tasks(project, 2, samples=3)
    page = ada.post("/projects/stories/preview/", settings(name="Other"), headers=HTMX).text
    for text in ("Prompt 0", "A0", "B0", "C0", "Other"):
        assert text in page
    assert not Assignment.objects.exists()
    assert not Cursor.objects.exists()
    assert Project.objects.get().name == "Stories"


def test_the_preview_takes_texts_that_are_typed(ada: Client) -> None:
    given = settings(example_prompt="Why is the sky blue?", example_samples="Because.\r\n\r\nRayleigh.")
    page = ada.post("/projects/preview/", given, headers=HTMX).text
    for text in ("Why is the sky blue?", "Because.", "Rayleigh."):
        assert text in page


def test_the_preview_bears_settings_that_are_wrong(ada: Client) -> None:
    make_project()
    given = settings(name="", samples_per_task="many", scale=99, criteria="a,a")
    assert ada.post("/projects/stories/preview/", given, headers=HTMX).status_code == 200
    assert ada.post("/projects/preview/", {}, headers=HTMX).status_code == 200


# -- Imports ----------------------------------------------------------------------------------------------


def test_an_import_is_looked_at_first_and_stored_when_started(ada: Client) -> None:
    make_project()
    page = upload(ada, text="Once\nTwice\nOnce")
    assert "2 prompts" in page
    assert "1 row is in the project already, or repeated in the file" in page
    assert not Prompt.objects.exists()
    stored = change(ada, heldout=0, start=1)
    assert "Imported: 2 prompts" in stored
    assert 'id="steps"' in stored
    assert list(Prompt.objects.values_list("text", "split")) == [("Once", "train"), ("Twice", "train")]
    assert DataImport.objects.get().stored == ""  # the upload is gone


def test_a_file_with_samples_opens_tasks(ada: Client) -> None:
    make_project()
    rows = "\n".join(json.dumps({"prompt": f"P{n}", "responses": ["a", "b"], "model": "x"}) for n in range(3))
    page = upload(ada, file=SimpleUploadedFile("../../etc/passwd.jsonl", rows.encode()))
    assert "3 tasks" in page
    change(ada, start=1)
    assert Task.objects.filter(open=1).count() == 3
    assert set(Sample.objects.values_list("generator__name", flat=True)) == {"x"}


def test_the_same_upload_is_stored_once_however_often_it_is_started(ada: Client) -> None:
    make_project()
    upload(ada, text="Once")
    change(ada, start=1)
    assert "Imported: 1 prompt" in change(ada, start=1)
    assert "Nothing new to import" in upload(ada, text="Once")
    assert Prompt.objects.count() == 1


def test_rows_that_are_wrong_stop_the_import_until_they_are_left_out(ada: Client) -> None:
    make_project()
    page = upload(ada, text='{"prompt": "Once"}\n{"prompt": 1}')
    assert "Row 2, “prompt”" in page
    assert not can_start(page)
    assert "1 row cannot be imported" in change(ada, start=1)
    page = change(ada, leave_out="on")
    assert can_start(page)
    change(ada, leave_out="on", start=1)
    assert Prompt.objects.get().text == "Once"


def test_columns_of_no_known_name_are_named_by_hand(ada: Client) -> None:
    make_project(feedback="pair", samples_per_task=2)
    rows = [{"q_text": f"Q{n}", "winner_text": "a", "loser_text": "b"} for n in range(3)]
    page = upload(ada, file=SimpleUploadedFile("t.json", json.dumps(rows).encode()))
    assert "are not known" in page
    assert not can_start(page)
    columns = ["q_text", "winner_text", "loser_text"]
    for name in columns:
        assert f'value="{name}"' in page
    named: dict[str, Any] = {
        "columns": columns,
        "column-0": "prompt",
        "column-1": "chosen",
        "column-2": "rejected",
    }
    assert "3 answers by 1 annotator" in change(ada, **named)
    change(ada, **named, start=1)
    assert Sample.objects.count() == 6
    assert Assignment.objects.submitted().count() == 3


def test_what_answers_are_is_chosen(ada: Client) -> None:
    make_project(feedback="pair", samples_per_task=2)
    upload(ada, text=json.dumps({"prompt": "Q", "chosen": "a", "rejected": "b", "annotator": "7"}))
    page = change(ada, import_as="tasks")
    assert "1 answer in the file not used" in page
    change(ada, import_as="tasks", start=1)
    assert Task.objects.get().open == 1


def test_a_file_in_another_encoding_is_shown_as_guessed_and_asked_about(ada: Client) -> None:
    make_project()
    content = "prompt\n从前有一只小熊，住在绿色的森林里。\n".encode("gb18030")
    page = upload(ada, file=SimpleUploadedFile("t.csv", content))
    assert "looks like Chinese, simplified (GB 18030)" in page
    assert "从前有一只小熊" in page
    assert not can_start(page)
    assert can_start(change(ada, encoding="gb18030"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"file": SimpleUploadedFile("t.csv", b"")}, "This file is empty"),
        ({"file": SimpleUploadedFile("t.xlsx", b"%PDF-1.7")}, "a PDF"),
        ({"file": SimpleUploadedFile("t.csv", b"a,b\n1,2\n")}, "one of them “prompt”"),
        ({"file": SimpleUploadedFile("t.txt", b"a"), "text": "b"}, "not both"),
        ({"text": "a\x00b"}, "Null characters are not allowed"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(ada: Client, given: dict[str, Any], says: str) -> None:
    make_project()
    page = upload(ada, **given)
    assert says in page
    assert not can_start(page)


def test_a_file_that_is_too_large_is_not_read(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    make_project()
    monkeypatch.setattr("labeling.forms.MAX_UPLOAD_BYTES", 10)
    assert "can be uploaded" in upload(ada, file=SimpleUploadedFile("t.txt", b"a" * 11))


def test_too_much_pasted_text_is_answered_in_words(ada: Client) -> None:
    make_project()
    response = ada.post("/projects/stories/imports/", {"text": "a" * (17 * 2**20)}, headers=HTMX)
    assert response.status_code == 413
    assert "Save it as a file" in response.text


def test_a_large_file_is_for_a_worker_and_can_be_cancelled(
    ada: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project()
    monkeypatch.setattr("labeling.imports.uploads.PREVIEWED_ROWS", 10)
    page = upload(ada, text="\n".join(f"Prompt {number}" for number in range(30)))
    assert "In the first 10 rows" in page
    page = change(ada, start=1)
    assert "waits for a worker" in page
    assert "waits for a worker" in ada.get("/projects/stories/setup/").text
    number = DataImport.objects.get().pk
    page = ada.post(f"/projects/stories/imports/{number}/cancel/", headers=HTMX).text
    assert "Cancelled. Nothing was imported." in page
    background.execute(number)
    assert not Prompt.objects.exists()
    assert DataImport.objects.get().stored == ""


def test_invited_people_are_counted_until_they_come(ada: Client) -> None:
    project = make_project(everybody=False)
    joins(User.objects.get(username="ada"), project, "admins")
    given = {"name": "Ben", "projects": [project.pk]}
    ada.post("/people/invite/", given, headers=HTMX)
    assert Invitation.objects.get().projects.get() == project
    assert "No annotators yet, 1 invited" in ada.get("/projects/stories/setup/").text
