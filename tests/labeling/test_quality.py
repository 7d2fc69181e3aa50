"""The pages of a project's quality: figures counted from real answers, for those who may see them."""

import csv
import io
from datetime import datetime, timedelta

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from labeling import queue
from labeling.control_tasks import annotations_with_known_answer, create_gold_task, is_correct
from labeling.feedback import Answer
from labeling.models import Annotation, Assignment, Cursor, Project, Task
from labeling.quality.annotation_arrays import load_annotation_arrays
from labeling.quality.annotators import AnnotatorMetrics, annotator_metrics
from labeling.quality.gold import correctness
from labeling.quality.report import QualityReport
from labeling.quality.time_periods import divide_into_periods
from labeling.views.quality import csv_safe
from tests.labeling.objects import admin, annotator, claimed, make_project, make_tasks, says

pytestmark = pytest.mark.django_db

FIRST, SECOND, SAME = Answer(grade=-2), Answer(grade=2), Answer(grade=0)


def pair_project(tasks: int = 4) -> tuple[Project, list[Task]]:
    project = make_project(feedback="pair", samples_per_task=2)
    return project, make_tasks(project, tasks, samples=2, need=5)


def people_in(project: Project) -> dict[str, AnnotatorMetrics]:
    return {person.name: person for person in annotator_metrics(load_annotation_arrays(project))}


def page(client: Client, project: Project, name: str = "quality", *more: object) -> str:
    client.force_login(User.objects.filter(username="ada").first() or admin())
    response = client.get(reverse(f"labeling:{name}", args=[project.slug, *more]))
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("name", ["quality", "quality_strengths", "quality_csv", "adjudication", "gold"])
def test_annotators_may_not_look(client: Client, name: str) -> None:
    project, _ = pair_project()
    client.force_login(annotator())
    assert client.get(reverse(f"labeling:{name}", args=[project.slug])).status_code == 403


def test_strangers_are_sent_to_the_sign_in_page(client: Client) -> None:
    project, _ = pair_project()
    response = client.get(reverse("labeling:quality", args=[project.slug]))
    assert response.status_code == 302


def test_a_project_without_answers_says_so(client: Client) -> None:
    assert "No answers yet" in page(client, make_project())


@pytest.mark.parametrize(
    ("feedback", "samples", "answer"),
    [
        ("pair", 2, Answer(grade=-1)),
        ("rank", 3, Answer(ranks=(1, 2, 3))),
        ("best", 3, Answer(best=2)),
        ("score", 2, Answer(scores=(1, 4))),
        ("score", 1, Answer(scores=(4,))),
        ("rewrite", 1, Answer(text="Once, a hare.")),
    ],
)
def test_every_kind_of_feedback_has_its_page(
    client: Client, feedback: str, samples: int, answer: Answer
) -> None:
    project = make_project(feedback=feedback, samples_per_task=samples)
    people = [annotator(name) for name in ("ann", "ben")]
    for task in make_tasks(project, 4, samples=samples, need=2):
        for user in people:
            says(user, task, answer)
    says(people[0], make_tasks_more(project, samples), Answer(all_bad=True))
    text = page(client, project)
    assert ("Pairwise agreement" in text) == (feedback != "rewrite")
    assert "ben" in page(client, project, "quality_annotator", people[1].pk)


def make_tasks_more(project: Project, samples: int) -> Task:
    """One more task for a project that has some."""
    (task,) = [*make_tasks(project, 5, samples=samples, need=2)][4:]
    return task


def test_agreement_with_others_is_the_mean_over_answers_and_leaves_out_oneself_for_the_others() -> None:
    project, tasks = pair_project(2)
    ann, ben, cem = (annotator(name) for name in ("ann", "ben", "cem"))
    for user, first, second in ((ann, FIRST, FIRST), (ben, FIRST, FIRST), (cem, SECOND, SAME)):
        says(user, tasks[0], first)
        says(user, tasks[1], second)
    people = people_in(project)
    others = {
        name: person.agreement_with_others.value
        for name, person in people.items()
        if person.agreement_with_others
    }
    assert others == {"ann": 0.625, "ben": 0.625, "cem": 0.25}
    assert people["cem"].agreement_among_others is not None
    assert people["cem"].agreement_among_others.value == 1


def test_the_side_picked_is_counted_as_it_was_shown() -> None:
    project, tasks = pair_project(4)
    ann = annotator()
    for number, task in enumerate(tasks):
        says(ann, task, SAME if number == 3 else FIRST, turned=number % 2 == 1)
    first = people_in(project)["ann"].first_shown_picked
    assert first is not None
    assert (first.count, first.n) == (3, 3)
    assert people_in(project)["ann"].first_shown_chance == 0.5


def test_of_rankings_the_place_of_the_one_best_is_counted() -> None:
    project = make_project(feedback="rank", samples_per_task=3)
    tasks = make_tasks(project, 3, samples=3)
    ann = annotator()
    says(ann, tasks[0], Answer(ranks=(1, 2, 3)))
    says(ann, tasks[1], Answer(ranks=(2, 1, 3)), turned=True)
    says(ann, tasks[2], Answer(ranks=(1, 1, 2)))
    person = people_in(project)["ann"]
    assert person.first_shown_picked is not None
    assert (person.first_shown_picked.count, person.first_shown_picked.n) == (1, 2)
    assert person.first_shown_chance == pytest.approx(1 / 3)
    assert person.tied is not None
    assert (person.tied.count, person.tied.n) == (1, 3)


def test_only_the_revision_that_counts_is_counted_and_its_time_is_not() -> None:
    project, tasks = pair_project(1)
    ann = annotator()
    annotation = says(ann, tasks[0], Answer(grade=-3, seconds=40))
    assert people_in(project)["ann"].seconds is not None
    queue.revise(annotation.assignment, Answer(grade=3, seconds=1), client_key="again")
    answers = load_annotation_arrays(project)
    assert len(answers) == 1
    assert answers.values.tolist() == [[-3, 3]]
    assert people_in(project)["ann"].seconds is None


def test_answers_sooner_than_the_texts_can_be_skimmed_are_counted() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    tasks = make_tasks(project, 3, samples=2)
    ann = annotator()
    # Some 12 bytes are skimmed in an eighth of a second.
    for task, seconds in zip(tasks, (0.01, 5.0, None), strict=True):
        says(ann, task, Answer(grade=1, seconds=seconds))
    too_fast = people_in(project)["ann"].too_fast
    assert too_fast is not None
    assert (too_fast.count, too_fast.n) == (1, 2)


def test_skips_flags_and_all_bad_are_counted() -> None:
    project, tasks = pair_project(3)
    ann = annotator()
    says(ann, tasks[0], Answer(all_bad=True))
    says(ann, tasks[1], Answer(grade=1, flagged=True))
    queue.skip(claimed(ann, project), reason="unclear")
    person = people_in(project)["ann"]
    shares = (person.all_bad, person.flagged, person.skipped)
    assert [(share.count, share.n) for share in shares if share] == [(1, 2), (1, 2), (1, 3)]


@pytest.mark.parametrize(
    ("feedback", "samples", "expected", "given"),
    [
        ("pair", 2, Answer(grade=-3), [Answer(grade=-1), Answer(grade=1), Answer(all_bad=True)]),
        ("pair", 2, Answer(grade=0), [Answer(grade=-1), Answer(grade=3), Answer(grade=0)]),
        ("rank", 3, Answer(ranks=(1, 2, 2)), [Answer(ranks=(1, 2, 3)), Answer(ranks=(1, 1, 2))]),
        ("best", 3, Answer(best=2), [Answer(best=2), Answer(best=1), Answer(all_bad=True)]),
        ("score", 2, Answer(scores=(1, 5)), [Answer(scores=(2, 4)), Answer(scores=(1, 3))]),
        ("pair", 2, Answer(all_bad=True), [Answer(all_bad=True), Answer(grade=1), Answer(grade=-2)]),
    ],
)  # fmt: skip
def test_gold_is_right_here_where_the_checks_find_it_right(
    feedback: str, samples: int, expected: Answer, given: list[Answer]
) -> None:
    project = make_project(feedback=feedback, samples_per_task=samples)
    (task,) = make_tasks(project, 1, samples=samples)
    gold = create_gold_task(task=task, answer=expected, author=admin())
    for number, answer in enumerate(given):
        says(annotator(f"person{number}"), gold, answer)
    answers = load_annotation_arrays(project)
    found = dict(zip(answers.ids.tolist(), correctness(answers).tolist(), strict=True))
    assert found == {answer.pk: is_correct(answer) for answer in annotations_with_known_answer(project)}
    assert set(found.values()) == {0, 1}


def test_a_repeat_is_compared_with_the_same_person_s_first_answer() -> None:
    project, (task, other) = pair_project(2)
    ann = annotator()
    for origin, answer, again in ((task, FIRST, SECOND), (other, SECOND, SECOND)):
        says(ann, origin, answer)
        copy = Task.objects.create(
            project=project, prompt=origin.prompt, need=1, open=0, kind=Task.Kind.REPEAT, origin=origin
        )
        for place in origin.task_samples.all():
            copy.task_samples.create(sample_id=place.sample_id, position=place.position)
        says(ann, copy, again, turned=True)
    repeats = people_in(project)["ann"].self_agreement
    # Turned round, the first answer's other side is the same sample.
    assert repeats is not None
    assert (repeats.count, repeats.n) == (1, 2)


def test_gold_training_and_repeats_are_no_part_of_agreement() -> None:
    project, (task,) = pair_project(1)
    gold = create_gold_task(task=task, answer=FIRST, author=admin())
    for name in ("ann", "ben"):
        says(annotator(name), gold, FIRST)
    quality = QualityReport(load_annotation_arrays(project))
    assert quality.agreement == []
    assert all(person.agreement_with_others is None for person in quality.annotators)


def test_the_entry_test_shows_who_passed_and_with_how_many_tries(client: Client) -> None:
    project, (task,) = pair_project(1)
    training = create_gold_task(
        task=task, answer=FIRST, kind="training", explanation="Kinder.", author=admin()
    )
    ann, ben = annotator(), annotator("ben")
    wrong = says(ann, training, SECOND)
    Assignment.objects.filter(pk=wrong.assignment_id).update(state="leased", finished=None)
    queue.submit(Assignment.objects.get(pk=wrong.assignment_id), FIRST, client_key="second")
    says(ben, training, SECOND)
    Cursor.objects.update_or_create(annotator=ann, project=project, defaults={"qualified": timezone.now()})
    people = people_in(project)
    assert (people["ann"].training_attempts, people["ben"].training_attempts) == (2, 1)
    assert people["ann"].passed_entry_test
    assert not people["ben"].passed_entry_test
    text = page(client, project)
    assert "1 of 2" in text
    assert "not yet <small>1 try" in text


def test_agreement_is_counted_on_tasks_that_came_at_random(client: Client) -> None:
    project, (task, chosen) = pair_project(2)
    for user, answers in ((annotator(), (FIRST, FIRST)), (annotator("ben"), (FIRST, SECOND))):
        says(user, task, answers[0])
        says(user, chosen, answers[1])
    assert QualityReport(load_annotation_arrays(project)).agreement[0].value == "50 %"
    Task.objects.filter(pk=chosen.pk).update(choice=Task.Choice.DISAGREEMENT, usefulness=1)
    assert QualityReport(load_annotation_arrays(project)).agreement[0].value == "100 %"
    assert "randomly chosen tasks only" in page(client, project)


def test_criteria_have_figures_of_their_own() -> None:
    project = make_project(feedback="score", samples_per_task=1, criteria=["kind"])
    people = [annotator(name) for name in ("ann", "ben")]
    for number, task in enumerate(make_tasks(project, 5, samples=1)):
        for user in people:
            says(user, task, Answer(scores=(3,), criteria=({"kind": 1 + number},)))
    quality = QualityReport(load_annotation_arrays(project))
    assert [row.name for row in quality.agreement] == ["Pairwise agreement"]
    assert [(row.name, row.value) for row in quality.agreement_by_criterion] == [
        ("kind, alpha, ordinal", "1.00"),
        ("kind, alpha, interval", "1.00"),
    ]


def test_what_was_given_is_drawn_as_it_was_shown() -> None:
    project, tasks = pair_project(3)
    ann = annotator()
    for task, answer in zip(tasks, (Answer(grade=-3), Answer(grade=1), Answer(all_bad=True)), strict=True):
        says(ann, task, answer, turned=True)
    found = QualityReport(load_annotation_arrays(project)).distribution
    assert found is not None
    assert dict(zip(found.labels, found.counts, strict=True)) == {
        "−3": 1, "−2": 0, "−1": 0, "0": 0, "+1": 1, "+2": 0, "+3": 0, "all bad": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("days", "unit", "count"), [(3, "day", 4), (60, "week", 9), (400, "month", 14)])
def test_time_is_cut_into_days_weeks_or_months(days: int, unit: str, count: int) -> None:
    first = datetime(2026, 3, 2, 9)  # noqa: DTZ001 - the site's clock; a Monday
    periods = divide_into_periods(np.array([first, first + timedelta(days=days)], dtype="datetime64[s]"))
    assert (periods.unit, len(periods)) == (unit, count)
    assert periods.index.tolist() == [0, count - 1]


def test_the_days_are_those_of_the_site_s_clock() -> None:
    project, tasks = pair_project(1)
    says(annotator(), tasks[0], FIRST, at=datetime.fromisoformat("2026-03-01T23:30:00+00:00"))
    with timezone.override("Europe/Athens"):
        assert load_annotation_arrays(project).submitted[0] == np.datetime64("2026-03-02T01:30:00")


def test_flags_and_comments_are_there_to_read_and_escaped(client: Client) -> None:
    project, tasks = pair_project(1)
    says(annotator(), tasks[0], Answer(grade=1, flagged=True, comment="<script>alert(1)</script>"))
    text = page(client, project)
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert(1)" not in text


def test_one_annotator_s_page_is_only_there_for_those_who_answered(client: Client) -> None:
    project, tasks = pair_project(1)
    ann, idle = annotator(), annotator("idle")
    says(ann, tasks[0], FIRST)
    assert "ann" in page(client, project, "quality_annotator", ann.pk)
    assert client.get(reverse("labeling:quality_annotator", args=[project.slug, idle.pk])).status_code == 404


def test_the_table_is_a_csv_file_without_formulas(client: Client) -> None:
    project, tasks = pair_project(1)
    says(annotator("=HYPERLINK(1)"), tasks[0], FIRST)
    says(annotator("+1"), tasks[0], FIRST)
    rows = list(csv.DictReader(io.StringIO(page(client, project, "quality_csv"))))
    assert [row["annotator"] for row in rows] == ["'+1", "'=HYPERLINK(1)"]
    assert [row["others_share"] for row in rows] == ["1.0", "1.0"]
    assert rows[0]["first_of"] == "1"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", " =1", "\r1"])
def test_nothing_in_a_cell_is_a_formula(text: str) -> None:
    assert csv_safe(text) == f"'{text}"


def test_plain_names_stay_as_they_are() -> None:
    assert [csv_safe("ann"), csv_safe("2nd=1"), csv_safe("")] == ["ann", "2nd=1", ""]


def test_more_answers_take_no_more_queries(client: Client) -> None:
    project, tasks = pair_project(6)
    people = [annotator(name) for name in ("ann", "ben", "cem")]
    client.force_login(admin())

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(reverse("labeling:quality", args=[project.slug]))
        return len(captured)

    for user in people[:2]:
        says(user, tasks[0], SECOND)
        says(user, tasks[1], Answer(grade=1, comment="Hm."))
    few = queries()
    for user in people:
        for task in tasks[2:]:
            says(user, task, Answer(grade=1, comment="Hm."))
    assert queries() <= few + 1
    assert few <= 26


def test_figures_of_one_page_are_those_of_a_plain_count() -> None:
    """Against a count by hand over random answers, in any order shown."""
    project, tasks = pair_project(12)
    draw = np.random.default_rng(0)
    people = [annotator(name) for name in ("ann", "ben", "cem")]
    for task in tasks:
        for user in people:
            says(user, task, Answer(grade=int(draw.integers(-3, 4))), turned=bool(draw.integers(2)))
    by_task: dict[int, dict[str, int]] = {}
    for annotation in Annotation.objects.for_project(project):
        lowest = min(annotation.judgements.all(), key=lambda judgement: judgement.sample_id)
        by_task.setdefault(annotation.assignment.task_id, {})[annotation.assignment.annotator.username] = int(
            np.sign(lowest.grade or 0)
        )
    names = [("ann", "ben"), ("ann", "cem"), ("ben", "cem")]
    wanted = np.mean([[1 - abs(given[a] - given[b]) / 2 for a, b in names] for given in by_task.values()])
    (pairwise, *_) = QualityReport(load_annotation_arrays(project)).agreement
    assert pairwise.estimate.value == pytest.approx(wanted)
