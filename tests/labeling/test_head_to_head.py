"""Two writers compared blindly: what annotators see, and what is made of their answers."""

import json
from collections import Counter

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from labeling import queue
from labeling.control_tasks import create_gold_task
from labeling.feedback import Answer
from labeling.head_to_head import head_to_head_comparisons, head_to_head_progress, least_compared_prompts
from labeling.models import Generator, Project, Prompt, Sample, Task
from labeling.preferences import comparisons, create_snapshot
from labeling.prompts import add_prompts
from labeling.tasks import create_blind_tasks, create_tasks
from tests.labeling.objects import annotator, claimed, make_project

pytestmark = pytest.mark.django_db


def writers() -> tuple[Generator, Generator]:
    return Generator.objects.create(name="tuned-7"), Generator.objects.create(name="base-6")


def blind_tasks(project: Project, count: int = 1, *, need: int = 1) -> tuple[Generator, Generator]:
    """Tasks on held-out prompts in which the first writes `good`, the second `poor`."""
    first, second = writers()
    prompts = add_prompts(project, [f"Prompt {number}" for number in range(count)], "heldout")
    create_blind_tasks(
        project=project,
        completions=[(prompt, {first: " good", second: " poor"}) for prompt in prompts],
        parameters={"temperature": 0.7},
        need=need,
    )
    return first, second


def prefer(user: User, project: Project, text: str) -> None:
    """Answer the next task: the sample of this text is better; an empty text makes a tie."""
    assignment = claimed(user, project)
    shown = [sample.text.strip() for sample in assignment.shown_samples()]
    worths = [2 if each == text else 1 for each in shown] if text else [1] * len(shown)
    match project.feedback:
        case Project.FeedbackKind.SCORE:
            answer = Answer(scores=tuple(worths))
        case Project.FeedbackKind.PAIR:
            answer = Answer(grade=2 * (worths[1] - worths[0]))
        case Project.FeedbackKind.BEST:
            answer = Answer(best=1 + worths.index(2))
        case _:
            answer = Answer(ranks=tuple(3 - worth for worth in worths))
    queue.submit(assignment, answer, client_key="k")


def points(project: Project, first: Generator, second: Generator) -> list[float]:
    return [each.points for each in head_to_head_comparisons(project, first, second)]


def test_each_task_holds_one_sample_of_each_writer_in_random_order() -> None:
    project = make_project()
    first, second = blind_tasks(project, 40)
    placed = Counter(
        task.samples.order_by("task_samples__position").values_list("generator__name", flat=True)[0]
        for task in Task.objects.all()
    )
    assert set(Sample.objects.values_list("generator__name", "text")) == {
        ("tuned-7", " good"), ("base-6", " poor")
    }  # fmt: skip
    assert min(placed[first.name], placed[second.name]) >= 8  # 40 fair coins: less once in 70,000 times
    order = Sample.objects.order_by("pk").values_list("generator_id", flat=True)
    assert 8 <= sum(writer == first.pk for writer in order[::2]) <= 32


def test_the_order_shown_is_drawn_for_each_person() -> None:
    project = make_project()
    blind_tasks(project, 1, need=40)
    left = Counter(
        claimed(annotator(f"ann-{number}"), project).shown_samples()[0].text for number in range(40)
    )
    assert min(left[" good"], left[" poor"]) >= 8


def test_nothing_an_annotator_is_sent_says_who_wrote_what(client: Client) -> None:
    project = make_project(annotations_per_task=2)
    blind_tasks(project, 2, need=2)
    user = annotator()
    client.force_login(user)
    page = client.get(reverse("labeling:work", args=[project.slug]))
    claimed_by_api = client.post(reverse("api-claim", args=[project.slug]))
    payload = claimed_by_api.json()
    assert set(payload) == {
        "id", "project", "feedback", "scale", "criteria", "text_format", "prompt", "messages", "samples",
        "training", "lease_until", "draft",
    }  # fmt: skip
    answer = json.dumps({"ranks": [1, 2]})
    following = client.post(
        reverse("labeling:submit", args=[payload["id"]]), {"answer": answer, "client_key": "k"}
    )
    for sent in (page, claimed_by_api, following, client.get(reverse("api-projects"))):
        text = sent.content.decode()
        for telling in ("tuned-7", "base-6", "generator", "heldout", "held-out"):
            assert telling not in text
    assert 'data-sample="0"' in following.content.decode()


def test_a_blind_task_looks_like_any_task_of_two_samples(client: Client) -> None:
    blind, plain = (make_project(slug, samples_per_task=2) for slug in ("blind", "plain"))
    blind_tasks(blind)
    [prompt] = add_prompts(plain, ["Prompt 0"])
    writer = Generator.objects.get(name="base-6")
    create_tasks(project=plain, generator=writer, completions={prompt: [" good", " good"]})
    client.force_login(annotator())
    pages = [
        client.post(reverse("labeling:claim", args=[project.slug])).content.decode()
        for project in (blind, plain)
    ]
    shapes = [
        "".join(page.replace("poor", "good").split('name="client_key"')[1].split(">", 1)[1].split())
        for page in pages
    ]
    for number in (0, 1):
        assignment = pages[number].split('data-task="')[1].split('"')[0]
        shapes[number] = shapes[number].replace(f"/{assignment}/", "/N/").replace("/blind/", "/plain/")
    assert shapes[0] == shapes[1]


def test_answers_become_points_and_ties_are_half() -> None:
    project = make_project()
    first, second = blind_tasks(project, 3)
    ann = annotator()
    for text in ("good", "poor", ""):
        prefer(ann, project, text)
    assert points(project, first, second) == [1.0, 0.0, 0.5]
    assert points(project, second, first) == [0.0, 1.0, 0.5]
    found = next(head_to_head_comparisons(project, first, second))
    assert (found.prompt, found.first, found.second, found.annotator) == ("Prompt 0", " good", " poor", "ann")


@pytest.mark.parametrize("kind", ["score", "pair", "best"])
def test_every_kind_that_compares_prefers(kind: str) -> None:
    project = make_project(feedback=kind, samples_per_task=2)
    first, second = blind_tasks(project, 2)
    ann = annotator()
    for text in ("good", "poor"):
        prefer(ann, project, text)
    assert points(project, first, second) == [1.0, 0.0]
    assert points(project, second, first) == [0.0, 1.0]


def test_what_was_not_picked_is_not_compared() -> None:
    project = make_project(feedback="best", samples_per_task=3)
    first, second = writers()
    third = Generator.objects.create(name="third")
    [prompt] = add_prompts(project, ["Prompt 0"], "heldout")
    texts = {first: " good", second: " poor", third: " best"}
    create_blind_tasks(project=project, completions=[(prompt, texts)])
    prefer(annotator(), project, "best")
    assert points(project, first, second) == []
    assert points(project, third, second) == [1.0]


def test_a_rewriting_prefers_nothing() -> None:
    project = make_project(feedback="rewrite", samples_per_task=2)
    first, second = blind_tasks(project, 1)
    queue.submit(claimed(annotator(), project), Answer(text="better"), client_key="k")
    assert points(project, first, second) == []


def test_several_people_answer_the_same_prompt() -> None:
    project = make_project()
    first, second = blind_tasks(project, 1, need=2)
    prefer(annotator("ann"), project, "good")
    prefer(annotator("bob"), project, "poor")
    found = list(head_to_head_comparisons(project, first, second))
    assert {each.prompt for each in found} == {"Prompt 0"}
    assert {(each.annotator, each.points) for each in found} == {("ann", 1.0), ("bob", 0.0)}


def test_all_bad_and_skips_prefer_nothing_and_are_counted() -> None:
    project = make_project()
    first, second = blind_tasks(project, 4)
    ann = annotator()
    queue.submit(claimed(ann, project), Answer(all_bad=True), client_key="k")
    queue.skip(claimed(ann, project))
    prefer(ann, project, "good")
    assert points(project, first, second) == [1.0]
    found = head_to_head_progress(project, first, second)
    assert (found.tasks, found.open, found.all_bad, found.skipped) == (4, 2, 1, 1)


def test_gold_and_repeats_of_blind_tasks_are_not_counted() -> None:
    project = make_project()
    first, second = blind_tasks(project, 2)
    prefer(annotator(), project, "good")
    task = Task.objects.get(open=0)
    create_gold_task(task=task, answer=Answer(ranks=(1, 2)), author=None)
    prefer(annotator("bob"), project, "good")
    assert points(project, first, second) == [1.0, 1.0]
    assert (
        head_to_head_progress(project, first, second).tasks,
        head_to_head_progress(project, first, second).open,
    ) == (2, 0)


def test_other_pairs_and_training_prompts_are_left_out() -> None:
    project = make_project()
    first, second = blind_tasks(project, 1)
    third = Generator.objects.create(name="third")
    [prompt] = add_prompts(project, ["to train on"])
    create_blind_tasks(
        project=project, completions=[(prompt, {first: " good", second: " poor"})], priority=-1
    )
    prefer(annotator(), project, "good")
    assert points(project, first, second) == []
    assert points(project, first, third) == []


def test_prompts_compared_least_come_first() -> None:
    project = make_project()
    first, second = blind_tasks(project, 2)
    [new] = add_prompts(project, ["new"], "heldout")
    add_prompts(project, ["to train on"])
    had = Prompt.objects.filter(text__startswith="Prompt").order_by("hash")
    assert least_compared_prompts(project, first, second) == [new, *had]


def test_comparisons_on_heldout_prompts_are_marked_as_such() -> None:
    project = make_project()
    blind_tasks(project, 1)
    prefer(annotator(), project, "good")
    assert [row["split"] for row in comparisons(project)] == ["heldout"]
    assert [row["split"] for row in create_snapshot(project).comparisons()] == ["heldout"]
