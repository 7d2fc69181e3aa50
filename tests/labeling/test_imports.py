"""Files of many kinds become prompts, samples and tasks; the same through command, page and API."""

import csv
import io
import json
from pathlib import Path

import pytest

from labeling.imports import ImportResult
from labeling.models import Gold, Project, Prompt
from labeling.prompts import add_prompts
from tests.labeling.importing import import_text, json_lines, shape
from tests.labeling.objects import admin, make_project
from training.formats.rows import FileProblem

pytestmark = pytest.mark.django_db

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data are not here")


def prompts(project: Project) -> list[str]:
    return [text for text, _ in shape(project)]


# -- Text that is pasted ----------------------------------------------------------------------------------


def test_a_paste_is_one_prompt_a_line() -> None:
    project = make_project()
    result = import_text(project, "Once upon a time  \n\n  There was\r\nOnce upon a time", "")
    assert prompts(project) == ["Once upon a time", "  There was"]
    assert result.known == 1


def test_a_paste_may_be_blocks_with_blank_lines_between() -> None:
    project = make_project()
    text = "Write a poem\nabout rain.\n\n\nWrite a letter.\n"
    import_text(project, text, "", reading={"paragraphs": "blocks"})
    assert prompts(project) == ["Write a poem\nabout rain.", "Write a letter."]


def test_pasted_json_lines_are_not_taken_for_prompts() -> None:
    project = make_project()
    import_text(project, '{"prompt": "Once"}\n{"prompt": "Twice"}', "")
    assert shape(project) == [("Once", []), ("Twice", [])]


# -- JSON -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["completions", "responses", "samples", "Answers"])
def test_samples_come_in_lists(name: str) -> None:
    project = make_project()
    result = import_text(project, json_lines({"prompt": "Once", name: ["a", "b", "c"]}))
    assert shape(project) == [("Once", [["a", "b", "c"]])]
    assert dict(result.generators) == {"import": 3}


def test_samples_may_say_who_wrote_them() -> None:
    row = {
        "prompt": "Once",
        "responses": [{"text": "a", "model": "llama"}, {"body": "b", "title": "cobra"}, "c"],
        "model": "puma",
    }
    result = import_text(make_project(), json_lines(row))
    assert sorted(result.generators.items()) == [("cobra", 1), ("llama", 1), ("puma", 1)]


def test_chosen_and_rejected_are_two_samples_and_an_answer() -> None:
    project = make_project()
    result = import_text(project, json_lines({"prompt": "Once", "chosen": "a", "rejected": "b"}))
    assert shape(project) == [("Once", [["a", "b"]])]
    assert (result.answers, result.gold) == (1, 0)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"prompt": "a"}\n{"prompt": \n{"prompt": "c"}', 2, "not JSON"),
        ('{"prompt": 7}\n{"prompt": "a"}', 1, "not a"),
        ('{"prompt": "a\\u0000b"}', 1, "NUL"),
        ('{"prompt": "a\\ud800b"}', 1, "lone surrogate"),
        ('{"prompt": "b"}\n{"other": "a"}', 2, "are not known"),
        ('{"prompt": "a", "split": "sideways"}', 1, "train"),
        ('{"prompt": [{"role": "wizard", "content": "x"}]}', 1, 'unknown role "wizard"'),
        ('{"prompt": "a", "responses": ["b"]}', 1, "1 sample of this prompt, but a task here shows 2 to 4"),
        ('[{"prompt": "a"}', 2, "closed"),
        ('{"prompt": "' + "a" * 100_001 + '"}', 1, "at most 100,000"),
        ('{"prompt": "a", "model": "' + "m" * 151 + '", "responses": ["b", "c"]}', 1, "at most 150"),
    ],
)
def test_a_problem_names_its_row(text: str, line: int, message: str) -> None:
    result = import_text(make_project(), text)
    assert [problem.problem.row for problem in result.problems] == [line]
    assert message in str(result.problems[0])
    assert not result.stored
    assert not Prompt.objects.exists()


# -- Tables -----------------------------------------------------------------------------------------------


def test_a_table_has_a_column_for_each_sample() -> None:
    project = make_project()
    text = "Prompt,Response 1,response_2,Model 1\nOnce,a,b,llama\nTwice,c,d,\n"
    result = import_text(project, text, "t.csv")
    assert shape(project) == [("Once", [["a", "b"]]), ("Twice", [["c", "d"]])]
    assert dict(result.generators) == {"import": 3, "llama": 1}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_may_be_separated_as_spreadsheets_do(delimiter: str) -> None:
    project = make_project()
    out = io.StringIO()
    rows = [["prompt", "response_1", "response_2"], ["One, two; three", "a\nb", 'say "c"'], ["Two", "d", "e"]]
    csv.writer(out, delimiter=delimiter).writerows(rows)
    import_text(project, out.getvalue(), "t.csv")
    assert shape(project) == [("One, two; three", [["a\nb", 'say "c"']]), ("Two", [["d", "e"]])]


def test_rows_of_one_prompt_are_put_together() -> None:
    project = make_project()
    text = "prompt,response,model\nOnce,a,x\nTwice,b,x\nOnce,c,y\nTwice,d,y\n"
    import_text(project, text, "t.csv")
    assert shape(project) == [("Once", [["a", "c"]]), ("Twice", [["b", "d"]])]


def test_a_table_without_a_column_of_prompts_is_refused() -> None:
    with pytest.raises(FileProblem, match="“title”, “body”"):
        import_text(make_project(), "title,body\na,b\n", "t.csv")


def test_formulas_and_markup_stay_the_text_they_are() -> None:
    texts = ['=HYPERLINK("http://e.vil")', "@SUM(1)", "+1", "-1", "<script>alert(1)</script>"]
    import_text(make_project(), json_lines(*({"prompt": text} for text in texts)))
    assert list(Prompt.objects.values_list("text", flat=True)) == texts


# -- Against the project ----------------------------------------------------------------------------------


def test_the_same_file_again_brings_nothing() -> None:
    project = make_project()
    text = json_lines({"prompt": "Once", "responses": ["a", "b"]}, {"prompt": "Twice"})
    import_text(project, text)
    again = import_text(project, text)
    assert (again.is_empty, again.known) == (True, 2)
    more = import_text(project, json_lines({"prompt": "Once", "responses": ["c", "d"]}))
    assert (more.prompts, more.tasks) == (0, 1)


def test_samples_are_spread_evenly_over_tasks_that_the_project_can_show() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    import_text(project, json_lines({"prompt": "Once", "responses": ["a", "b", "c", "d"]}))
    assert shape(project) == [("Once", [["a", "b"], ["c", "d"]])]
    odd = import_text(project, json_lines({"prompt": "Twice", "responses": ["a", "b", "c"]}))
    assert odd.problems[0].problem.reason == "3 samples of this prompt, but a task here shows 2."


def test_a_share_is_held_out_by_the_prompts_own_hash() -> None:
    text = "\n".join(f"Prompt {number}" for number in range(400))
    one, two = make_project("one"), make_project("two")
    assert 70 <= import_text(one, text, "t.txt", heldout=0.25).heldout <= 130
    import_text(two, "\n".join(reversed(text.split("\n"))), "t.txt", heldout=0.25)
    held = [set(each.prompts.filter(split="heldout").values_list("text", flat=True)) for each in (one, two)]
    assert held[0] == held[1]


def test_a_row_says_on_which_side_it_stands_and_a_known_prompt_stays_where_it_is() -> None:
    project = make_project()
    add_prompts(project, ["Known"], "heldout")
    rows = [
        {"prompt": "New", "split": "Test"},
        {"prompt": "Other", "split": "train"},
        {"prompt": "Known", "split": "train", "responses": ["a", "b"]},
    ]
    import_text(project, json_lines(*rows), heldout=1.0)
    assert dict(project.prompts.values_list("text", "split")) == {
        "New": "heldout",
        "Other": "train",
        "Known": "heldout",
    }


@pytest.mark.parametrize(
    ("feedback", "samples", "written", "stored"),
    [
        ("rank", 3, "2 > 1 = 3", {"ranks": [2, 1, 2]}),
        ("rank", 3, [1, 2, 3], {"ranks": [1, 2, 3]}),
        ("best", 3, "2", {"best": 2}),
        ("pair", 2, -3, {"grade": -3}),
        ("score", 2, "4, 2", {"scores": [4, 2]}),
        ("pair", 2, {"all_bad": True}, {"all_bad": True}),
    ],
)
def test_a_right_answer_makes_gold(feedback: str, samples: int, written: object, stored: object) -> None:
    project = make_project(feedback=feedback, samples_per_task=samples)
    row = {"prompt": "Once", "responses": list("abc")[:samples], "gold_answer": written}
    assert import_text(project, json_lines(row), author=admin()).gold == 1
    [gold] = Gold.objects.all()
    assert json.loads(json.dumps(gold.answer)) == stored
    assert gold.task.kind == "gold"
    assert gold.author is not None


def test_a_training_answer_makes_a_lesson_with_its_explanation() -> None:
    project = make_project(feedback="best", samples_per_task=2)
    text = "prompt,response_1,response_2,training_answer,explanation\nOnce,a,b,1,It is **kinder**.\n"
    import_text(project, text, "t.csv")
    [gold] = Gold.objects.all()
    assert (gold.task.kind, gold.explanation) == ("training", "It is **kinder**.")


@pytest.mark.parametrize("written", ["best of all", "4 > 5", {"grade": 1}, 3, "[1,2"])
def test_a_right_answer_that_is_none_is_said(written: object) -> None:
    row = {"prompt": "Once", "responses": ["a", "b"], "gold_answer": written}
    [problem] = import_text(make_project(), json_lines(row)).problems
    assert "an order such as 2 > 1 = 3" in str(problem)


# -- Files of other tools ---------------------------------------------------------------------------------


def read(path: str, project: Project) -> ImportResult:
    file = DATA / path
    return import_text(project, file.read_bytes(), file.name)


@needs_data
def test_the_votes_of_label_studio_are_answers() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    result = read("formats/ls_pairwise.json", project)
    assert (result.tasks, result.answers, result.problem_count) == (4, 4, 0)
    assert project.assignments.values_list("annotator__username", flat=True)[0] == "label-studio:2"
    scores = make_project("scores", feedback="score", samples_per_task=1)
    assert read("formats/ls_rating.json", scores).answers == 4


@needs_data
@pytest.mark.parametrize("name", ["dpo_en_demo", "dpo_zh_demo"])
def test_pairs_of_other_trainers_are_read(name: str) -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    result = read(f"preferences/formats/{name}.json", project)
    assert result.problems == []
    assert result.answers + result.known == 300
    assert all(text.endswith("\n\nAssistant:") for text in prompts(project))


@needs_data
def test_rated_dialogues_are_read() -> None:
    scored = make_project("scored", feedback="score", samples_per_task=1)
    result = read("preferences/formats/kto_en_demo.json", scored)
    assert result.problems == []
    assert result.answers + result.known == 300
