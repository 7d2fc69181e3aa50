"""From versions to the answers behind them, and from answers to the versions they shaped."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Annotation, Generator, Membership, Project, Task
from labeling.preferences import create_snapshot
from labeling.prompts import add_prompts
from labeling.tasks import create_blind_tasks
from tests.labeling.objects import admin, annotator, answered, make_project, make_tasks, says
from tests.training.lineage_factories import make_tuned_versions, make_version
from training import provenance
from training.models import Gate, Run

pytestmark = pytest.mark.django_db

RANKED = Answer(ranks=(1, 2, 3))


def answered_project() -> Project:
    """Two people have answered the two tasks of a project."""
    project = make_project()
    tasks = make_tasks(project, 2, need=2)
    for name in ("ann", "bob"):
        person = annotator(name)
        for task in tasks:
            says(person, task, RANKED)
    Task.objects.update(open=0)
    return project


def reviewer(project: Project) -> User:
    person = User.objects.create_user("rita")
    Membership.objects.create(project=project, person=person, role=Membership.Role.REVIEWER)
    return person


def test_behind_a_policy_stand_the_answers_of_the_reward_model_it_was_tuned_against() -> None:
    project = answered_project()
    snapshot = create_snapshot(project)
    _, reward, policy = make_tuned_versions(project, snapshot)
    later = make_version("best", kind=Run.Kind.SUPERVISED, project=project, policy=policy)
    for version in (reward, policy, later):
        [source] = provenance.find_sources(version).sources
        assert (source.version, source.snapshot) == (reward, snapshot)
        assert (source.answers, source.people) == (4, 2)


def test_behind_a_version_from_text_alone_stands_nothing_and_a_file_is_named() -> None:
    base = make_version("base")
    assert provenance.find_sources(base).sources == []
    reward = make_version("taste", kind=Run.Kind.TRAIN_REWARD, policy=base)
    assert reward.run is not None
    Run.objects.filter(pk=reward.run.pk).update(parameters={"preferences": "/data/pairs.jsonl"})
    assert provenance.find_sources(reward).files == [(reward, "pairs.jsonl")]


def test_an_answer_shaped_its_snapshots_their_runs_the_versions_and_what_came_of_them() -> None:
    project = answered_project()
    snapshot = create_snapshot(project)
    _, reward, policy = make_tuned_versions(project, snapshot)
    failed = Run.objects.create(kind=Run.Kind.DPO, status=Run.Status.FAILED, snapshot=snapshot)
    later = make_version("best", kind=Run.Kind.DPO, project=project, policy=policy)
    make_version("elsewhere")
    shaped = provenance.influence_of(Annotation.objects.all()[0])
    assert shaped.snapshots == [snapshot]
    assert shaped.runs == [reward.run, failed]
    assert shaped.versions == [reward]
    assert shaped.descendants == [policy, later]


def test_an_answer_that_nothing_learned_from_shaped_nothing() -> None:
    project = answered_project()
    create_snapshot(project)
    make_tasks(make_project("other"))
    late = answered(annotator("cid"), Project.objects.get(slug="other"), RANKED)
    assert not provenance.influence_of(late)


def test_versions_are_marked_by_answers_deleted_since_and_later_ones_are_not() -> None:
    project = answered_project()
    base, reward, policy = make_tuned_versions(project, create_snapshot(project))
    assert provenance.count_deleted(policy) == 0
    provenance.delete_answers(User.objects.get(username="ann"), projects=[project], by=admin())
    retrained = make_version(
        "taste-2", kind=Run.Kind.TRAIN_REWARD, project=project, policy=base, snapshot=create_snapshot(project)
    )
    again = make_version(
        "taste-3",
        kind=Run.Kind.TRAIN_REWARD,
        project=project,
        policy=base,
        snapshot=reward.run.snapshot if reward.run else None,
    )
    everyone = [base, reward, policy, retrained, again]
    assert provenance.count_deleted_by_version(everyone) == {reward.pk: 2, policy.pk: 2}
    assert provenance.find_sources(policy).deleted == 2


def test_marks_of_many_versions_cost_two_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    project = answered_project()
    versions = make_tuned_versions(project, create_snapshot(project))
    provenance.delete_answers(User.objects.get(username="ann"), projects=[project], by=admin())
    with django_assert_num_queries(2):
        provenance.count_deleted_by_version(versions)


# -- Pages ------------------------------------------------------------------------------------------------


def test_the_page_of_a_snapshot_leads_to_its_answers_and_to_what_learned_from_them(client: Client) -> None:
    project = answered_project()
    snapshot = create_snapshot(project)
    make_tuned_versions(project, snapshot)
    client.force_login(reviewer(project))
    address = reverse("training:snapshot", args=[snapshot.pk])
    page = client.get(address).content.decode()
    for annotation in Annotation.objects.all():
        assert reverse("training:answer", args=[annotation.pk]) in page
    assert "taste" in page
    assert len(client.get(address, {"annotator": "ann"}).context["rows"]) == 2


def test_a_list_of_many_answers_costs_as_much_as_one_of_few(client: Client) -> None:
    project = make_project()
    tasks = make_tasks(project, 60)
    ann = annotator()
    client.force_login(admin())
    address = reverse("training:answers", args=[project.slug])
    costs = []
    for some in (tasks[:2], tasks[2:]):
        for task in some:
            says(ann, task, RANKED)
        with CaptureQueriesContext(connection) as queries:
            page = client.get(address)
        costs.append(len(queries))
    assert costs[0] == costs[1]
    assert len(page.context["rows"]) == 50
    assert len(client.get(address, {"page": 2}).context["rows"]) == 10


def make_comparisons(project: Project, *, ours: int, theirs: int, ties: int) -> None:
    """Ann compares a text of `new` with one of `old` so often, on held-out prompts."""
    writers = [Generator.objects.create(name=name) for name in ("new", "old")]
    prompts = add_prompts(project, [f"Held {n}" for n in range(ours + theirs + ties)], "heldout")
    texts = {writer: f" {writer.name}" for writer in writers}
    tasks = create_blind_tasks(project=project, completions=[(prompt, texts) for prompt in prompts])
    ann = annotator("ann")
    for number, task in enumerate(tasks):
        first, second = (place.sample.generator.name for place in task.task_samples.order_by("position"))
        ranks = {"new": 1, "old": 1 if number < ties else 2}
        if number >= ties + ours:
            ranks = {"new": 2, "old": 1}
        says(ann, task, Answer(ranks=(ranks[first], ranks[second])))


def test_the_answers_behind_a_share_of_wins_are_listed(client: Client) -> None:
    project = make_project(samples_per_task=2)
    make_comparisons(project, ours=3, theirs=2, ties=1)
    client.force_login(admin())
    address = reverse("training:answers", args=[project.slug])
    two = {"first": "new", "second": "old"}
    counts = {
        outcome: len(client.get(address, two | {"outcome": outcome}).context["rows"])
        for outcome in ("", "first", "second", "tie")
    }
    assert counts == {"": 6, "first": 3, "second": 2, "tie": 1}
    assert len(client.get(address, two | {"split": "train"}).context["rows"]) == 0


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"first": "nobody"}, "Nobody of this name wrote a text here"),
        ({"second": "story-model-7"}, "Choose both, or only the first."),
        ({"outcome": "tie"}, "Choose the two that are compared."),
        ({"annotator": "zoe"}, "Nobody of this name answered a task here"),
        ({"task": "x"}, "Enter a whole number."),
        ({"since": "yesterday"}, "Enter a valid date."),
    ],
)
def test_a_list_that_cannot_be_says_what_is_wrong(client: Client, asked: dict[str, str], line: str) -> None:
    project = answered_project()
    client.force_login(admin())
    page = client.get(reverse("training:answers", args=[project.slug]), asked)
    assert page.status_code == 422
    assert line in page.content.decode()


def test_the_page_of_an_answer_shows_it_with_its_versions_and_what_it_shaped(client: Client) -> None:
    project = make_project()
    project.revise_guidelines("Be kind.")
    make_tasks(project)
    first = answered(annotator(), project, RANKED)
    _, reward, policy = make_tuned_versions(project, create_snapshot(project))
    second = queue.revise(first.assignment, Answer(ranks=(1, 1, 1), comment="Hard"), client_key="again")
    client.force_login(reviewer(project))
    page = client.get(reverse("training:answer", args=[first.pk])).content.decode()
    for part in ("1 › 2 › 3", "Prompt 0", "A0", "rank 2", "version 1", reward.name, policy.name):
        assert part in page
    assert reverse("training:answer", args=[second.pk]) in page
    later = client.get(reverse("training:answer", args=[second.pk])).content.decode()
    assert "Hard" in later
    assert "there is no newer snapshot" in later


def test_an_answer_to_a_task_that_the_reader_may_still_be_given_is_hidden(client: Client) -> None:
    project = make_project()
    [task] = make_tasks(project, 1, need=2)
    annotation = says(annotator(), task, Answer(ranks=(1, 2, 3), comment="The first is kind"))
    client.force_login(admin())
    for address in (
        reverse("training:answer", args=[annotation.pk]),
        reverse("training:answers", args=[project.slug]),
    ):
        page = client.get(address).content.decode()
        assert "you may still get this task" in page.lower()
        assert "kind" not in page
    shown = client.get(reverse("training:answer", args=[annotation.pk]), {"show": "1"}).content.decode()
    assert "The first is kind" in shown


def test_an_answer_to_a_blind_comparison_leads_to_its_gate(client: Client) -> None:
    project = make_project(samples_per_task=2)
    versions = [make_version(name, project=project) for name in ("new", "old")]
    gate = Gate.objects.create(project=project, candidate=versions[0], against=versions[1], max_prompts=10)
    [prompt] = add_prompts(project, ["Once"], "heldout")
    texts = {version.generator: f" {version.name}" for version in versions if version.generator}
    create_blind_tasks(project=project, completions=[(prompt, texts)])
    annotation = answered(annotator(), project, Answer(ranks=(1, 2)))
    assert provenance.influence_of(annotation).gates == [gate]


def test_versions_of_projects_that_are_not_ones_own_are_counted_and_not_named(client: Client) -> None:
    project, closed = answered_project(), make_project("closed", everybody=False)
    _, _, policy = make_tuned_versions(project, create_snapshot(project))
    make_version("their-secret", kind=Run.Kind.DPO, project=closed, policy=policy)
    client.force_login(reviewer(project))
    page = client.get(reverse("training:answer", args=[Annotation.objects.all()[0].pk])).content.decode()
    assert "their-secret" not in page
    assert "and 1 in other projects" in page


def test_these_pages_are_for_those_who_review_the_project(client: Client) -> None:
    project = answered_project()
    snapshot = create_snapshot(project)
    addresses = [
        reverse("training:snapshot", args=[snapshot.pk]),
        reverse("training:answers", args=[project.slug]),
        reverse("training:answer", args=[Annotation.objects.all()[0].pk]),
    ]
    client.force_login(User.objects.get(username="ann"))
    assert {client.get(address).status_code for address in addresses} == {403}
    Project.objects.update(everybody=False)
    assert {client.get(address).status_code for address in addresses} == {404}
    client.force_login(admin())
    assert {client.get(address).status_code for address in addresses} == {404}
