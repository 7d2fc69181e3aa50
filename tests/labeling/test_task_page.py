import json
import re

import pytest
from django.db import connection
from django.test import Client

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Annotation, Assignment, Generator, Project
from labeling.prompts import add_prompts
from labeling.tasks import create_tasks
from tests.labeling.objects import GENERATOR, admin, annotator, claimed, make_project, make_tasks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("midday")]


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
    shown = re.findall(r'<div class="text plain" dir="auto" lang="">([ABC]0)</div>', page)
    assert shown == [sample.text for sample in lease(project).shown_samples()]


def test_nothing_names_the_model_or_the_samples_before_the_answer(ann: Client) -> None:
    with connection.cursor() as cursor:  # numbers that nothing else on a page has
        cursor.execute("ALTER SEQUENCE labeling_sample_id_seq RESTART 7654321")
        cursor.execute("ALTER SEQUENCE labeling_generator_id_seq RESTART 8765432")
    project = make_project()
    make_tasks(project, 3)
    responses = [ann.get("/projects/stories/work/")]
    held = lease(project)
    responses += [
        ann.get(f"/assignments/{held.pk}/"),
        ann.post("/projects/stories/claim/", headers={"HX-Request": "true"}),
        ann.post(
            f"/assignments/{held.pk}/submit/",
            {"answer": '{"ranks": [1, 2, 3]}', "client_key": "k"},
            headers={"HX-Request": "true"},
        ),
        ann.get(f"/assignments/{held.pk}/edit/"),
        ann.get("/projects/stories/last/"),
    ]
    for response in responses:
        content = response.text + str(response.headers)
        assert response.status_code == 200
        assert GENERATOR not in content
        assert "76543" not in content
        assert "87654" not in content


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
    assert "No tasks right now" in page


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
        assert "Not saved" in page
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


def test_the_reason_for_skipping_is_the_buttons_or_the_written_one(ann: Client) -> None:
    project = make_project()
    make_tasks(project, 2)
    ann.get("/projects/stories/work/")
    ann.post(f"/assignments/{lease(project).pk}/skip/", {"reason": ["The samples are broken", ""]})
    ann.post(f"/assignments/{lease(project).pk}/skip/", {"reason": "in words"})
    reasons = Assignment.objects.order_by("id").values_list("skip_reason", flat=True)
    assert list(reasons) == ["The samples are broken", "in words"]


def test_a_draft_is_kept_and_shown_again(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    before = lease(project)
    draft = {"comment": '"><script>alert(1)</script>', "saved": 1}
    response = ann.post(f"/assignments/{before.pk}/draft/", {"draft": json.dumps(draft)})
    assert response.status_code == 204
    assert lease(project).draft == draft
    assert lease(project).lease_until > before.lease_until
    page = ann.get("/projects/stories/work/").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    "draft", ["", "no", "[]", "5", "null", '{"a": "\\u0000"}', '{"a": NaN}', "[" * 5000, "x" * 10]
)
def test_a_draft_that_cannot_be_kept_is_refused_in_one_line(ann: Client, draft: str) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    response = ann.post(f"/assignments/{lease(project).pk}/draft/", {"draft": draft})
    assert response.status_code == 422
    assert "Not saved: draft" in response.text
    assert lease(project).draft is None


def test_a_draft_has_an_end_far_beyond_the_texts_of_any_answer(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    address = f"/assignments/{lease(project).pk}/draft/"
    two_texts = json.dumps({"0": "从" * 100_000, "1": "前" * 100_000}, ensure_ascii=False)
    assert ann.post(address, {"draft": two_texts}).status_code == 204
    response = ann.post(address, {"draft": json.dumps({"comment": "é" * 1_100_001}, ensure_ascii=False)})
    assert response.status_code == 422
    assert "at most 1,100,000 are allowed" in response.text


def test_a_draft_of_a_lost_task_is_not_kept(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    assignment = lease(project)
    queue.release(assignment)
    assert ann.post(f"/assignments/{assignment.pk}/draft/", {"draft": "{}"}).status_code == 409


# -- Answers to change ------------------------------------------------------------------------------------


def edited(client: Client, assignment: Assignment, given: object, key: str = "again") -> tuple[int, str]:
    response = client.post(
        f"/assignments/{assignment.pk}/revise/",
        {"answer": json.dumps(given), "client_key": key},
        headers={"HX-Request": "true"},
    )
    return response.status_code, response.text


def test_an_answer_is_shown_as_it_was_given_and_saved_as_a_new_version(ann: Client) -> None:
    project = make_project()
    make_tasks(project, 2)
    ann.get("/projects/stories/work/")
    first = lease(project)
    answer(ann, first, {"ranks": [2, 1, 3], "comment": "hm"})
    page = ann.get(f"/assignments/{first.pk}/edit/").text
    assert "new version" in page
    assert "&quot;ranks&quot;:[2,1,3]" in page
    status, page = edited(ann, first, {"ranks": [1, 2, 3]})
    assert status == 200
    assert "Prompt 1" in page
    edited(ann, first, {"ranks": [1, 2, 3]})
    assert list(Annotation.objects.order_by("id").values_list("revision", flat=True)) == [1, 2]


def test_an_invalid_change_says_why_and_stores_nothing(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    first = lease(project)
    answer(ann, first, {"ranks": [2, 1, 3]})
    assert edited(ann, first, {"ranks": [1]})[0] == 422
    assert Annotation.objects.count() == 1


def test_only_the_last_ten_can_be_changed(ann: Client) -> None:
    project = make_project()
    make_tasks(project, 11)
    ann.get("/projects/stories/work/")
    first = lease(project)
    for _ in range(11):
        answer(ann, lease(project), {"all_bad": True})
    assert edited(ann, first, {"ranks": [1, 2, 3]})[0] == 409
    assert "your last 10" in ann.get(f"/assignments/{first.pk}/edit/", follow=True).text
    assert ann.get(f"/assignments/{first.pk}/edit/", headers={"HX-Request": "true"}).status_code == 409


def test_a_task_that_is_not_answered_has_nothing_to_change(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    assert ann.get(f"/assignments/{lease(project).pk}/edit/").status_code == 302
    assert edited(ann, lease(project), {"ranks": [1, 2, 3]})[0] == 409


def test_a_skipped_task_whose_places_are_gone_is_not_taken_again(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    skipped = lease(project)
    ann.post(f"/assignments/{skipped.pk}/skip/")
    claimed(annotator("bob"), project)
    response = ann.post(f"/assignments/{skipped.pk}/take-again/", headers={"HX-Request": "true"})
    assert response.status_code == 409
    assert ann.post(f"/assignments/{skipped.pk}/take-again/").status_code == 302


def test_the_last_answers_are_listed_with_what_was_said(ann: Client) -> None:
    project = make_project()
    make_tasks(project, 2)
    ann.get("/projects/stories/work/")
    answer(ann, lease(project), {"ranks": [2, 1, 1]})
    ann.post(f"/assignments/{lease(project).pk}/skip/", {"reason": "no"})
    page = ann.get("/projects/stories/last/").text
    assert "2 = 3 › 1" in page
    assert "Reopen" in page
    assert GENERATOR not in page


# -- Where to go next -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["https://e.vil/", "//e.vil/", "javascript:alert(1)", "/\\e.vil", "\thttps://e.vil", "http:e.vil"],
)
def test_an_answer_leads_to_no_other_site(ann: Client, address: str) -> None:
    project = make_project()
    make_tasks(project, 2)
    ann.get("/projects/stories/work/")
    assignment = lease(project)
    assert "e.vil" not in ann.get(f"/assignments/{assignment.pk}/", {"next": address}).text
    response = ann.post(
        f"/assignments/{assignment.pk}/submit/",
        {"answer": '{"all_bad": true}', "client_key": "k", "next": address},
        headers={"HX-Request": "true"},
    )
    assert response.status_code == 200
    assert "HX-Redirect" not in response.headers


def test_an_answer_leads_back_to_the_page_that_asked_for_it(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    assignment = lease(project)
    assert 'name="next" value="/me/?a=1"' in ann.get(f"/assignments/{assignment.pk}/?next=/me/%3Fa%3D1").text
    response = ann.post(
        f"/assignments/{assignment.pk}/submit/",
        {"answer": '{"all_bad": true}', "client_key": "k", "next": "/me/"},
        headers={"HX-Request": "true"},
    )
    assert response.headers["HX-Redirect"] == "/me/"


def test_a_task_that_is_not_held_has_no_page(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    ann.get("/projects/stories/work/")
    assignment = lease(project)
    queue.release(assignment)
    assert ann.get(f"/assignments/{assignment.pk}/").headers["Location"] == "/projects/stories/work/"


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


@pytest.mark.parametrize("action", ["submit", "skip", "renew", "draft", "revise", "take-again"])
def test_somebody_elses_task_is_not_there(ann: Client, action: str) -> None:
    project = make_project()
    make_tasks(project)
    assignment = claimed(annotator("bob"), project)
    assert ann.post(f"/assignments/{assignment.pk}/{action}/", {"client_key": "k"}).status_code == 404
    assignment.refresh_from_db()
    assert assignment.is_leased


@pytest.mark.parametrize("page", ["", "edit/"])
def test_somebody_elses_answer_is_not_there(ann: Client, page: str) -> None:
    project = make_project()
    make_tasks(project)
    assignment = claimed(annotator("bob"), project)
    queue.submit(assignment, Answer(all_bad=True), client_key="k")
    assert ann.get(f"/assignments/{assignment.pk}/{page}").status_code == 404


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
        "Incorrect user name or password"
        in client.post("/accounts/login/", {"username": "a", "password": "b"}).text
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
