"""Adjudication: a reviewer answers first, then sees the other answers and decides."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from labeling.feedback import Answer
from labeling.models import Adjudication, Annotation, Assignment, Project, Task
from labeling.preferences import comparisons
from labeling.quality.adjudication import disagreements
from labeling.quality.annotation_arrays import load_annotation_arrays
from labeling.queue import submit
from tests.labeling.objects import admin, annotator, make_project, make_tasks, says

pytestmark = pytest.mark.django_db

FIRST, SECOND = Answer(grade=-2, comment="Ann’s reason."), Answer(grade=2, comment="Ben’s reason.")


class Page:
    """What an admin does in the browser, without one."""

    def __init__(self, client: Client, user: User, task: Task) -> None:
        self.client, self.user, self.task = client, user, task
        client.force_login(user)

    def address(self, name: str = "adjudicate") -> str:
        return reverse(f"labeling:{name}", args=[self.task.project.slug, self.task.pk])

    def text(self) -> str:
        response = self.client.get(self.address())
        assert response.status_code == 200
        return response.content.decode()

    def vote(self, answer: Answer = FIRST) -> Assignment:
        response = self.client.post(self.address("vote"))
        assert response.status_code == 302
        held = Assignment.objects.get(annotator=self.user, task=self.task)
        assert response["Location"].startswith(reverse("labeling:assignment", args=[held.pk]))
        submit(held, answer, client_key="vote")
        return held

    def settle(self, decision: str, note: str = "") -> None:
        data = {"decision": decision, "note": note}
        assert self.client.post(self.address("settle"), data).status_code == 302


def disputed(tasks: int = 1) -> tuple[Project, list[Task]]:
    """Pairs on which ann and ben say the opposite."""
    project = make_project(feedback="pair", samples_per_task=2, annotations_per_task=2, adjudicate_percent=50)
    made = make_tasks(project, tasks, samples=2, need=2)
    ann, ben = annotator(), annotator("ben")
    for task in made:
        says(ann, task, FIRST)
        says(ben, task, SECOND)
    Task.objects.filter(project=project).update(open=0)
    return project, list(Task.objects.filter(project=project))


def waiting(project: Project) -> list[int]:
    return [row.task for row in disagreements(load_annotation_arrays(project))]


def test_tasks_that_agree_less_than_the_project_asks_wait_the_worst_first() -> None:
    project = make_project(feedback="pair", samples_per_task=2, adjudicate_percent=80)
    agreed, worst, half, alone = make_tasks(project, 4, samples=2, need=3)
    for name, answers in (("ann", (-1, -1, -1, 1)), ("ben", (-3, 2, 0, None))):
        user = annotator(name)
        for task, grade in zip((agreed, worst, half, alone), answers, strict=True):
            if grade is not None:
                says(user, task, Answer(grade=grade))
    assert waiting(project) == [worst.pk, half.pk]
    project.adjudicate_percent = 50
    assert waiting(project) == [worst.pk]
    assert agreed.pk not in waiting(project)
    assert alone.pk not in waiting(project)


def test_all_bad_against_a_preference_is_a_disagreement() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    (task,) = make_tasks(project, 1, samples=2, need=2)
    says(annotator(), task, Answer(all_bad=True))
    says(annotator("ben"), task, Answer(grade=1))
    assert waiting(project) == [task.pk]


def test_nothing_of_others_answers_is_on_the_page_before_the_own_vote(client: Client) -> None:
    project, (task,) = disputed()
    page = Page(client, admin(), task)
    listed = client.get(reverse("labeling:adjudication", args=[project.slug])).content.decode()
    quality = client.get(reverse("labeling:quality", args=[project.slug])).content.decode()
    for text in (page.text(), listed, quality):
        assert "’s reason" not in text
        assert "slightly" not in text
        assert "better</" not in text
    assert ">ann<" not in page.text()
    assert "Answer this task" in page.text()


def test_nothing_of_others_answers_is_in_the_work_page_of_the_vote(client: Client) -> None:
    _, (task,) = disputed()
    page = Page(client, admin(), task)
    response = client.post(page.address("vote"), follow=True)
    text = response.content.decode()
    assert response.status_code == 200
    assert task.prompt.text in text
    assert "’s reason" not in text
    assert "ben" not in text
    assert "story-model" not in text


def test_after_the_vote_all_answers_lie_side_by_side(client: Client) -> None:
    _, (task,) = disputed()
    page = Page(client, admin(), task)
    page.vote(Answer(grade=-1))
    text = page.text()
    assert "Ann’s reason." in text
    assert "Ben’s reason." in text
    assert "First: better" in text
    assert "Second: better" in text
    assert "Use my answer as final" in text


def test_answers_are_laid_side_by_side_in_one_order_whatever_was_shown(client: Client) -> None:
    project = make_project(feedback="rank", samples_per_task=3)
    (task,) = make_tasks(project, 1, samples=3, need=3)
    ada = admin()
    says(annotator(), task, Answer(ranks=(1, 2, 3)), turned=True)
    says(ada, task, Answer(ranks=(3, 2, 1)))
    text = Page(client, ada, task).text()
    assert text.count("3 › 2 › 1") == 2


def test_the_vote_takes_no_place_that_others_were_asked_for(client: Client) -> None:
    _, (task,) = disputed()
    Page(client, admin(), task).vote()
    task.refresh_from_db()
    assert (task.need, task.open) == (3, 0)


def test_with_the_last_word_only_that_answer_is_learned_from(client: Client) -> None:
    project, (task,) = disputed()
    page = Page(client, admin(), task)
    page.vote(Answer(grade=1))
    assert len(list(comparisons(project))) == 3
    page.settle("mine", "The second keeps its promise.")
    (row,) = comparisons(project)
    assert row["annotator"] == str(page.user.pk)
    assert waiting(project) == []
    assert "The second keeps its promise." in page.text()


def test_all_answers_can_be_kept_and_the_task_no_longer_waits(client: Client) -> None:
    project, (task,) = disputed()
    page = Page(client, admin(), task)
    page.vote()
    page.settle("all")
    assert Adjudication.objects.get().assignment is None
    assert len(list(comparisons(project))) == 3
    assert waiting(project) == []


def test_the_last_word_can_be_taken_back(client: Client) -> None:
    project, (task,) = disputed()
    page = Page(client, admin(), task)
    page.vote()
    page.settle("mine")
    page.settle("reopen")
    assert waiting(project) == [task.pk]
    assert len(list(comparisons(project))) == 3


def test_nobody_has_the_last_word_without_an_own_answer(client: Client) -> None:
    _, (task,) = disputed()
    page = Page(client, admin(), task)
    for decision in ("mine", "all"):
        page.settle(decision)
    assert not Adjudication.objects.exists()


def test_an_unknown_decision_changes_nothing(client: Client) -> None:
    _, (task,) = disputed()
    page = Page(client, admin(), task)
    page.vote()
    page.settle("whatever")
    assert not Adjudication.objects.exists()


def test_whoever_answered_in_the_ordinary_way_sees_all_answers_at_once(client: Client) -> None:
    project, (task,) = disputed()
    ada = admin()
    says(ada, task, FIRST)
    page = Page(client, ada, task)
    assert "Ben’s reason." in page.text()
    assert client.post(page.address("vote"))["Location"] == page.address()
    assert Annotation.objects.for_project(project).count() == 3


@pytest.mark.parametrize("name", ["adjudicate", "vote", "settle", "use_as_gold"])
def test_annotators_may_not(client: Client, name: str) -> None:
    _, (task,) = disputed()
    page = Page(client, annotator("cem"), task)
    method = client.get if name == "adjudicate" else client.post
    assert method(page.address(name)).status_code == 403
    assert not Adjudication.objects.exists()


@pytest.mark.parametrize("name", ["vote", "settle", "use_as_gold"])
def test_a_link_changes_nothing(client: Client, name: str) -> None:
    _, (task,) = disputed()
    assert client.get(Page(client, admin(), task).address(name)).status_code == 405


def test_a_task_of_another_project_is_not_found_by_its_id(client: Client) -> None:
    _, (task,) = disputed()
    other = make_project("other")
    client.force_login(admin())
    assert client.get(reverse("labeling:adjudicate", args=[other.slug, task.pk])).status_code == 404


def test_remarks_on_a_task_that_waits_stay_hidden_until_the_own_vote(client: Client) -> None:
    project, (task,) = disputed()
    page = Page(client, admin(), task)
    address = reverse("labeling:quality", args=[project.slug])
    assert "Hidden until you have answered this task" in client.get(address).content.decode()
    page.vote()
    text = client.get(address).content.decode()
    assert "Ben’s reason." in text
    assert "Hidden until you have answered this task" not in text
