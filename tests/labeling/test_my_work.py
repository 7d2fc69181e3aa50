"""The first page, with the available projects, and "My work"."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from labeling import queue
from labeling.control_tasks import create_gold_task
from labeling.feedback import Answer
from labeling.models import Assignment, Project, WorkSettings
from labeling.workspace.answer_text import summarize_answer
from tests.labeling.objects import (
    admin,
    annotator,
    answered,
    claimed,
    joins,
    leased,
    make_project,
    make_tasks,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("midday")]


@pytest.fixture
def user(client: Client) -> User:
    user = annotator()
    client.force_login(user)
    return user


def words(html: str) -> str:
    """What a page says, without its tags."""
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def main(client: Client, path: str) -> str:
    return words(client.get(path).text.partition("<main")[2])


# -- What there is to do -----------------------------------------------------------------------------------


def test_the_first_page_says_in_steps_how_much_there_is_to_do(client: Client, user: User) -> None:
    make_tasks(make_project("stories"), 23)
    make_project("poems")
    make_project("closed", is_active=False)
    page = main(client, "/")
    assert "20 or more tasks available." in page
    assert "No tasks right now." in page
    assert "Closed" not in page
    assert page.index("Stories") < page.index("Poems")


def test_the_number_of_tasks_does_not_tell_gold(client: Client, user: User) -> None:
    project = make_project()
    make_tasks(project, 30)
    before = main(client, "/")
    answered(user, project)
    assert main(client, "/").replace("1 today", "0 today") == before


def test_a_begun_answer_is_offered_first(client: Client, user: User) -> None:
    other, project = make_project("another"), make_project("stories")
    make_tasks(other)
    make_tasks(project)
    queue.save_draft(claimed(user, project), {"state": {"grade": 1}})
    page = main(client, "/")
    assert "You have an unfinished answer. 0 today Continue Stories" in page
    assert page.index("Stories") < page.index("Another")


def test_a_draft_whose_lease_ran_out_is_still_offered(client: Client, user: User) -> None:
    project = make_project()
    make_tasks(project)
    held = claimed(user, project)
    queue.save_draft(held, {"state": {"grade": 1}})
    Assignment.objects.update(lease_until=timezone.now() - timedelta(minutes=1))
    queue.expire()
    assert "You have an unfinished answer" in main(client, "/")


def test_a_held_task_is_somebodys_own(client: Client, user: User) -> None:
    project = make_project()
    make_tasks(project, 2)
    queue.save_draft(claimed(annotator("bob"), project), {"state": {"grade": 1}})
    assert "unfinished" not in main(client, "/")


def test_practice_comes_first_and_says_how_far_one_is(client: Client, user: User) -> None:
    project = make_project()
    tasks = make_tasks(project, 5)
    training_tasks = [
        create_gold_task(task=task, answer=Answer(all_bad=True), author=None, kind="training")
        for task in tasks[:3]
    ]
    assert "3 training tasks first." in main(client, "/")
    queue.submit(leased(user, training_tasks[0]), Answer(all_bad=True), client_key="k")
    assert "2 training tasks first, 1 of 3 correct so far." in main(client, "/")
    for training_task in training_tasks[1:]:
        queue.submit(leased(user, training_task), Answer(all_bad=True), client_key="k")
    assert "Fewer than 10 tasks available." in main(client, "/")


def test_who_has_reached_the_limit_of_the_day_is_done_for_today(client: Client, user: User) -> None:
    project = make_project(limit_per_day=2)
    make_tasks(project, 5)
    answered(user, project)
    assert "Start Stories" in main(client, "/")
    answered(user, project)
    page = main(client, "/")
    assert "Done for today: this project accepts 2 answers per person per day." in page
    assert "Open Stories" in page


def test_who_has_reached_the_limit_of_a_person_is_done(client: Client, user: User) -> None:
    project = make_project(limit_per_person=1)
    make_tasks(project, 5)
    answered(user, project)
    assert "Done: this project accepts 1 answer per person." in main(client, "/")


def test_the_goal_of_a_project_gives_way_to_ones_own(client: Client, user: User) -> None:
    project = make_project(daily_goal=30)
    make_tasks(project, 2)
    answered(user, project)
    assert "1 of 30 today" in main(client, "/")
    WorkSettings.objects.create(annotator=user, daily_goal=8)
    page = main(client, "/")
    assert "Today, all projects 1 of 8" in page
    assert "of 30" not in page


def test_guidelines_are_linked_with_their_version(client: Client, user: User) -> None:
    project = make_project()
    project.revise_guidelines("Be kind.")
    project.revise_guidelines("Be kinder.")
    page = client.get("/").text
    assert 'href="/projects/stories/guidelines/"' in page
    assert "version 2" in page


def test_annotators_find_nothing_to_set_up(client: Client, user: User) -> None:
    make_project()
    page = client.get("/").text
    for path in ("/projects/new/", "/projects/stories/setup/", "/people/", "/runs/", "/admin/"):
        assert f'href="{path}"' not in page


def test_admins_find_setup_of_all_their_projects(client: Client) -> None:
    ada = admin()
    client.force_login(ada)
    make_project("stories")
    make_project("closed", is_active=False)
    joins(ada, make_project("few", everybody=False), "admins")
    make_project("others", everybody=False)
    page = client.get("/").text
    for slug in ("stories", "closed", "few"):
        assert f'href="/projects/{slug}/setup/"' in page
        assert f'href="/projects/{slug}/quality/"' in page
    assert "Others" not in page
    for path in ("/projects/new/", "/people/", "/runs/", "/admin/"):
        assert f'href="{path}"' in page


def test_without_projects_the_page_says_what_will_happen(client: Client, user: User) -> None:
    assert "Projects you can work on appear here." in main(client, "/")
    client.force_login(admin())
    assert "No projects yet" in main(client, "/")
    assert 'href="/projects/new/"' in client.get("/").text


def test_who_may_not_label_is_told_whom_to_ask(client: Client) -> None:
    make_project()
    outsider = annotator("outsider")
    outsider.groups.clear()
    client.force_login(outsider)
    assert "Ask an administrator to add you." in main(client, "/")


# -- My work -----------------------------------------------------------------------------------------------


def test_before_the_first_answer_the_page_says_what_comes(client: Client, user: User) -> None:
    assert "Nothing to show yet" in main(client, "/me/")


def test_the_page_shows_todays_work_and_the_last_answers(client: Client, user: User) -> None:
    project = make_project("stories", feedback="pair", samples_per_task=2, daily_goal=10)
    make_tasks(project, 3, samples=2)
    first = answered(user, project, Answer(grade=-2, seconds=30.0))
    answered(user, project, Answer(grade=0, seconds=10.0, flagged=True))
    queue.revise(first.assignment, Answer(grade=3), client_key="again")
    skipped = claimed(user, project)
    queue.skip(skipped, reason="not my language")
    response = client.get("/me/")
    page = words(response.text)
    assert "2 answers" in page
    assert "2 of 10" in page
    assert "20 s" in page  # the median
    assert "Second: much better edited" in page
    assert "About the same flagged" in page
    assert "Skipped: not my language" in page
    assert f'href="/assignments/{first.assignment_id}/edit/?next=/me/"' in response.text
    assert f'action="/assignments/{skipped.pk}/take-again/"' in response.text
    assert "1 active day in the last eight weeks" in page


def test_nobody_sees_anothers_work(client: Client, user: User) -> None:
    project = make_project("stories", feedback="rewrite", samples_per_task=1)
    make_tasks(project, 3, samples=1)
    bob = annotator("bob")
    secret = answered(bob, project, Answer(text="what bob wrote"))
    answered(user, project, Answer(text="what ann wrote"))
    page = client.get("/me/").text
    assert "what ann wrote" in page
    assert "what bob wrote" not in page
    assert words(page).count("1 answer") == 1
    for someone in (user, admin("ada"), User.objects.create_superuser("root")):
        client.force_login(someone)
        assert "what bob wrote" not in client.get("/me/").text
        assert client.get(f"/assignments/{secret.assignment_id}/edit/").status_code == 404
        assert client.post(f"/assignments/{secret.assignment_id}/take-again/").status_code == 404


def test_nothing_on_the_page_tells_gold(client: Client, user: User) -> None:
    """The page of somebody whose only answer was to gold reads as that of one who never met any."""
    pages = []
    for name, kind in (("ann-1", "gold"), ("ann-2", "ordinary")):
        someone = annotator(name)
        project = make_project(name, everybody=False)
        project.members.add(someone)
        [task] = make_tasks(project)
        if kind == "gold":
            task = create_gold_task(task=task, answer=Answer(ranks=(1, 2, 3)), author=None)
        queue.submit(leased(someone, task), Answer(ranks=(1, 2, 3)), client_key="k")
        client.force_login(someone)
        page = words(client.get("/me/").text)
        page = re.sub(r"\b\d\d:\d\d\b", "time", page)  # of the answer: a minute may end between the two
        pages.append(page.replace(name, "ann").replace(name.title(), "Ann"))
    assert pages[0] == pages[1]
    assert "gold" not in pages[0].lower()


def test_the_page_takes_few_queries_however_much_was_done(
    client: Client, user: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    project = make_project()
    make_tasks(project, 12)
    for _ in range(12):
        answered(user, project)
    with django_assert_max_num_queries(25):
        client.get("/me/")


def test_older_answers_are_a_click_away(client: Client, user: User) -> None:
    for slug in ("stories", "poems"):
        project = make_project(slug)
        make_tasks(project, 8)
        for _ in range(8):
            answered(user, project)
    page = client.get("/me/").text
    assert "<summary>6 more</summary>" in page
    assert page.count(">Edit<") == 16


def test_the_page_needs_the_right_to_label(client: Client) -> None:
    assert client.get("/me/").headers["Location"] == "/accounts/login/?next=/me/"
    outsider = annotator("outsider")
    outsider.groups.clear()
    client.force_login(outsider)
    assert client.get("/me/").status_code == 403
    assert 'href="/me/"' not in client.get("/").text


@pytest.mark.parametrize(
    ("answer", "summary"),
    [
        (Answer(all_bad=True), "All bad"),
        (Answer(grade=-3), "First: much better"),
        (Answer(grade=0), "About the same"),
        (Answer(grade=1), "Second: slightly better"),
        (Answer(best=2), "2 is best"),
        (Answer(ranks=(2, 1, 2)), "2 › 1 = 3"),
        (Answer(scores=(4, 2)), "Scores 4, 2"),
        (Answer(text="A long\nletter."), "“A long letter.”"),
        (Answer(text="word " * 100), f"“{('word ' * 100)[:79]}…”"),
    ],
)
def test_answers_read_as_the_page_says_them(answer: Answer, summary: str) -> None:
    assert summarize_answer(answer) == summary


# -- The frame of every page -------------------------------------------------------------------------------


def test_the_present_page_is_marked_and_named(client: Client, user: User) -> None:
    make_project().revise_guidelines("Be kind.")
    for path, title, marked in (
        ("/", "Projects", "Projects"),
        ("/me/", "My work", "My work"),
        ("/me/settings/", "Settings", "My work"),
        ("/projects/stories/guidelines/", "Guidelines of Stories", "Projects"),
    ):
        page = client.get(path).text
        assert f"<title>{title} · Hone</title>" in page
        assert re.findall(r'<a[^>]*aria-current="[^"]*">([^<]*)</a>', page.partition("<main")[0]) == [marked]


def test_every_page_of_ones_own_has_no_inline_code(client: Client, user: User) -> None:
    project = make_project()
    make_tasks(project)
    answered(user, project)
    for path in ("/", "/me/", "/me/settings/", "/projects/stories/guidelines/"):
        page = client.get(path).text
        assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=|javascript:", page)


def test_the_admin_is_entered_through_the_sites_own_sign_in(client: Client) -> None:
    response = client.get("/admin/", follow=True)
    assert response.redirect_chain[-1][0] == "/accounts/login/?next=/admin/"
    client.force_login(admin())
    assert client.get("/admin/login/?next=/admin/", follow=True).redirect_chain[-1][0] == "/admin/"


def test_an_annotator_at_the_admins_door_is_told_so(client: Client, user: User) -> None:
    response = client.get("/admin/", follow=True)
    assert response.status_code == 403
    assert "You are signed in as ann" in words(response.text)


def test_an_error_of_ours_is_told_without_the_database(
    client: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_user: User) -> None:
        raise RuntimeError("no database")

    monkeypatch.setattr("labeling.views.my_work.available_projects", broken)
    client.raise_request_exception = False
    response = client.get("/")
    assert response.status_code == 500
    assert "Something went wrong" in response.text
    assert "no database" not in response.text


def test_a_page_that_is_out_of_date_says_so(user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    response = client.post("/me/settings/", {"reset": "keys"})
    assert response.status_code == 403
    assert "This page has expired" in response.text


def test_projects_that_are_not_for_a_person_are_not_listed(client: Client, user: User) -> None:
    project = make_project(everybody=False)
    assert "Stories" not in main(client, "/")
    project.members.add(user)
    assert "Stories" in main(client, "/")
    assert Project.objects.count() == 1
