"""Formats: what each row becomes, with who judged, who wrote, ids, splits, ties, margins and scores."""

import io
import json
from typing import Any

import pytest

from training.formats.reader import RecordReader, parse_columns, read_records
from training.formats.records import Record, RecordJudgement
from training.formats.rows import FileProblem, Problem


def opened(*rows: Any, **options: Any) -> RecordReader:
    return read_records(io.BytesIO(json.dumps(list(rows)).encode()), **options)


def records(*rows: Any, **options: Any) -> list[Record]:
    entries = list(opened(*rows, **options))
    assert all(isinstance(each, Record) for each in entries), [str(each) for each in entries]
    return [each for each in entries if isinstance(each, Record)]


def record(row: Any, **options: Any) -> Record:
    (found,) = records(row, **options)
    return found


def judgement(row: Any, **options: Any) -> RecordJudgement:
    (found,) = record(row, **options).judgements
    return found


def problem(row: Any, **options: Any) -> str:
    (found,) = [str(each) for each in opened({"prompt": "good"}, row, **options) if isinstance(each, Problem)]
    return found


def texts(found: Record) -> tuple[str, list[str]]:
    return found.prompt.text, [sample.text for sample in found.samples]


USER, BOT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
TURNS = "\n\nHuman: Hi\n\nAssistant:"


# -- TRL and Hone's own exports ---------------------------------------------------------------------------


def test_everything_in_a_comparison_of_hone_is_kept() -> None:
    found = record(
        {
            "prompt": "p", "chosen": " a", "rejected": " b", "tie": False, "margin": 0.333333, "group": "7",
            "annotator": "3", "choice": "closeness", "split": "heldout", "criteria": {"kind": 0.5},
        }
    )  # fmt: skip
    assert (texts(found), found.split, found.group) == (("p", [" a", " b"]), "heldout", "7")
    assert found.judgements == (
        RecordJudgement(
            kind="pair", ranks=(1, 2), margin=0.333333, annotator="3", choice="closeness",
            criteria=({"kind": 0.5}, {"kind": -0.5}),
        ),
    )  # fmt: skip


@pytest.mark.parametrize("tie", [True, 1, "true", "1"])
def test_a_tie_may_be_written_in_many_ways(tie: object) -> None:
    assert judgement({"prompt": "p", "chosen": "a", "rejected": "b", "tie": tie}).ranks == (1, 1)


@pytest.mark.parametrize("identity", [3, 3.0, "3"])
def test_numbers_may_be_names(identity: object) -> None:
    found = record({"prompt": "p", "chosen": "a", "rejected": "b", "annotator": identity, "group": identity})
    assert (found.judgements[0].annotator, found.group) == ("3", "3")


def test_a_null_is_what_was_left_out() -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    nulls = dict.fromkeys(("tie", "margin", "group", "annotator", "completion", "messages", "split"))
    assert record({**row, **nulls}) == record(row)


@pytest.mark.parametrize(
    ("better", "worse"),
    [("selected", "rejected"), ("preferred", "dispreferred"), ("chosen_response", "rejected_response")],
)
def test_the_better_text_has_several_names(better: str, worse: str) -> None:
    found = record({"question": "p", better: "a", worse: "b"})
    assert (texts(found), found.judgements[0].ranks) == (("p", ["a", "b"]), (1, 2))


def test_texts_without_a_prompt_share_their_beginning() -> None:
    found = record({"chosen": "The sky is blue.", "rejected": "The sky is green."})
    assert texts(found) == ("The sky is", [" blue.", " green."])
    assert texts(record({"chosen": "a", "rejected": "b"})) == ("", ["a", "b"])


def test_labels_and_scores_have_their_scales() -> None:
    row = {"prompt": "p", "completion": "a"}
    labels = [judgement({**row, "label": each}) for each in (True, False, 1, 0, "true", "0")]
    assert [each.scores for each in labels] == [(1.0,), (0.0,), (1.0,), (0.0,), (1.0,), (0.0,)]
    assert {each.scale for each in labels} == {(0.0, 1.0)}
    assert judgement({**row, "score": 0.5, "criteria": {"kind": 1}}).scale == (0.0, 1.0)
    assert judgement({**row, "score": 4}).scale is None
    assert judgement({**row, "score": 4, "scale": [1, 5]}).scale == (1.0, 5.0)


def test_a_conversation_teaches_every_turn_unless_it_is_cut() -> None:
    whole, apart = record({"messages": [USER, BOT]}), record({"prompt": [USER], "completion": [BOT]})
    assert texts(whole) == texts(apart) == (TURNS, [" Hello"])
    assert (whole.all_turns, apart.all_turns) == (True, False)
    assert record({"messages": [USER]}).samples == ()
    assert record({"text": "All of it"}).is_text


def test_a_system_prompt_beside_a_prompt_begins_the_conversation() -> None:
    found = record({"system": "Be kind.", "prompt": "Hi", "chosen": "a", "rejected": "b"})
    assert texts(found) == (f"Be kind.{TURNS}", [" a", " b"])


# -- Tools ------------------------------------------------------------------------------------------------


def label_studio(*results: Any, data: Any = None, **annotation: Any) -> dict[str, Any]:
    data = data or {"prompt": "p", "answer1": "a", "answer2": "b"}
    given = {"completed_by": 2, "result": results, "was_cancelled": False, "lead_time": 2.5, **annotation}
    return {"id": 5, "data": data, "annotations": [given]}


def result(kind: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"type": kind, "value": value, **more}


def test_a_pairwise_vote_of_label_studio() -> None:
    found = record(label_studio(result("pairwise", {"selected": "right"}), completed_by={"email": "a@b.c"}))
    assert (texts(found), found.source_id) == (("p", [" a", " b"]), "5")
    assert found.judgements == (RecordJudgement(kind="pair", ranks=(2, 1), annotator="a@b.c", seconds=2.5),)


def test_other_votes_of_label_studio() -> None:
    items = {"prompt": "p", "items": [{"id": n, "body": n, "title": f"model {n}"} for n in "abc"]}
    ranked = record(label_studio(result("ranker", {"ranker": {"rank": ["c", "a", "b"]}}), data=items))
    assert [sample.generator for sample in ranked.samples] == ["model a", "model b", "model c"]
    assert ranked.judgements[0].ranks == (2, 3, 1)
    rated = [result("rating", {"rating": n}, to_name=f"answer{m}") for m, n in ((1, 4), (2, 2))]
    assert judgement(label_studio(*rated)).scores == (4.0, 2.0)
    chosen = judgement(
        label_studio(result("choices", {"choices": ["Answer 2"]}), result("textarea", {"text": ["why"]}))
    )
    assert (chosen.ranks, chosen.comment) == ((2, 1), "why")
    assert judgement(label_studio(result("choices", {"choices": ["Both bad"]}))).all_bad
    assert judgement(label_studio(was_cancelled=True)).skipped
    written = judgement(label_studio(result("textarea", {"text": ["Mine"]}), data={"prompt": "p"}))
    assert (written.kind, written.text) == ("demonstration", " Mine")


def test_votes_that_say_nothing_are_not_lost_silently() -> None:
    row = label_studio(result("choices", {"choices": ["Not Humor"]}), data={"text": "p"})
    assert "annotations” of the type choices say nothing" in problem(row)
    assert texts(record(row, columns={"annotations": ""})) == ("p", [])


@pytest.mark.parametrize(
    ("name", "value", "ranks", "scores"),
    [
        ("comparison", "left", (1, 2), None),
        ("vote", {"selected": "right"}, (2, 1), None),
        ("choice", {"choices": ["tie"]}, (1, 1), None),
        ("answer1_rating", [{"rating": 4}], None, (4.0, None)),
    ],
)
def test_the_columns_of_label_studio(name: str, value: Any, ranks: Any, scores: Any) -> None:
    row = {"id": 1, "prompt": "p", "answer1": "a", "answer2": "b", name: value}
    found = judgement({**row, "annotator": 7, "annotation_id": 9, "lead_time": 1.5})
    assert (found.ranks, found.scores, found.annotator, found.seconds) == (ranks, scores, "7", 1.5)


def argilla(*answers: tuple[str, Any, str], **fields: str) -> dict[str, Any]:
    responses: dict[str, list[Any]] = {}
    for question, value, user in answers:
        responses.setdefault(question, []).append({"value": value, "user_id": user, "status": "submitted"})
    fields = fields or {"prompt": "p", "response-1": "a", "response-2": "b"}
    return {"id": "r", "fields": fields, "responses": responses, "metadata": {"split": "test"}}


def test_responses_of_argilla_by_person() -> None:
    found = record(
        argilla(("rank", ["response-2", "response-1"], "u"), ("rank", ["response-1", "response-2"], "v"))
    )
    assert (texts(found), found.split, found.source_id) == (("p", [" a", " b"]), "heldout", "r")
    assert [(each.annotator, each.ranks) for each in found.judgements] == [("u", (2, 1)), ("v", (1, 2))]
    tied = argilla(("rank", [{"value": "response-1", "rank": 1}, {"value": "response-2", "rank": 1}], "u"))
    assert judgement(tied).ranks == (1, 1)
    said = judgement(argilla(("best", "response-2", "u"), ("why", "It is true.", "u")))
    assert (said.ranks, said.comment) == ((2, 1), "It is true.")
    rated = judgement(argilla(("quality", 4, "u"), prompt="p", response="a"))
    assert (rated.kind, rated.scores, rated.scale) == ("score", (4.0,), None)
    assert judgement(argilla(("answer", "Mine", "u"), prompt="p")).text == " Mine"


def test_an_export_of_argilla_to_datasets() -> None:
    row = {"id": "r", "prompt": "p", "response-1": "a", "response-2": "b", "metadata.split": "train"}
    users = {"q.responses": ["response-2", None], "q.responses.users": ["u", "v"]}
    found = record({**row, **users, "q.responses.status": ["submitted", "discarded"]})
    assert [(each.annotator, each.ranks, bool(each.skipped)) for each in found.judgements] == [
        ("u", (2, 1), False),
        ("v", None, True),
    ]
    assert found.split == "train"


def test_rows_of_llama_factory() -> None:
    alpaca = {"instruction": "Add", "input": "1 2", "output": "3"}
    assert texts(record(alpaca)) == ("Add\n\n1 2", [" 3"])
    assert texts(record({**alpaca, "input": "", "history": [["Hi", "Hello"]], "system": "Be kind."})) == (
        "Be kind.\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Add\n\nAssistant:",
        [" 3"],
    )
    assert judgement({**alpaca, "output": ["good", "bad"]}).ranks == (1, 2)
    assert judgement({**alpaca, "kto_tag": False}).scores == (0.0,)
    turns = [{"from": "human", "value": "Hi"}]
    assert record(
        {
            "conversations": turns,
            "chosen": {"from": "gpt", "value": "a"},
            "rejected": {"from": "gpt", "value": "b"},
        }
    ).judgements
    assert judgement({"messages": [USER, BOT], "label": True}).scores == (1.0,)


def test_files_of_openai() -> None:
    outputs = {"preferred_output": [BOT], "non_preferred_output": [{"role": "assistant", "content": "No"}]}
    found = record({"input": {"messages": [USER], "tools": []}, **outputs})
    assert (texts(found), found.judgements[0].ranks) == ((TURNS, [" Hello", " No"]), (1, 2))
    batch = record({"custom_id": "r1", "method": "POST", "url": "/v1", "body": {"messages": [USER]}})
    assert (texts(batch), batch.source_id) == ((TURNS, []), "r1")


# -- Published data sets ----------------------------------------------------------------------------------


def test_answers_of_models_with_scores() -> None:
    completion = {
        "model": "m",
        "response": "a",
        "overall_score": 9.0,
        "annotations": {"truth": {"Rating": "5"}},
    }
    raw = record(
        {"instruction": "p", "completions": [completion, {"model": "n", "response": "b"}], "models": []}
    )
    assert [sample.generator for sample in raw.samples] == ["m", "n"]
    assert (raw.judgements[0].scores, raw.judgements[0].scale) == ((9.0, None), (1.0, 10.0))
    assert raw.judgements[0].criteria == ({"truth": 5.0}, {})
    pair = {
        "prompt": "Hi",
        "prompt_id": "x",
        "chosen": [USER, BOT],
        "rejected": [USER, {**BOT, "content": "No"}],
    }
    scored = record({**pair, "score_chosen": 8.0, "score_rejected": 8.0})
    assert (scored.source_id, scored.judgements[0].ranks) == ("x", (1, 1))
    steel = {"instruction": "p", "generations": ["a", None, "b"], "ratings": [5, None, 1]}
    found = record({**steel, "generation_models": ["m", "n", "o"]})
    assert [sample.generator for sample in found.samples] == ["m", "o"]
    assert (found.judgements[0].scores, found.judgements[0].scale) == ((5.0, 1.0), (1.0, 5.0))


def test_two_answers_with_votes() -> None:
    shp = {
        "post_id": "z",
        "domain": "askcooking_test",
        "history": "p",
        "human_ref_A": "a",
        "human_ref_B": "b",
    }
    found = record({**shp, "labels": 0, "score_A": 1, "score_B": 9})
    assert (found.group, found.split, found.judgements[0].ranks) == ("z", "heldout", (2, 1))
    assert found.judgements[0].scores == (1.0, 9.0)
    web = {"question": {"full_text": "p"}, "answer_0": "a", "answer_1": "b"}
    assert judgement({**web, "score_0": 0.0, "score_1": 0.0}).ranks == (1, 1)
    pku = {
        "prompt": "p",
        "response_0": "a",
        "response_1": "b",
        "better_response_id": 1,
        "safer_response_id": 0,
    }
    found = record({**pku, "response_0_source": "m", "is_response_0_safe": True, "is_response_1_safe": False})
    assert (found.samples[0].generator, found.judgements[0].ranks) == ("m", (2, 1))
    assert found.judgements[0].criteria == (
        {"better": 0.0, "safer": 1.0, "safe": 1.0},
        {"better": 1.0, "safer": 0.0, "safe": 0.0},
    )


@pytest.mark.parametrize(
    ("winner", "ranks", "all_bad"),
    [
        ("model_a", (1, 2), False),
        ("model_b", (2, 1), False),
        ("tie", (1, 1), False),
        ("both_bad", (1, 1), True),
    ],
)
def test_the_winner_of_the_arena(winner: str, ranks: tuple[int, int], all_bad: bool) -> None:
    row = {"conversation_a": [USER, BOT], "conversation_b": [USER, {**BOT, "content": "No"}]}
    found = record(
        {**row, "model_a": "m", "model_b": "n", "judge": "u1", "winner": winner, "question_id": "q"}
    )
    assert [sample.generator for sample in found.samples] == ["m", "n"]
    assert found.judgements == (RecordJudgement(kind="pair", ranks=ranks, all_bad=all_bad, annotator="u1"),)


def test_scores_by_attributes() -> None:
    row = {"prompt": "p", "response": "a", "helpfulness": 3, "correctness": 4, "coherence": 4, "verbosity": 1}
    found = judgement({**row, "complexity": 1})
    assert (found.scores, found.scale) == ((3.0,), (0.0, 4.0))
    strength = {"prompt": "p", "response_1": "a", "response_2": "b", "preference_strength": -2}
    assert (judgement(strength).ranks, judgement(strength).margin) == ((1, 2), 0.666667)


def test_summaries_and_the_choice() -> None:
    info = {"id": "t3", "post": "I fell.", "title": "Oh", "subreddit": "tifu"}
    row = {"info": info, "summaries": [{"text": " Fell", "policy": "sup"}, {"text": " No", "policy": "ref"}]}
    found = record({**row, "choice": 1, "worker": "w", "split": "valid1"})
    assert texts(found) == ("SUBREDDIT: r/tifu\n\nTITLE: Oh\n\nPOST: I fell.\n\nTL;DR:", [" Fell", " No"])
    assert (found.split, found.source_id) == ("heldout", "t3")
    assert (found.judgements[0].ranks, found.judgements[0].annotator) == ((2, 1), "w")
    axes = {"text": " Fell", "axes": {"overall": 6, "accuracy": 7, "coverage": None}}
    scored = judgement({"info": info, "summary": axes, "worker": "w"})
    assert (scored.scores, scored.scale, scored.criteria) == (
        (6.0,),
        (1.0, 7.0),
        ({"overall": 6.0, "accuracy": 7.0},),
    )
    best = judgement({"query": "q", "sample0": "a", "sample1": "b", "sample2": "c", "best": 2})
    assert (best.kind, best.ranks) == ("best", (2, 2, 1))


def test_a_tree_is_every_prompt_in_it() -> None:
    def message(text: str, role: str, **more: Any) -> dict[str, Any]:
        return {"message_id": text, "text": text, "role": role, "replies": [], **more}

    again = message("Again?", "prompter", replies=[message("No", "assistant", rank=None)])
    replies = [
        message("b", "assistant", rank=1, model_name="m"),
        message("a", "assistant", rank=0, replies=[again]),
        message("late", "assistant", rank=None),
        message("gone", "assistant", rank=2, deleted=True),
    ]
    tree = {"message_tree_id": "t", "prompt": message("Hi", "prompter", replies=replies)}
    first, second = records(tree)
    assert texts(first) == (TURNS, [" b", " a"])
    assert (first.judgements[0].ranks, first.samples[0].generator, first.group) == ((2, 1), "m", "Hi")
    assert texts(second) == ("\n\nHuman: Hi\n\nAssistant: a\n\nHuman: Again?\n\nAssistant:", [" No"])


def test_answers_compared_pair_by_pair() -> None:
    row = {"question": "p", **{f"prediction {n}": f"{n}" for n in (1, 2, 3)}, "preference": [0, 1, 2]}
    found = records(row)
    assert [each.judgements[0].ranks for each in found] == [(1, 1), (1, 2), (2, 1)]
    assert {each.group for each in found} == {"1"}


# -- Columns of no tool -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "ranks"),
    [
        ({"response_a": "a", "response_b": "b", "winner": "b"}, (2, 1)),
        ({"response_1": "a", "response_2": "b", "preference": 2}, (2, 1)),
        ({"response_0": "a", "response_1": "b", "preferred": 0}, (1, 2)),
        ({"answer_1": "a", "answer_2": "b", "vote": "tie"}, (1, 1)),
        ({"responses": ["a", "b", "c"], "ranks": [2, 3, 1]}, (2, 3, 1)),
        ({"answers": [{"answer": "a", "rank": 2}, {"answer": "b", "rank": 1}]}, (2, 1)),
    ],
)
def test_a_vote_beside_samples_is_read(row: dict[str, Any], ranks: tuple[int, ...]) -> None:
    assert judgement({"prompt": "p", **row}).ranks == ranks


def test_a_vote_that_names_no_sample_is_refused() -> None:
    row = {"prompt": "p", "response_a": "a", "response_b": "b", "winner": "Bob"}
    assert "“winner” is Bob, which says nothing about response_a, response_b" in problem(row)


def test_columns_are_named_or_refused() -> None:
    rows = [{"question_text": "p", "selected": "a", "rejected": "b", "lang": "en"}] * 2
    with pytest.raises(
        FileProblem, match=r"no column is taken for the prompt: .* --columns prompt=question_text"
    ):
        opened(*rows)
    reader = opened(*rows, columns=parse_columns("prompt=question_text, chosen=selected"))
    assert [texts(each) for each in reader if isinstance(each, Record)] == [("p", ["a", "b"])] * 2
    assert reader.columns_used == {
        "question_text": "prompt",
        "selected": "better sample",
        "rejected": "worse sample",
    }
    assert reader.columns_left_out == ["lang"]
    assert texts(records(*rows, columns={"prompt": ""})[0]) == ("", ["a", "b"])
    with pytest.raises(FileProblem, match="there is no column “nothing”"):
        opened(*rows, columns={"prompt": "nothing"})
    with pytest.raises(FileProblem, match="“favourite” is nothing that a column can be; such are prompt"):
        opened(*rows, columns={"favourite": "selected"})
    with pytest.raises(FileProblem, match=r"the columns “foo”, “bar” are not known"):
        opened({"foo": "a", "bar": "b"})


@pytest.mark.parametrize("text", ["prompt", "=x", "prompt=a,prompt=b"])
def test_a_mapping_of_columns_is_checked(text: str) -> None:
    with pytest.raises(FileProblem, match="columns: "):
        parse_columns(text)


def test_a_format_can_be_named() -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b"}
    assert opened(row, format="trl").format == "trl"
    with pytest.raises(FileProblem, match="not shp: it has the columns “prompt”, “chosen”, “rejected”"):
        opened(row, format="shp")
    with pytest.raises(FileProblem, match="“csv” is not known; choose auto, trl"):
        opened(row, format="csv")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3]}, "ids of tokens"),
        ({"prompt": "p", "chosen": "a", "rejected": "b", "images": ["x"]}, "images or sounds"),
        ({"prompt": "p", "completions": ["a", "b"], "labels": [True, False]}, "labels of single steps"),
        ({"role": "user", "content": "x"}, "each row is one message"),
        (
            {"message_id": "a", "parent_id": "b", "role": "prompter", "text": "x"},
            "single messages of conversation",
        ),
        ({"custom_id": "a", "response": {"body": {}}}, "do not hold the prompts"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(row: Any, says: str) -> None:
    with pytest.raises(FileProblem, match=says):
        opened(row)


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", "train"),
        ("train_prefs", "train"),
        ("test", "heldout"),
        ("validation", "heldout"),
        ("dev", "heldout"),
    ],
)
def test_splits_have_several_names(split: str, expected: str) -> None:
    assert record({"prompt": "p", "split": split}).split == expected
    assert "“split” is sideways: write train or heldout" in problem({"prompt": "p", "split": "sideways"})
