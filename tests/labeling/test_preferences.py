import hashlib
import json
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Adjudication, Annotation, Generator, Judgement, PreferenceSnapshot, Project, Task
from labeling.people.answer_deletion import delete_answers
from labeling.preferences import comparisons, create_snapshot, demonstrations, json_line, ratings
from labeling.prompts import add_prompts
from labeling.tasks import create_tasks
from tests.labeling.objects import annotator, claimed, letters, make_project, make_tasks, ranks_for

pytestmark = pytest.mark.django_db


def answer(project: Project, order: str, name: str = "ann") -> Annotation:
    assignment = claimed(annotator(name), project)
    return queue.submit(assignment, Answer(ranks=ranks_for(assignment, order)), client_key="k")


def superuser() -> User:
    return User.objects.create_superuser("root")


def pairs(project: Project) -> set[str]:
    rows = comparisons(project)
    return {
        "=".join(sorted([row["chosen"][0], row["rejected"][0]]))
        if row["tie"]
        else f"{row['chosen'][0]}>{row['rejected'][0]}"
        for row in rows
    }


def test_a_ranking_gives_all_its_pairs() -> None:
    project = make_project()
    make_tasks(project)
    answer(project, "CAB")
    assert pairs(project) == {"C>A", "C>B", "A>B"}


def test_a_tie_is_a_tie() -> None:
    project = make_project()
    make_tasks(project)
    answer(project, "BA=C")
    assert pairs(project) == {"B>A", "B>C", "A=C"}


def test_rows_say_everything_a_reward_model_needs() -> None:
    project = make_project(samples_per_task=2)
    make_tasks(project, samples=2)
    annotation = answer(project, "BA")
    assert list(comparisons(project)) == [
        {
            "prompt": "Prompt 0",
            "chosen": "B0",
            "rejected": "A0",
            "tie": False,
            "margin": 0.0,
            "group": str(annotation.pk),
            "annotator": str(annotation.assignment.annotator_id),
            "split": "train",
            "choice": "random",
        }
    ]


def test_rows_say_why_the_task_came() -> None:
    project = make_project()
    make_tasks(project)
    Task.objects.update(choice=Task.Choice.DISAGREEMENT)
    answer(project, "ABC")
    assert {row["choice"] for row in comparisons(project)} == {"disagreement"}


@pytest.mark.parametrize(("grade", "margin"), [(1, 1 / 3), (-2, 2 / 3), (3, 1.0)])
def test_a_graded_pair_says_how_much_better(grade: int, margin: float) -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    make_tasks(project, samples=2)
    assignment = claimed(annotator(), project)
    queue.submit(assignment, Answer(grade=grade), client_key="k")
    [row] = comparisons(project)
    assert row["chosen"][0] == letters(assignment)[grade > 0]
    assert row["margin"] == pytest.approx(margin, abs=1e-6)
    assert not row["tie"]


def test_a_graded_pair_says_how_much_better_by_each_criterion() -> None:
    project = make_project(feedback="pair", samples_per_task=2, criteria=["kind", "fluent"])
    make_tasks(project, samples=2)
    given = Answer(grade=-2, criteria=({"kind": -3, "fluent": 1},))
    queue.submit(claimed(annotator(), project), given, client_key="k")
    [row] = comparisons(project)
    assert row["criteria"] == {"kind": 1.0, "fluent": -0.333333}


def test_a_pair_that_is_about_the_same_is_a_tie_without_a_margin() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    make_tasks(project, samples=2)
    queue.submit(claimed(annotator(), project), Answer(grade=0), client_key="k")
    [row] = comparisons(project)
    assert (row["tie"], row["margin"]) == (True, 0.0)


def test_the_best_is_better_than_each_other_and_the_others_are_not_compared() -> None:
    project = make_project(feedback="best")
    make_tasks(project)
    assignment = claimed(annotator(), project)
    queue.submit(assignment, Answer(best=1 + letters(assignment).index("B")), client_key="k")
    assert pairs(project) == {"B>A", "B>C"}


@pytest.mark.parametrize("kind", ["gold", "training", "repeat"])
def test_only_ordinary_tasks_are_learned_from(kind: str) -> None:
    project = make_project()
    make_tasks(project)
    answer(project, "ABC")
    Task.objects.update(kind=kind, origin=F("pk"))
    assert list(comparisons(project)) == []
    assert create_snapshot(project).count == 0


def test_where_a_task_was_adjudicated_only_the_last_word_counts() -> None:
    project = make_project()
    make_tasks(project, 2, need=2)
    answer(project, "ABC", "ann")
    last = answer(project, "CBA", "bob")
    Adjudication.objects.create(task=last.assignment.task, assignment=last.assignment)
    assert pairs(project) == {"C>B", "C>A", "B>A"}


def test_all_bad_and_skips_give_none() -> None:
    project = make_project()
    make_tasks(project, 2)
    ann = annotator()
    queue.submit(claimed(ann, project), Answer(all_bad=True), client_key="k")
    queue.skip(claimed(ann, project))
    assert list(comparisons(project)) == []


def test_scores_compare_by_the_overall_score() -> None:
    project = make_project(feedback="score", samples_per_task=2)
    make_tasks(project, 1, samples=3)
    assignment = claimed(annotator(), project)
    queue.submit(assignment, Answer(scores=ranks_for(assignment, "AB=C")), client_key="k")
    assert pairs(project) == {"B>A", "C>A", "B=C"}


def test_samples_with_the_same_text_are_not_compared() -> None:
    project = make_project()
    [prompt] = add_prompts(project, ["Once"])
    writer = Generator.objects.create(name="writer")
    create_tasks(project=project, generator=writer, completions={prompt: ["A", "A", "B"]})
    queue.submit(claimed(annotator(), project), Answer(ranks=(1, 2, 3)), client_key="k")
    assert all(row["chosen"] != row["rejected"] for row in comparisons(project))


def test_the_latest_revision_counts() -> None:
    project = make_project()
    make_tasks(project)
    first = answer(project, "ABC")
    second = Annotation.objects.create(assignment=first.assignment, revision=2, client_key="edit")
    for item in first.judgements.all():
        Judgement.objects.create(annotation=second, sample=item.sample, rank=4 - (item.rank or 0))
    assert pairs(project) == {"C>B", "C>A", "B>A"}


def test_every_persons_answer_is_a_group_of_its_own() -> None:
    project = make_project()
    make_tasks(project, 1, need=2)
    answer(project, "ABC", "ann")
    answer(project, "CBA", "bob")
    rows = list(comparisons(project))
    assert len(rows) == 6
    assert len({row["group"] for row in rows}) == len({row["annotator"] for row in rows}) == 2


def test_only_the_projects_own_answers_are_compared() -> None:
    project, other = make_project(), make_project("other")
    make_tasks(project)
    make_tasks(other)
    answer(other, "ABC")
    assert list(comparisons(project)) == []


def test_a_snapshot_of_the_same_answers_is_the_same() -> None:
    project = make_project()
    make_tasks(project)
    answer(project, "ABC")
    assert create_snapshot(project) == create_snapshot(project)
    assert PreferenceSnapshot.objects.count() == 1


def test_a_snapshot_stays_when_more_is_answered() -> None:
    project = make_project()
    make_tasks(project, 2)
    answer(project, "ABC", "ann")
    before = create_snapshot(project)
    rows = list(before.comparisons())
    answer(project, "ABC", "bob")
    after = create_snapshot(project)
    before.refresh_from_db()
    assert list(before.comparisons()) == rows
    assert (before.count, after.count) == (3, 6)
    assert before.hash != after.hash


def test_a_snapshot_knows_the_answers_it_was_made_from() -> None:
    project = make_project()
    make_tasks(project, 2, need=2)
    given = [answer(project, "ABC", name) for name in ("ann", "bob")]
    queue.submit(claimed(annotator("cid"), project), Answer(all_bad=True), client_key="k")
    snapshot = create_snapshot(project)
    assert list(snapshot.answers.order_by("pk")) == given
    assert create_snapshot(project) == snapshot
    assert snapshot.answers.count() == 2


def test_a_snapshot_made_before_they_were_recorded_gets_its_answers() -> None:
    project = make_project()
    make_tasks(project, 2, need=2)
    given = [answer(project, "ABC", name) for name in ("ann", "bob")]
    snapshot = create_snapshot(project)
    snapshot.answers.clear()
    migration = import_module("labeling.migrations.0008_answers_of_snapshots")
    migration.record_answers(apps, None)
    assert list(snapshot.answers.order_by("pk")) == given


@pytest.mark.parametrize("kind", ["pair", "score", "rewrite"])
def test_a_snapshot_is_of_one_moment_since_answers_are_read_once(kind: str) -> None:
    project = make_project(feedback=kind, samples_per_task=2)
    make_tasks(project, 2, samples=2)
    given = {
        "pair": Answer(grade=1),
        "score": Answer(scores=(1, 2)),
        "rewrite": Answer(text="mine", edited=1),
    }[kind]
    queue.submit(claimed(annotator(), project), given, client_key="k")
    with CaptureQueriesContext(connection) as queries:
        snapshot = create_snapshot(project)
    reads = [query["sql"] for query in queries if 'FROM "labeling_annotation"' in query["sql"]]
    assert len(reads) == 1
    rows = [*comparisons(project), *ratings(project), *demonstrations(project)]
    assert snapshot.json_lines() == b"".join(map(json_line, rows))
    assert snapshot.count + snapshot.rating_count + snapshot.demonstration_count == len(rows)


def test_the_database_refuses_to_change_a_snapshot() -> None:
    project = make_project()
    make_tasks(project)
    answer(project, "ABC")
    create_snapshot(project)
    with pytest.raises(IntegrityError, match="only change when answers are withdrawn"):
        PreferenceSnapshot.objects.update(count=2)


def test_a_snapshot_holds_the_very_rows() -> None:
    project = make_project()
    [prompt] = add_prompts(project, ["Es war\u2028einmal\r\n„ein“ Bär"])
    writer = Generator.objects.create(name="writer")
    create_tasks(project=project, generator=writer, completions={prompt: [" gut\n", "böse", ""]})
    queue.submit(claimed(annotator(), project), Answer(ranks=(1, 2, 2)), client_key="k")
    snapshot = create_snapshot(project)
    assert list(snapshot.comparisons()) == list(comparisons(project))
    assert all(json.loads(line) for line in snapshot.json_lines().splitlines())


def scored(
    project: Project, scores: dict[str, int], criteria: dict[str, int], name: str = "ann"
) -> Annotation:
    """An answer that gives each letter's sample its score, and every sample the same `criteria`."""
    assignment = claimed(annotator(name), project)
    shown = letters(assignment)
    return queue.submit(
        assignment,
        Answer(
            scores=tuple(scores[letter] for letter in shown),
            criteria=tuple(criteria for _ in shown) if criteria else (),
        ),
        client_key="k",
    )


def test_scores_are_ratings_on_a_scale_from_0_to_1() -> None:
    project = make_project(feedback="score", scale=5, criteria=["kind"], samples_per_task=2)
    make_tasks(project, samples=2)
    annotation = scored(project, {"A": 2, "B": 5}, {"kind": 1})
    common = {
        "prompt": "Prompt 0",
        "criteria": {"kind": 0.0},
        "group": str(annotation.pk),
        "annotator": str(annotation.assignment.annotator_id),
        "split": "train",
        "choice": "random",
    }
    assert list(ratings(project)) == [
        {"completion": "A0", "score": 0.25, **common},
        {"completion": "B0", "score": 1.0, **common},
    ]


def test_rankings_and_all_bad_answers_are_no_ratings() -> None:
    ranked = make_project()
    make_tasks(ranked)
    answer(ranked, "ABC")
    assert list(ratings(ranked)) == []
    scores = make_project("scores", feedback="score")
    make_tasks(scores)
    queue.submit(claimed(annotator("bob"), scores), Answer(all_bad=True), client_key="k")
    assert list(ratings(scores)) == []


def test_a_snapshot_of_scores_holds_the_comparisons_and_the_ratings() -> None:
    project = make_project(feedback="score")
    make_tasks(project)
    scored(project, {"A": 1, "B": 3, "C": 3}, {})
    snapshot = create_snapshot(project)
    assert list(snapshot.comparisons()) == list(comparisons(project))
    assert list(snapshot.ratings()) == list(ratings(project))
    assert (snapshot.count, snapshot.rating_count) == (3, 3)


def test_a_single_scored_sample_is_a_rating_that_compares_with_nothing() -> None:
    project = make_project(feedback="score", samples_per_task=1)
    make_tasks(project, samples=1)
    scored(project, {"A": 4}, {})
    snapshot = create_snapshot(project)
    assert (snapshot.count, snapshot.rating_count) == (0, 1)
    assert [row["score"] for row in snapshot.ratings()] == [0.75]


def rewriting(texts: list[str], *, prompt: str = "Once") -> Project:
    """A project that asks to rewrite these samples of a prompt."""
    project = make_project(feedback="rewrite", samples_per_task=len(texts))
    [row] = add_prompts(project, [prompt])
    writer = Generator.objects.create(name="writer")
    create_tasks(project=project, generator=writer, completions={row: texts})
    return project


def rewrite(project: Project, text: str, *, of: str = "", name: str = "ann") -> Annotation:
    assignment = claimed(annotator(name), project)
    shown = [sample.text for sample in assignment.shown_samples()]
    given = Answer(text=text, edited=1 + shown.index(of) if of else None)
    return queue.submit(assignment, given, client_key="k")


def test_what_people_write_is_a_demonstration_and_no_comparison() -> None:
    project = rewriting([" there was a fox.", " there was an owl."])
    annotation = rewrite(project, "there was a kind fox.", of=" there was a fox.")
    assert list(demonstrations(project)) == [
        {
            "prompt": "Once",
            "completion": " there was a kind fox.",
            "group": str(annotation.pk),
            "annotator": str(annotation.assignment.annotator_id),
            "split": "train",
        }
    ]
    assert list(comparisons(project)) == list(ratings(project)) == []


@pytest.mark.parametrize(
    ("samples", "edited", "completion"),
    [
        ([" a fox.", "\n\na fox."], "\n\na fox.", "\n\nmine"),
        ([" a fox.", "\n\na fox."], " a fox.", " mine"),
        ([" a fox.", " an owl.", "owl"], "", " mine"),
        (["狐狸。", "猫头鹰。", " owl"], "", "mine"),
        (["    return x", ""], "", "    mine"),
        ([" a fox.", ""], "", " mine"),
        (["", "  "], "", " mine"),
    ],
)
def test_what_people_write_joins_its_prompt_as_samples_do(
    samples: list[str], edited: str, completion: str
) -> None:
    project = rewriting(samples)
    rewrite(project, "mine", of=edited)
    assert [row["completion"] for row in demonstrations(project)] == [completion]


@pytest.mark.parametrize("prompt", ["", "Once\n"])
def test_where_no_sample_says_nothing_joins_a_text_to_white_space(prompt: str) -> None:
    project = rewriting([""], prompt=prompt)
    rewrite(project, "mine")
    assert [row["completion"] for row in demonstrations(project)] == ["mine"]


def test_other_kinds_demonstrate_nothing() -> None:
    project = make_project()
    make_tasks(project)
    answer(project, "ABC")
    assert list(demonstrations(project)) == []


def test_an_all_bad_answer_demonstrates_nothing() -> None:
    project = rewriting([" a fox."])
    queue.submit(claimed(annotator(), project), Answer(all_bad=True), client_key="k")
    assert list(demonstrations(project)) == []


def test_a_snapshot_of_rewritings_holds_the_demonstrations() -> None:
    project = rewriting([" a fox."])
    rewrite(project, "mine")
    snapshot = create_snapshot(project)
    assert list(snapshot.demonstrations()) == list(demonstrations(project))
    assert (snapshot.count, snapshot.rating_count, snapshot.demonstration_count) == (0, 0, 1)
    assert list(snapshot.comparisons()) == list(snapshot.ratings()) == []


def test_the_hash_of_a_snapshot_is_that_of_its_rows_with_answers_and_people_numbered() -> None:
    project = make_project()
    make_tasks(project, 1, need=2)
    answer(project, "ABC", "ann")
    answer(project, "CBA", "bob")
    snapshot = create_snapshot(project)
    numbers = ["1"] * 3 + ["2"] * 3
    rows = zip(comparisons(project), numbers, strict=True)
    lines = b"".join(json_line({**row, "group": number, "annotator": number}) for row, number in rows)
    assert snapshot.hash == hashlib.sha256(lines).hexdigest()
    assert list(snapshot.demonstrations()) == []


def test_a_snapshot_with_deleted_answers_does_not_come_back_when_somebody_else_answers_the_same() -> None:
    project = make_project()
    make_tasks(project)
    first = answer(project, "ABC", "ann")
    before = create_snapshot(project)
    delete_answers(first.assignment.annotator, projects=[project], by=superuser())
    answer(project, "ABC", "bob")
    after = create_snapshot(project)
    assert (after.count, after.withdrawn) == (3, 0)
    assert after.hash != before.hash
    assert create_snapshot(project) == after


@pytest.mark.parametrize("kind", ["pair", "score", "rewrite"])
def test_an_export_asks_the_database_as_often_however_many_answers_there_are(
    kind: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    project = make_project(feedback=kind, samples_per_task=2)
    make_tasks(project, 20, samples=2)
    ann = annotator()
    given = {
        "pair": Answer(grade=1),
        "score": Answer(scores=(1, 2)),
        "rewrite": Answer(text="mine", edited=1),
    }[kind]
    for number in range(20):
        queue.submit(claimed(ann, project), given, client_key=str(number))
    export = {"pair": comparisons, "score": ratings, "rewrite": demonstrations}[kind]
    with django_assert_num_queries(3):
        assert len(list(export(project))) == (40 if kind == "score" else 20)
