"""How far several projects are, counted at once."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from labeling import preferences
from labeling.feedback import Answer
from labeling.models import Generator, Project, Prompt
from labeling.project_counts import DAYS_COUNTED, count_projects, count_training_data, last_days
from labeling.prompts import add_prompts
from labeling.queue import revise, submit
from labeling.tasks import create_tasks
from tests.labeling.objects import annotator, answered, claimed, make_project, make_tasks, ranks_for, says

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("midday")]


def learned(project: Project) -> int:
    """The comparisons that a reward model would be given."""
    return sum(row["split"] == "train" for row in preferences.comparisons(project))


def test_it_counts_prompts_tasks_places_and_answers_by_day() -> None:
    project = make_project()
    make_tasks(project, 4, need=2)
    Prompt.objects.filter(text="Prompt 3").update(split="heldout")
    ann, bob = annotator(), annotator("bob")
    answered(ann, project)
    answered(bob, project, at=timezone.now() - timedelta(days=3))
    answered(bob, project, at=timezone.now() - timedelta(days=DAYS_COUNTED + 3))
    found = count_projects([project])[project.pk]
    assert (found.prompts, found.heldout, found.tasks) == (3, 1, 4)
    assert (found.answers, found.today, found.annotators) == (3, 1, 2)
    assert found.open_slots == 5
    assert found.answers_by_day == [
        int(number in {DAYS_COUNTED - 4, DAYS_COUNTED - 1}) for number in range(DAYS_COUNTED)
    ]
    assert len(last_days()) == DAYS_COUNTED


def test_a_project_without_anything_is_all_zero() -> None:
    project = make_project()
    found = count_projects([project])[project.pk]
    assert (found.prompts, found.tasks, found.open_tasks, found.today) == (0, 0, 0, 0)
    assert found.agreement is None


def test_agreement_is_that_of_tasks_that_several_people_answered() -> None:
    project = make_project(repeat_percent=0)
    make_tasks(project, 3, need=2)
    ann, bob = annotator(), annotator("bob")
    for _ in range(3):
        assignment = claimed(ann, project)
        submit(assignment, Answer(ranks=ranks_for(assignment, "ABC")), client_key="k")
    for order in ("ABC", "CBA"):
        assignment = claimed(bob, project)
        submit(assignment, Answer(ranks=ranks_for(assignment, order)), client_key="k")
    agreement = count_projects([project])[project.pk].agreement
    assert agreement is not None
    assert agreement.value == pytest.approx(0.5)
    assert agreement.tasks == 2


@pytest.mark.parametrize(
    ("feedback", "answer", "comparisons"),
    [
        ("rank", Answer(ranks=(1, 2, 2)), 3),
        ("best", Answer(best=2), 2),
        ("score", Answer(scores=(1, 4, 4)), 3),
        ("pair", Answer(grade=2), 1),
    ],
)
def test_comparisons_are_counted_as_they_are_learned(feedback: str, answer: Answer, comparisons: int) -> None:
    samples = 2 if feedback == "pair" else 3
    project = make_project(feedback=feedback, samples_per_task=samples)
    ann = annotator()
    for task in make_tasks(project, 3, samples=samples):
        says(ann, task, answer)
    assert count_training_data([project]) == {project.pk: 3 * comparisons}
    assert learned(project) == 3 * comparisons


def test_what_is_not_learned_from_is_not_counted() -> None:
    project = make_project()
    tasks = make_tasks(project, 3)
    (prompt,) = add_prompts(project, ["Twins"])
    generator = Generator.objects.get()
    # Two samples with one text say nothing of each other.
    tasks += create_tasks(project=project, generator=generator, completions={prompt: ["x", "x", "y"]})
    ann = annotator()
    says(ann, tasks[0], Answer(all_bad=True))
    for task in tasks[1:]:
        says(ann, task, Answer(ranks=(1, 2, 3)))
    Prompt.objects.filter(pk=tasks[1].prompt_id).update(split="heldout")
    assert learned(project) == 5
    assert count_training_data([project])[project.pk] == 5


def test_beyond_a_snapshot_only_later_answers_and_revisions_count() -> None:
    project = make_project()
    tasks = make_tasks(project, 3)
    ann = annotator()
    says(ann, tasks[0], Answer(ranks=(1, 2, 3)))
    annotation = says(ann, tasks[1], Answer(ranks=(1, 2, 3)))
    snapshot = preferences.create_snapshot(project)
    assert count_training_data([project], excluded_snapshots=[snapshot.pk]) == {project.pk: 0}
    says(ann, tasks[2], Answer(ranks=(1, 2, 3)))
    assert count_training_data([project], excluded_snapshots=[snapshot.pk]) == {project.pk: 3}
    revise(annotation.assignment, Answer(ranks=(3, 2, 1)), client_key="again")
    assert count_training_data([project], excluded_snapshots=[snapshot.pk]) == {project.pk: 6}


def test_where_people_rewrite_their_texts_are_counted() -> None:
    project = make_project(feedback="rewrite", samples_per_task=1)
    ann = annotator()
    make_tasks(project, 2, samples=1)
    for number in range(2):
        assignment = claimed(ann, project)
        submit(assignment, Answer(text=f"A text {number}."), client_key=str(number))
    assert count_training_data([project]) == {project.pk: 2}


def test_twenty_projects_cost_as_many_queries_as_one(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    projects = [make_project(f"project-{number}") for number in range(20)]
    for project in projects[:2]:
        make_tasks(project, 1, need=2)
    ann, bob = annotator(), annotator("bob")
    for project in projects[:2]:
        for person in (ann, bob):
            answered(person, project)
    for some in (projects[:1], projects):
        with django_assert_num_queries(7):
            count_projects(some)
