import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from labeling.models import Gold, Project, Prompt, Sample, Task
from labeling.prompts import add_prompts
from labeling.setup.imports import EncodingUnknown, ImportPlan, ImportProblem, decode, plan_import, read_rows
from tests.labeling.objects import admin, make_project

pytestmark = pytest.mark.django_db

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared test data are not here")


def plan_of(text: str, name: str = "", project: Project | None = None, **options: Any) -> ImportPlan:
    project = project or Project.objects.filter(slug="stories").first() or make_project()
    paragraphs = options.pop("paragraphs", "lines")
    rows = read_rows(text, name=name, paragraphs=paragraphs)
    return plan_import(project=project, rows=rows, **{"generator": "import", **options})


def shape(plan: ImportPlan) -> list[tuple[str, list[list[str]]]]:
    """The prompts, each with the texts of its tasks."""
    return [
        (prompt.text, [[sample.text for sample in task.samples] for task in prompt.tasks])
        for prompt in plan.prompts
    ]


def json_lines(*rows: object) -> str:
    return "\n".join(json.dumps(row) for row in rows)


# -- Text that is pasted ----------------------------------------------------------------------------------


def test_a_paste_is_one_prompt_a_line() -> None:
    plan = plan_of("Once upon a time  \n\n  There was\r\nOnce upon a time")
    assert [prompt.text for prompt in plan.prompts] == ["Once upon a time", "  There was"]
    assert [prompt.line for prompt in plan.prompts] == [1, 3]
    assert plan.duplicates == 1


def test_a_paste_may_be_blocks_with_blank_lines_between() -> None:
    plan = plan_of("Write a poem\nabout rain.\n\n\nWrite a letter.\n", paragraphs="blocks")
    assert [prompt.text for prompt in plan.prompts] == ["Write a poem\nabout rain.", "Write a letter."]
    assert [prompt.line for prompt in plan.prompts] == [1, 5]


def test_pasted_json_lines_are_not_taken_for_prompts() -> None:
    assert shape(plan_of('{"prompt": "Once"}\n{"prompt": "Twice"}')) == [("Once", []), ("Twice", [])]


# -- JSON -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["completions", "responses", "samples", "Answers"])
def test_samples_come_in_lists(name: str) -> None:
    plan = plan_of(json_lines({"prompt": "Once", name: ["a", "b", "c"]}))
    assert shape(plan) == [("Once", [["a", "b", "c"]])]
    assert plan.generators == [("import", 3)]


def test_samples_may_say_who_wrote_them() -> None:
    row = {
        "prompt": "Once",
        "responses": [{"text": "a", "model": "llama"}, {"body": "b", "title": "cobra"}, "c"],
        "model": "puma",
    }
    assert sorted(plan_of(json_lines(row)).generators) == [("cobra", 1), ("llama", 1), ("puma", 1)]


def test_chosen_and_rejected_are_two_samples() -> None:
    plan = plan_of(json_lines({"prompt": "Once", "chosen": "a", "rejected": "b"}))
    assert shape(plan) == [("Once", [["a", "b"]])]
    assert plan.gold_tasks == 0


def test_whole_dialogues_are_parted_where_they_part() -> None:
    shared = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: How are you?\n\nAssistant:"
    plan = plan_of(json_lines({"chosen": f"{shared} Well.", "rejected": f"{shared} No."}))
    assert shape(plan) == [(shared, [[" Well.", " No."]])]


def test_lists_of_messages_become_turns() -> None:
    rows = [
        {
            "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
            "responses": ["Hello", [{"role": "assistant", "content": "Hey"}]],
        },
        {
            "conversations": [{"from": "human", "value": "Bye"}],
            "chosen": {"from": "gpt", "value": "Good bye"},
            "rejected": {"from": "gpt", "value": "Stay"},
        },
    ]
    assert shape(plan_of(json_lines(*rows))) == [
        ("Be brief.\n\nHuman: Hi\n\nAssistant:", [[" Hello", " Hey"]]),
        ("\n\nHuman: Bye\n\nAssistant:", [[" Good bye", " Stay"]]),
    ]


def test_a_json_array_is_read_with_the_lines_of_its_entries() -> None:
    plan = plan_of('\ufeff[\n  {"prompt":\n "Once"},\n {"x": 1},\n "Twice"\n]'.removeprefix("\ufeff"))
    assert [(prompt.text, prompt.line) for prompt in plan.prompts] == [("Once", 2), ("Twice", 5)]
    assert [problem.line for problem in plan.problems] == [4]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('{"prompt": "a"}\n{"prompt": \n{"prompt": "c"}', 2, "not JSON"),
        ('{"prompt": "a"}\n[1]', 2, "neither a text nor an object"),
        ('{"prompt": 7}', 1, "must be a text"),
        ('{"prompt": "a\\u0000b"}', 1, "NUL"),
        ('{"prompt": "a\\ud800b"}', 1, "lone surrogate"),
        ('{"other": "a"}', 1, "no prompt"),
        ('{"prompt": "a", "split": "sideways"}', 1, "write train or heldout"),
        ('{"prompt": "a", "responses": [1, 2]}', 1, "must be a text"),
        (
            '{"prompt": [{"role": "wizard", "content": "x"}]}',
            1,
            'message 1 has the unknown role "wizard"',
        ),
        ('{"prompt": "a", "responses": ["b"]}', 1, "1 sample of this prompt, but a task here shows 2 to 4"),
        ('[{"prompt": "a"}', 1, "not closed"),
        ('[{"prompt": "a"} "b', 1, "not JSON"),
        ("[" * 9_000, 1, "nested too deeply"),
        ('{"prompt": ' + "9" * 5000 + "}", 1, "not JSON"),
        ('{"prompt": "' + "a" * 100_001 + '"}', 1, "at most 100,000"),
        ('{"prompt": "a", "model": "' + "m" * 151 + '", "responses": ["b", "c"]}', 1, "at most 150"),
    ],
)
def test_a_problem_names_its_line(text: str, line: int, message: str) -> None:
    plan = plan_of(text, "file.jsonl")
    assert [problem.line for problem in plan.problems] == [line]
    assert message in plan.problems[0].message
    assert not plan.can_be_stored


# -- Tables -----------------------------------------------------------------------------------------------


def test_a_table_has_a_column_for_each_sample() -> None:
    text = "Prompt,Response 1,response_2,Model 1\nOnce,a,b,llama\nTwice,c,d,\n"
    plan = plan_of(text, "t.csv")
    assert shape(plan) == [("Once", [["a", "b"]]), ("Twice", [["c", "d"]])]
    assert plan.generators == [("import", 3), ("llama", 1)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_may_be_separated_as_spreadsheets_do(delimiter: str) -> None:
    out = io.StringIO()
    rows = [["prompt", "response_1", "response_2"], ["One, two; three", "a\nb", 'say "c"'], ["Two", "d", "e"]]
    csv.writer(out, delimiter=delimiter).writerows(rows)
    assert shape(plan_of(out.getvalue(), "t.csv")) == [
        ("One, two; three", [["a\nb", 'say "c"']]),
        ("Two", [["d", "e"]]),
    ]


def test_a_table_may_name_its_separator_first() -> None:
    plan = plan_of("sep=;\nprompt;label\nOnce;1\n", "t.csv")
    assert [(prompt.text, prompt.line) for prompt in plan.prompts] == [("Once", 3)]
    assert plan.unused == ["label"]


def test_rows_of_one_prompt_are_put_together() -> None:
    text = "prompt,response,model\nOnce,a,x\nTwice,b,x\nOnce,c,y\nTwice,d,y\n"
    plan = plan_of(text, "t.csv")
    assert shape(plan) == [("Once", [["a", "c"]]), ("Twice", [["b", "d"]])]


def test_blank_records_are_skipped_and_ragged_ones_named() -> None:
    plan = plan_of('prompt,label\n\n,\n"Two\nlines",1\nOnce\nOnce,1,2\nTwice,1\n', "t.csv")
    assert [prompt.text for prompt in plan.prompts] == ["Two\nlines", "Twice"]
    assert plan.problems == [
        (6, "1 cells, but the header has 2."),
        (7, "3 cells, but the header has 2."),
    ]


def test_a_quotation_mark_that_is_not_closed_is_named() -> None:
    plan = plan_of('prompt,label\nOnce,1\n"Twice,2\nThrice,3\n', "t.csv")
    assert [(problem.line, "quotation mark" in problem.message) for problem in plan.problems] == [(3, True)]
    long = plan_of('prompt,label\n"' + "a" * 200_000 + '",1\n', "t.csv")
    assert "more than 131,072" in long.problems[0].message


def test_a_table_without_a_column_of_prompts_is_refused() -> None:
    with pytest.raises(ImportProblem, match="“title”, “body”"):
        plan_of("title,body\na,b\n", "t.csv")
    with pytest.raises(ImportProblem, match="Two columns are named “prompt”"):
        plan_of("prompt,prompt\na,b\n", "t.csv")


def test_formulas_and_markup_stay_the_text_they_are() -> None:
    texts = ['=HYPERLINK("http://e.vil")', "@SUM(1)", "+1", "-1", "<script>alert(1)</script>"]
    plan = plan_of(json_lines(*({"prompt": text} for text in texts)))
    plan.store(author=admin())
    assert list(Prompt.objects.values_list("text", flat=True)) == texts


# -- Encodings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_needs_no_word(encoding: str) -> None:
    assert decode("Es war ein Bär.\n从前".encode(encoding)) == "Es war ein Bär.\n从前"


@pytest.mark.parametrize(
    ("text", "encoding", "guess"),
    [
        ("Es war einmal ein kleiner Bär, der wohnte im grünen Wald.\n", "latin-1", "cp1252"),
        ("从前有一只小熊，住在绿色的森林里。它喜欢听故事。\n", "gb18030", "gb18030"),
    ],
)
def test_other_encodings_are_guessed_and_asked_for(text: str, encoding: str, guess: str) -> None:
    with pytest.raises(EncodingUnknown, match="choose its encoding") as caught:
        decode(text.encode(encoding))
    assert caught.value.guess == guess
    assert decode(text.encode(encoding), guess) == text


def test_a_wrong_encoding_is_said_with_its_line() -> None:
    with pytest.raises(ImportProblem, match="is not UTF-16"):
        decode(b"abc\nd", "utf-16")
    with pytest.raises(ImportProblem, match="Line 2 is not Japanese"):
        decode(b"abc\n" + b"\x81", "shift_jis")


@pytest.mark.parametrize("content", [b"PK\x03\x04rest", b"\x1f\x8brest", b"%PDF-1.7"])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    with pytest.raises(ImportProblem, match="This file is"):
        decode(content)


# -- Against the project ----------------------------------------------------------------------------------


def test_nothing_is_stored_until_the_plan_is() -> None:
    plan = plan_of(json_lines({"prompt": "Once", "responses": ["a", "b"]}, {"prompt": "Twice"}))
    assert not Prompt.objects.exists()
    plan.store(author=admin())
    [task] = Task.objects.all()
    assert task.prompt.text == "Once"
    assert (task.need, task.open) == (1, 1)
    assert [sample.text for sample in task.samples.order_by("task_samples__position")] == ["a", "b"]
    assert {sample.generator.name for sample in Sample.objects.all()} == {"import"}
    assert Prompt.objects.count() == 2


def test_the_same_file_again_brings_nothing() -> None:
    text = json_lines({"prompt": "Once", "responses": ["a", "b"]}, {"prompt": "Twice"})
    plan_of(text).store(author=admin())
    again = plan_of(text)
    assert (list(again.prompts), again.duplicates, again.can_be_stored) == ([], 2, False)
    more = plan_of(json_lines({"prompt": "Once", "responses": ["c", "d"]}))
    assert (more.new_prompts, more.tasks) == (0, 1)


def test_samples_are_spread_evenly_over_tasks_that_the_project_can_show() -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    plan = plan_of(json_lines({"prompt": "Once", "responses": ["a", "b", "c", "d"]}), project=project)
    assert shape(plan) == [("Once", [["a", "b"], ["c", "d"]])]
    odd = plan_of(json_lines({"prompt": "Once", "responses": ["a", "b", "c"]}), project=project)
    assert odd.problems[0].message == "3 samples of this prompt, but a task here shows 2."


def test_one_wrong_row_stops_all_unless_it_is_left_out() -> None:
    text = json_lines({"prompt": "Once"}, {"x": 1}, {"prompt": "Twice", "responses": ["a"]})
    assert not plan_of(text).can_be_stored
    without = plan_of(text, leave_out_problems=True)
    assert (without.can_be_stored, without.skipped, shape(without)) == (True, 2, [("Once", [])])


def test_a_share_is_held_out_by_the_prompts_own_hash() -> None:
    text = "\n".join(f"Prompt {number}" for number in range(400))
    first = plan_of(text, heldout=0.25)
    assert 70 <= first.heldout <= 130
    backwards = plan_of("\n".join(reversed(text.split("\n"))), heldout=0.25)
    assert {p.text for p in first.prompts if p.split == "heldout"} == {
        p.text for p in backwards.prompts if p.split == "heldout"
    }


def test_a_row_says_on_which_side_it_stands_and_a_known_prompt_stays_where_it_is() -> None:
    project = make_project()
    add_prompts(project, ["Known"], "heldout")
    rows = [
        {"prompt": "New", "split": "Test"},
        {"prompt": "Other", "split": "train"},
        {"prompt": "Known", "split": "train", "responses": ["a", "b"]},
    ]
    plan_of(json_lines(*rows), project=project, heldout=1.0).store(author=admin())
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
    plan = plan_of(json_lines(row), project=project)
    assert plan.gold_tasks == 1
    plan.store(author=admin())
    [gold] = Gold.objects.all()
    assert json.loads(json.dumps(gold.answer)) == stored
    assert gold.task.kind == "gold"
    assert gold.author is not None


def test_a_training_answer_makes_a_lesson_with_its_explanation() -> None:
    project = make_project(feedback="best", samples_per_task=2)
    text = "prompt,response_1,response_2,training_answer,explanation\nOnce,a,b,1,It is **kinder**.\n"
    plan_of(text, "t.csv", project=project).store(author=admin())
    [gold] = Gold.objects.all()
    assert (gold.task.kind, gold.explanation) == ("training", "It is **kinder**.")


@pytest.mark.parametrize("written", ["best of all", "4 > 5", {"grade": 1}, 3, "[1,2"])
def test_a_right_answer_that_is_none_is_said(written: object) -> None:
    row = {"prompt": "Once", "responses": ["a", "b"], "gold_answer": written}
    [problem] = plan_of(json_lines(row)).problems
    assert "an order such as 2 > 1 = 3" in problem.message


def test_the_digest_tells_one_plan_from_another() -> None:
    text = json_lines({"prompt": "Once", "responses": ["a", "b"]})
    first = plan_of(text)
    assert plan_of(text).digest == first.digest
    assert plan_of(text, generator="other").digest != first.digest
    first.store(author=admin())
    assert plan_of(text).digest != first.digest


# -- Files of other tools ---------------------------------------------------------------------------------


def read(path: str, project: Project | None = None) -> ImportPlan:
    file = DATA / path
    return plan_of(decode(file.read_bytes()), file.name, project)


@needs_data
def test_label_studios_ranker_and_texts_are_read() -> None:
    ranker = read("exports/label-studio/upstream_samples/llm_ranker_task_first5items.json")
    assert len(ranker.prompts[0].samples) == 5
    assert ("LlamaModel", 1) in ranker.generators
    humour = read("exports/label-studio/upstream_samples/humor_dataset_2_annotations.json")
    assert [prompt.text[:9] for prompt in humour.prompts] == ["Joe biden", "Watch: da"]
    pictures = read("exports/label-studio/upstream_samples/previous_export.json")
    assert "no prompt" in pictures.problems[0].message


@needs_data
def test_doccanos_files_are_read_and_their_holes_named() -> None:
    folder = "exports/doccano/data_import/tests/data"
    assert [p.text for p in read(f"{folder}/example.txt").prompts] == ["exampleA", "exampleB", "exampleC"]
    assert [p.text for p in read(f"{folder}/example.utf16.csv").prompts][:2] == ["AAA", "BBB"]
    holes = read(f"{folder}/seq2seq/example.csv")
    assert [p.text for p in holes.prompts] == ["exampleA", "exampleB"]
    assert [problem.line for problem in holes.problems] == [2]
    assert [problem.line for problem in read(f"{folder}/seq2seq/example.json").problems] == [4, 5]
    assert [problem.line for problem in read(f"{folder}/seq2seq/example.jsonl").problems] == [3, 4]
    ragged = read(f"{folder}/text_classification/example.invalid.2.csv")
    assert [problem.line for problem in ragged.problems] == [2]
    other_order = read(f"{folder}/text_classification/example_out_of_order_columns.csv")
    assert [p.text for p in other_order.prompts] == ["exampleA", "exampleB"]
    assert len(read(f"{folder}/text_classification/example.jsonl").prompts) == 3


@needs_data
@pytest.mark.parametrize("name", ["dpo_en_demo", "dpo_zh_demo"])
def test_pairs_of_other_trainers_are_read(name: str) -> None:
    plan = read(f"preferences/formats/{name}.json", make_project(feedback="pair", samples_per_task=2))
    assert plan.problems == []
    assert plan.tasks + plan.duplicates == 300
    assert all(prompt.text.endswith("\n\nAssistant:") for prompt in plan.prompts)


@needs_data
def test_rated_dialogues_and_questions_with_predictions_are_read() -> None:
    scored = make_project("scored", feedback="score", samples_per_task=1)
    plan = read("preferences/formats/kto_en_demo.json", scored)
    assert plan.problems == []
    assert plan.tasks + plan.duplicates == 300
    questions = read("preferences/qa-feedback/dev_feedback.json")
    assert questions.problems == []
    assert questions.samples > 1900
