"""Making gold and training tasks from answered tasks."""

import pytest
from django.test import Client
from django.urls import reverse

from labeling.control_tasks import is_correct
from labeling.feedback import Answer
from labeling.models import Gold, Project, Task
from tests.labeling.objects import admin, annotator, make_project, make_tasks, says

pytestmark = pytest.mark.django_db


def make(client: Client, task: Task, kind: str, explanation: str = "It keeps its promise.") -> str:
    """Ask for a copy with a known answer; gives the page that comes after it."""
    address = reverse("labeling:use_as_gold", args=[task.project.slug, task.pk])
    response = client.post(address, {"kind": kind, "explanation": explanation}, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def ranking(count: int = 1) -> tuple[Project, list[Task]]:
    project = make_project(feedback="rank", samples_per_task=3)
    return project, make_tasks(project, count, need=3)


@pytest.mark.parametrize("kind", ["gold", "training"])
def test_the_own_answer_is_the_right_one_for_everybody_in_whatever_order(client: Client, kind: str) -> None:
    _, (task,) = ranking()
    ada = admin()
    client.force_login(ada)
    says(ada, task, Answer(ranks=(1, 2, 3)), turned=True)
    make(client, task, kind)
    copy = Task.objects.get(kind=kind)
    assert copy.origin == task
    gold = Gold.objects.get()
    assert (gold.author, gold.explanation) == (ada, "It keeps its promise.")
    assert is_correct(says(annotator(), copy, Answer(ranks=(3, 2, 1))))
    assert not is_correct(says(annotator("ben"), copy, Answer(ranks=(3, 2, 1)), turned=True))


def test_all_bad_can_be_the_right_answer(client: Client) -> None:
    _, (task,) = ranking()
    ada = admin()
    client.force_login(ada)
    says(ada, task, Answer(all_bad=True))
    make(client, task, "gold")
    assert is_correct(says(annotator(), Task.objects.get(kind="gold"), Answer(all_bad=True)))


def test_a_training_task_needs_an_explanation(client: Client) -> None:
    _, (task,) = ranking()
    ada = admin()
    client.force_login(ada)
    says(ada, task, Answer(ranks=(1, 2, 3)))
    assert "Add an explanation" in make(client, task, "training", " ")
    assert not Gold.objects.exists()


def test_without_an_own_answer_there_is_no_gold(client: Client) -> None:
    _, (task,) = ranking()
    says(annotator(), task, Answer(ranks=(1, 2, 3)))
    client.force_login(admin())
    assert "Answer the task yourself first" in make(client, task, "gold")
    assert not Gold.objects.exists()


@pytest.mark.parametrize("kind", ["ordinary", "repeat", ""])
def test_other_kinds_of_task_cannot_be_made(client: Client, kind: str) -> None:
    _, (task,) = ranking()
    ada = admin()
    client.force_login(ada)
    says(ada, task, Answer(ranks=(1, 2, 3)))
    make(client, task, kind)
    assert Task.objects.count() == 1


def test_where_people_write_there_is_no_gold(client: Client) -> None:
    project = make_project(feedback="rewrite", samples_per_task=1)
    (task,) = make_tasks(project, 1, samples=1)
    ada = admin()
    client.force_login(ada)
    says(ada, task, Answer(text="Once, a hare."))
    assert "no single text is correct" in make(client, task, "gold")
    assert not Gold.objects.exists()


def test_the_page_of_known_tasks_says_how_people_do_and_offers_more(client: Client) -> None:
    project, (task, other) = ranking(2)
    ada = admin()
    client.force_login(ada)
    says(ada, task, Answer(ranks=(1, 2, 3)))
    make(client, task, "gold")
    gold = Task.objects.get(kind="gold")
    says(annotator(), gold, Answer(ranks=(1, 2, 3)))
    says(annotator("ben"), gold, Answer(ranks=(3, 2, 1)))
    text = client.get(reverse("labeling:gold", args=[project.slug])).content.decode()
    assert "50 % <small>of 2</small>" in text
    assert reverse("labeling:adjudicate", args=[project.slug, other.pk]) in text
    offered = text[text.index("Add gold and training tasks") :]
    assert reverse("labeling:adjudicate", args=[project.slug, task.pk]) not in offered


def test_a_gold_task_itself_is_not_opened_for_adjudication(client: Client) -> None:
    project, (task,) = ranking()
    ada = admin()
    client.force_login(ada)
    says(ada, task, Answer(ranks=(1, 2, 3)))
    make(client, task, "gold")
    gold = Task.objects.get(kind="gold")
    assert client.get(reverse("labeling:adjudicate", args=[project.slug, gold.pk])).status_code == 404
