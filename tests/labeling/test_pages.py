import json
import re

import pytest
from django.test import Client

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Annotation, Assignment, Generator, Project
from labeling.prompts import add_prompts
from labeling.tasks import create_tasks
from tests.labeling.objects import GENERATOR, admin, annotator, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(client: Client) -> Client:
    client.force_login(annotator())
    return client


def answer(client: Client, assignment: Assignment, given: object, key: str = "k") -> tuple[int, str]:
    response = client.post(
        f"/assignments/{assignment.pk}/submit/",
        {"answer": given if isinstance(given, str) else json.dumps(given), "client_key": key},
        headers={"HX-Request": "true"},
    )
    return response.status_code, response.text


def lease(project: Project) -> Assignment:
    return Assignment.objects.leased().get(project=project)


def test_the_work_page_shows_the_leased_task(ann: Client) -> None:
    project = make_project()
    make_tasks(project, samples=3)
    page = ann.get("/projects/stories/work/").text
    assert "Prompt 0" in page
    shown = re.findall(r'<div class="text" dir="auto" lang="">([ABC]0)</div>', page)
    assert shown == [sample.text for sample in lease(project).shown_samples()]


def test_nothing_on_the_page_names_the_model(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    response = ann.get("/projects/stories/work/")
    assert GENERATOR not in response.text
    for sample in lease(project).shown_samples():
        assert f'"{sample.pk}"' not in response.text.replace(f'data-assignment="{lease(project).pk}"', "")
    assert GENERATOR not in str(response.headers)


def test_markup_in_texts_is_shown_and_not_run(ann: Client) -> None:
    project = make_project(name="<b>bold</b>", criteria=["<i>kind</i>"], feedback="score")
    project.revise_guidelines("<script>alert(1)</script> [x](javascript:alert(2)) ![p](http://e.vil/p.png)")
    [prompt] = add_prompts(project, ["<img src=x onerror=alert(3)>"])
    writer = Generator.objects.create(name="writer")
    create_tasks(project=project, generator=writer, completions={prompt: ["</p><script>alert(4)</script>"]})
    page = ann.get("/projects/stories/work/").text
    for bad in ("<b>bold", "<i>kind", "<script>alert", "<img", 'href="javascript'):
        assert bad not in page
    assert "&lt;img src=x onerror=alert(3)&gt;" in page


def test_the_answers_response_carries_the_next_task(ann: Client) -> None:
    project = make_project()
    make_tasks(project, 2)
    ann.get("/projects/stories/work/")
    status, page = answer(
        ann, lease(project), {"ranks": [2, 1, 2], "flagged": True, "comment": "hm", "seconds": 3.5}
    )
    assert status == 200
    assert "Prompt 1" in page
    assert "<strong>1</strong> today" in page
    annotation = Annotation.objects.get()
    assert (annotation.flagged, annotation.comment, annotation.seconds) == (True, "hm", 3.5)


def test_after_the_last_task_the_page_waits(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    _, page = answer(ann, lease(project), {"all_bad": True})
    assert "Nothing to do at the moment" in page


def test_a_waiting_page_is_left_alone_until_a_task_comes(ann: Client) -> None:
    project = make_project()
    assert ann.post("/projects/stories/claim/", {"waiting": "yes"}).status_code == 204
    make_tasks(project)
    assert "Prompt 0" in ann.post("/projects/stories/claim/", {"waiting": "yes"}).text


def test_an_invalid_answer_says_why_and_keeps_the_task(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    wrong: list[object] = [{"ranks": [1]}, {"ranks": "123"}, {"ranks": [1, 2, True]}, {"gold": True}]
    for given in (*wrong, [], "", "{" * 10_000):
        status, page = answer(ann, lease(project), given)
        assert status == 422
        assert "Not stored" in page
    assert not Annotation.objects.exists()


def test_a_lost_lease_is_said_beside_the_draft(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    assignment = lease(project)
    queue.release(assignment)
    response = ann.post(
        f"/assignments/{assignment.pk}/submit/",
        {"answer": json.dumps({"ranks": [1, 2, 3]}), "client_key": "k"},
        headers={"HX-Request": "true"},
    )
    assert response.status_code == 409
    assert response.headers["HX-Retarget"] == "#notice"
    assert "Claim it again" in response.text
    assert ann.post(f"/assignments/{assignment.pk}/renew/").status_code == 409
    assert ann.post(f"/assignments/{assignment.pk}/skip/").status_code == 409
    assert not Annotation.objects.exists()


def test_renewing_moves_the_end_of_the_lease(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    before = lease(project)
    assert ann.post(f"/assignments/{before.pk}/renew/").status_code == 204
    assert lease(project).lease_until > before.lease_until


def test_skipping_brings_the_next_task(ann: Client) -> None:
    project = make_project()
    make_tasks(project, 2)
    ann.get("/projects/stories/work/")
    page = ann.post(f"/assignments/{lease(project).pk}/skip/", {"reason": "unclear"}).text
    assert "Prompt 1" in page


# -- Who may ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/projects/stories/work/"])
def test_strangers_are_sent_to_sign_in(client: Client, path: str) -> None:
    make_project()
    assert client.get(path).headers["Location"] == f"/accounts/login/?next={path}"


def test_a_fragment_for_somebody_signed_out_sends_the_whole_page_to_sign_in(client: Client) -> None:
    project = make_project()
    make_tasks(project)
    assignment = claimed(annotator(), project)
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/projects/stories/work/"}
    response = client.post(f"/assignments/{assignment.pk}/submit/", headers=headers)
    assert response.headers["HX-Redirect"] == "/accounts/login/?next=/projects/stories/work/"


def test_people_outside_the_groups_may_not_label(client: Client) -> None:
    make_project()
    outsider = annotator("outsider")
    outsider.groups.clear()
    client.force_login(outsider)
    assert client.get("/projects/stories/work/").status_code == 403
    assert client.post("/projects/stories/claim/").status_code == 403
    assert "Stories" not in client.get("/").text


def test_admins_may_label(client: Client) -> None:
    make_tasks(make_project())
    client.force_login(admin())
    assert "Prompt 0" in client.get("/projects/stories/work/").text


@pytest.mark.parametrize("action", ["submit", "skip", "renew"])
def test_somebody_elses_task_is_not_there(ann: Client, action: str) -> None:
    project = make_project()
    make_tasks(project)
    assignment = claimed(annotator("bob"), project)
    assert ann.post(f"/assignments/{assignment.pk}/{action}/", {"client_key": "k"}).status_code == 404
    assignment.refresh_from_db()
    assert assignment.is_leased


def test_an_inactive_project_is_not_there(ann: Client) -> None:
    make_project(is_active=False)
    assert ann.get("/projects/stories/work/").status_code == 404


@pytest.mark.parametrize(
    "path", ["/projects/stories/claim/", "/assignments/1/submit/", "/assignments/1/skip/"]
)
def test_what_changes_something_wants_a_post(ann: Client, path: str) -> None:
    assert ann.get(path).status_code == 405


def test_a_forged_post_is_refused() -> None:
    make_project()
    client = Client(enforce_csrf_checks=True)
    client.force_login(annotator())
    assert client.post("/projects/stories/claim/").status_code == 403


def test_sign_in_does_not_lead_to_another_site(client: Client) -> None:
    user = annotator()
    user.set_password("a pass phrase")
    user.save()
    form = {"username": "ann", "password": "a pass phrase", "next": "https://e.vil/"}
    assert client.post("/accounts/login/", form).headers["Location"] == "/"


def test_a_wrong_password_is_said_in_words(client: Client) -> None:
    assert (
        "do not belong together" in client.post("/accounts/login/", {"username": "a", "password": "b"}).text
    )


def test_every_page_has_a_strict_policy_and_no_inline_code(ann: Client) -> None:
    make_tasks(make_project())
    for path in ("/", "/projects/stories/work/"):
        response = ann.get(path)
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=|javascript:", response.text)


def test_todays_answers_are_counted_for_the_person_alone(ann: Client) -> None:
    project = make_project()
    make_tasks(project, 3)
    queue.submit(claimed(annotator("bob"), project), Answer(ranks=(1, 2, 3)), client_key="k")
    assert "<strong>0</strong> today" in ann.get("/projects/stories/work/").text
