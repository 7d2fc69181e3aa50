"""Records become prompts, tasks, answers and gold in a project; the same file again adds nothing."""

import pytest
from django.contrib.auth.models import User

from labeling.imports import ImportOptions, ImportResult, Source, import_records
from labeling.models import (
    Annotation,
    Assignment,
    Generator,
    Gold,
    ImportedAnnotator,
    Judgement,
    Project,
    Prompt,
    Sample,
    Task,
)
from labeling.people.answer_deletion import delete_answers
from labeling.preferences import comparisons, create_snapshot, demonstrations
from labeling.project_counts import count_projects
from labeling.tasks import create_tasks
from tests.labeling.objects import admin, annotator, claimed, make_project, make_tasks
from training.formats.prompt_completions import ParsedPrompt
from training.formats.records import Record, RecordJudgement, RecordSample
from training.formats.rows import Problem

pytestmark = pytest.mark.django_db


def record(prompt: str, *texts: str, row: int = 1, **fields: object) -> Record:
    samples = tuple(RecordSample(text=text) for text in texts)
    return Record(**{"row": row, "prompt": ParsedPrompt(prompt), "samples": samples, **fields})  # type: ignore[arg-type]


def pair(prompt: str, chosen: str, rejected: str, by: str = "", **fields: object) -> Record:
    judgement = RecordJudgement(**{"kind": "pair", "annotator": by, "ranks": (1, 2), **fields})  # type: ignore[arg-type]
    return record(prompt, chosen, rejected, judgements=(judgement,))


def bring(project: Project, *records: Record | Problem, **options: object) -> ImportResult:
    source = Source(records, format=str(options.pop("format", "trl")))
    given = ImportOptions(**{"heldout": 0.0, **options})  # type: ignore[arg-type]
    return import_records(project, [source], options=given, author=None)


def shown(project: Project) -> list[tuple[str, list[str]]]:
    """The prompt and the texts of each ordinary task, in order."""
    tasks = project.tasks.ordinary().order_by("pk")
    return [
        (task.prompt.text, [place.sample.text for place in task.task_samples.order_by("position")])
        for task in tasks
    ]


# -- Prompts, samples and tasks ---------------------------------------------------------------------------


def test_records_without_samples_are_prompts() -> None:
    project = make_project()
    result = bring(project, record("Once"), record("Twice", split="heldout"), record("Once"))
    assert (result.prompts, result.heldout, result.known, result.tasks) == (2, 1, 1, 0)
    assert dict(Prompt.objects.values_list("text", "split")) == {"Once": "train", "Twice": "heldout"}


def test_samples_become_a_task_and_are_spread_over_several_where_there_are_more() -> None:
    project = make_project(samples_per_task=2)
    result = bring(project, record("Once", "a", "b", "c", "d"))
    assert shown(project) == [("Once", ["a", "b"]), ("Once", ["c", "d"])]
    assert (result.tasks, result.samples) == (2, 4)
    assert claimed(annotator(), project)


def test_rows_of_one_sample_are_shown_together_and_repeated_texts_once() -> None:
    project = make_project()
    given = [("Once", "a"), ("Twice", "c"), ("Once", "b"), ("Twice", "d")]
    rows = [record(*each, row=number) for number, each in enumerate(given)]
    assert bring(project, *rows, *rows).tasks == 2
    assert shown(project) == [("Once", ["a", "b"]), ("Twice", ["c", "d"])]
    again = bring(project, *rows)
    assert again.is_empty
    assert again.known == 4
    assert bring(project, record("Once", "a", "b", "a", "b")).is_empty


def test_a_single_sample_that_finds_no_other_is_a_problem_of_its_row() -> None:
    project = make_project()
    result = bring(project, record("Once", "a", row=3))
    assert [(each.problem.row, each.problem.reason) for each in result.problems] == [
        (3, "1 sample of this prompt, but a task here shows 2 to 4.")
    ]
    assert not Prompt.objects.exists()


def test_a_file_cannot_take_the_name_of_a_version() -> None:
    project = make_project()
    site = Generator.objects.create(name="story-model-7")
    sample = RecordSample(text="a", generator="story-model-7")
    bring(project, record("Once", samples=(sample, RecordSample(text="b"))))
    ours = Sample.objects.get(text="a").generator
    assert (ours.name, ours.project, ours != site) == ("story-model-7", project, True)
    assert Generator.objects.filter(project=project).count() == 2  # and "import"


# -- Answers ----------------------------------------------------------------------------------------------


def test_a_preference_is_an_ordinary_answer_of_a_placeholder() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    result = bring(project, pair("Once", " good", " bad", "2"), format="label-studio")
    assert (result.answers, result.annotators) == (1, {"2"})
    user = User.objects.get(username="label-studio:2")
    assert (user.is_active, user.has_usable_password()) == (False, False)
    assert Assignment.objects.get().state == "submitted"
    assert Task.objects.get().open == 0
    (row,) = comparisons(project)
    assert (row["chosen"], row["rejected"], row["annotator"]) == (" good", " bad", str(user.pk))
    assert create_snapshot(project).count == 1


def test_an_account_of_the_same_name_is_not_taken_for_the_placeholder() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    real = annotator("trl:7")
    bring(project, pair("Once", "a", "b", "7"))
    assert not Assignment.objects.filter(annotator=real).exists()
    assert ImportedAnnotator.objects.get().person.username == "trl:7-2"


def test_the_same_file_again_adds_nothing_and_says_so() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    rows = [pair("Once", "a", "b", by) for by in "12"] + [pair("Once", "c", "d", "1"), pair("Two", "a", "b")]
    first = bring(project, *rows)
    assert (first.tasks, first.answers, first.known) == (3, 4, 0)
    again = bring(project, *rows)
    assert again.is_empty
    assert again.known == 4
    assert Annotation.objects.count() == 4


def test_pairs_of_texts_that_are_known_from_other_pairs_are_new() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    result = bring(project, pair("Q", "a", "b"), pair("Q", "b", "c"), pair("Q", "a", "c"))
    assert (result.tasks, result.answers, result.samples) == (3, 3, 3)
    assert bring(project, pair("Q", "c", "a")).is_empty  # the same two, by the same unnamed person


def test_a_second_person_answers_the_same_task() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    bring(project, pair("Q", "a", "b", "1"))
    result = bring(project, pair("Q", "b", "a", "2"))
    assert (result.tasks, result.answers) == (0, 1)
    task = Task.objects.get()
    assert (task.need, task.open) == (2, 0)
    assert {row["chosen"] for row in comparisons(project)} == {"a", "b"}


def test_answers_find_the_tasks_that_this_site_made() -> None:
    project = make_project(feedback="pair", samples_per_task=2, annotations_per_task=2)
    (task,) = make_tasks(project, samples=2)
    result = bring(project, pair("Prompt 0", "B0", "A0", "1"))
    assert (result.tasks, result.answers, result.samples) == (0, 1, 0)
    task.refresh_from_db()
    assert (task.need, task.open) == (2, 1)
    (row,) = comparisons(project)
    assert (row["chosen"], row["rejected"]) == ("B0", "A0")


@pytest.mark.parametrize(
    ("margin", "ranks", "grade"),
    [(0.0, (1, 2), 1), (0.34, (2, 1), 1), (0.67, (1, 2), 2), (9.0, (1, 2), 3), (0.5, (1, 1), 0)],
)
def test_margins_become_grades(margin: float, ranks: tuple[int, int], grade: int) -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    bring(project, pair("Q", "a", "b", ranks=ranks, margin=margin))
    by_text = {row.sample.text: row.grade or 0 for row in Judgement.objects.all()}
    better = "a" if ranks == (1, 2) else "b"
    assert by_text[better] == grade or grade == 0
    assert sorted(by_text.values()) == sorted([grade, -grade])


def test_ranks_and_scores_become_ranks_with_ties() -> None:
    project = make_project()
    order = RecordJudgement(kind="rank", annotator="1", ranks=(3, 1, 1))
    scores = RecordJudgement(kind="score", annotator="2", scores=(0.1, 4.5, -2.0))
    bring(project, record("Q", "a", "b", "c", judgements=(order, scores)))
    ranks = Judgement.objects.values_list(
        "annotation__assignment__annotator__username", "sample__text", "rank"
    )
    assert {(by, text): rank for by, text, rank in ranks} == {
        ("trl:1", "a"): 2, ("trl:1", "b"): 1, ("trl:1", "c"): 1,
        ("trl:2", "a"): 2, ("trl:2", "b"): 1, ("trl:2", "c"): 3,
    }  # fmt: skip


def test_scores_are_rescaled_and_what_is_rounded_is_counted() -> None:
    project = make_project(feedback="score", scale=5)
    given = RecordJudgement(kind="score", scores=(0.0, 4.0, 1.0), scale=(0.0, 4.0))
    assert bring(project, record("Q", "a", "b", "c", judgements=(given,))).rounded == 0
    ten = RecordJudgement(kind="score", annotator="9", scores=(1.0, 10.0, 4.0), scale=(1.0, 10.0))
    assert bring(project, record("Q", "a", "b", "c", judgements=(ten,))).rounded == 1
    scores = Judgement.objects.order_by("pk").values_list("score", flat=True)
    assert list(scores) == [1, 5, 2, 1, 5, 2]


@pytest.mark.parametrize(
    ("feedback", "judgement", "says"),
    [
        ("score", {"kind": "pair", "ranks": (1, 2)}, "a comparison, but this project asks for scores"),
        ("score", {"kind": "score", "scores": (7.5, 1.0)}, "7.5 does not fit this project's 1 to 5"),
        ("score", {"kind": "score", "scores": (7.0, 1.0), "scale": (1.0, 5.0)}, "7 is not between 1 and 5"),
        ("rank", {"kind": "score", "scores": (1.0, None)}, "only 1 of 2 samples were judged"),
        ("best", {"kind": "pair", "ranks": (1, 1)}, "no sample is better than all others"),
        ("rank", {"kind": "pair", "ranks": (1, 2), "comment": "x" * 2001}, "a comment of 2,001 characters"),
        ("rank", {"kind": "pair", "ranks": (1, 2), "annotator": "x" * 151}, "name of a annotator"),
    ],
)
def test_what_does_not_answer_the_question_is_refused(
    feedback: str, judgement: dict[str, object], says: str
) -> None:
    project = make_project(feedback=feedback)
    result = bring(project, record("Q", "a", "b", row=4, judgements=(RecordJudgement(**judgement),)))  # type: ignore[arg-type]
    assert [each.problem.row for each in result.problems] == [4]
    assert says in str(result.problems[0])
    assert not result.stored
    assert not Prompt.objects.exists()


def test_criteria_are_found_by_name_and_must_all_be_there() -> None:
    project = make_project(feedback="score", scale=5, criteria=["Helpfulness"])
    given = {"kind": "score", "scores": (4.0,), "scale": (0.0, 4.0)}
    named = RecordJudgement(**given, criteria=({"helpfulness": 3.0, "verbosity": 1.0},))  # type: ignore[arg-type]
    assert bring(project, record("Q", "a", judgements=(named,))).answers == 1
    assert Judgement.objects.get().criteria == {"Helpfulness": 4}
    without = RecordJudgement(**given, criteria=({"verbosity": 1.0},))  # type: ignore[arg-type]
    result = bring(project, record("R", "a", judgements=(without,)))
    assert "asks for the criteria Helpfulness, and the file has verbosity" in str(result.problems[0])


def test_all_bad_skips_flags_and_comments_are_kept() -> None:
    project = make_project()
    given = (
        RecordJudgement(kind="rank", annotator="1", all_bad=True, flagged=True, comment="Hm.", seconds=3.5),
        RecordJudgement(kind="rank", annotator="2", skipped="I do not know"),
    )
    result = bring(project, record("Q", "a", "b", judgements=given))
    assert (result.answers, result.skips) == (1, 1)
    stored = Annotation.objects.get()
    assert (stored.all_bad, stored.flagged, stored.comment, stored.seconds) == (True, True, "Hm.", 3.5)
    assert Assignment.objects.get(state="skipped").skip_reason == "I do not know"
    assert Task.objects.get().open == 0


def test_votes_can_be_left_for_the_people_here() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    result = bring(project, pair("Q", "a", "b", "1"), import_as="tasks")
    assert (result.tasks, result.answers, result.unused_answers) == (1, 0, 1)
    assert Task.objects.get().open == 1
    assert bring(project, pair("Q", "a", "b", "1"), import_as="prompts").is_empty


def test_demonstrations_are_answers_of_rewrite_projects_alone() -> None:
    written = RecordJudgement(kind="demonstration", annotator="5", text=" A bear slept. ")
    project = make_project(feedback="rewrite")
    bring(project, record("Once", judgements=(written,)))
    (row,) = demonstrations(project)
    assert (row["prompt"], row["completion"]) == ("Once", " A bear slept.")
    assert bring(project, record("Once", judgements=(written,))).is_empty
    result = bring(make_project("other"), record("Once", judgements=(written,)), import_as="demonstrations")
    assert "import demonstrations into a project of the kind" in str(result.problems[0])


def test_expected_answers_become_gold() -> None:
    project = make_project()
    result = bring(project, record("Q", "a", "b", gold="2 > 1"), pair("R", "a", "b"), import_as="gold")
    assert (result.gold, result.answers) == (2, 0)
    assert [gold.answer for gold in Gold.objects.order_by("pk")] == [{"ranks": [2, 1]}, {"ranks": [1, 2]}]
    assert bring(project, record("Q", "a", "b", gold="2 > 1")).is_empty


def test_imported_answers_are_deleted_like_any_other() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    bring(project, pair("Q", "a", "b", "1"))
    person = ImportedAnnotator.objects.get().person
    by = admin()
    by.is_superuser = True
    by.save()
    assert delete_answers(person, projects=[project], by=by).answers == 1
    assert Task.objects.get().open == 1
    assert not list(comparisons(project))


def test_agreement_counts_imported_answers() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    for by, (better, worse) in {"1": ("a", "b"), "2": ("a", "b"), "3": ("b", "a")}.items():
        bring(project, *(pair(f"Q{number}", better, worse, by) for number in range(6)))
    agreement = count_projects([project])[project.pk].agreement
    assert agreement is not None
    assert agreement.value == pytest.approx(1 / 3)


# -- All or nothing ---------------------------------------------------------------------------------------


def test_one_problem_stops_everything_unless_it_is_left_out() -> None:
    project = make_project()
    rows: list[Record | Problem]
    rows = [record("Once"), record("a\x00b", row=2), Problem(3, "not JSON."), record("x" * 100_001, row=4)]
    result = bring(project, *rows)
    assert [each.problem.row for each in result.problems] == [2, 3, 4]
    assert not result.stored
    assert not Prompt.objects.exists()
    assert bring(project, *rows, leave_out=True).prompts == 1
    assert Prompt.objects.get().text == "Once"


def test_twenty_problems_are_kept_and_all_are_counted() -> None:
    result = bring(make_project(), *(record("", row=number) for number in range(1, 31)))
    assert (len(result.problems), result.problem_count) == (20, 30)


def test_a_dry_run_counts_and_stores_nothing() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    result = bring(project, pair("Q", "a", "b", "1"), dry_run=True)
    assert (result.prompts, result.tasks, result.answers, result.stored) == (1, 1, 1, False)
    for model in (Prompt, Sample, Task, Annotation, ImportedAnnotator, Generator):
        assert not model.objects.exists()


def test_a_project_can_be_deleted_with_what_was_imported() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    bring(project, record("Q", "a", "b"))
    project.delete()
    assert not Generator.objects.exists()


def test_tasks_have_the_same_content_whoever_makes_them() -> None:
    project = make_project()
    generator = Generator.objects.create(name="m")
    (prompt,) = [Prompt.objects.create(project=project, text="Q")]
    create_tasks(project=project, generator=generator, completions={prompt: ["b", "a"]})
    assert bring(project, record("Q", "a", "b")).is_empty
