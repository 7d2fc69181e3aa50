import gzip
import json
from pathlib import Path

import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import pytest

from training.formats.messages import Message, Role
from training.gpt.errors import InputError
from training.rlhf.feedback.preference_files import preferences_and_notes, read_preferences
from training.rlhf.feedback.preferences import Comparison, Rating

GOOD = '{"prompt": "p", "chosen": " a", "rejected": " b"}'


def write(folder: Path, *lines: str) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_it_reads_pairs_with_and_without_the_optional_fields(tmp_path: Path) -> None:
    full = (
        '{"prompt": "p", "chosen": "a", "rejected": "b",'
        ' "tie": true, "margin": 1, "group": "g", "annotator": "ann", "choice": "closeness"}'
    )
    assert read_preferences(write(tmp_path, GOOD, "", full, '{"chosen": "x", "rejected": "y"}')) == (
        [
            Comparison(prompt="p", chosen=" a", rejected=" b"),
            Comparison(
                prompt="p",
                chosen="a",
                rejected="b",
                tie=True,
                margin=1.0,
                group="g",
                annotator="ann",
                choice="closeness",
            ),
            Comparison(prompt="", chosen="x", rejected="y"),
        ],
        [],
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"prompt": "p", "chosen": "a"', "not JSON"),
        ('["a", "b"]', "neither an object nor a text"),
        ('{"prompt": "p", "chosen": "a"}', "no “rejected”"),
        ('{"prompt": 3, "chosen": "a", "rejected": "b"}', "“prompt” is not a string"),
        ('{"chosen": "a", "rejected": "b", "margin": "much"}', "“margin” is much, not a finite number"),
        ('{"chosen": "a", "rejected": "b", "margin": NaN}', "“margin” is NaN, not a finite number"),
        ('{"chosen": "a", "rejected": "b", "margin": 1e300}', "“margin” is 1e+300, more than 10,000"),
        ('{"chosen": "a", "rejected": "b", "margin": -0.5}', "“margin” is below 0"),
        ('{"chosen": "a", "rejected": "b", "tie": 2}', "“tie” is 2, neither true nor false"),
        ('{"chosen": "", "rejected": ""}', "“chosen” is empty, and so is “rejected”"),
        ('{"prompt": "p", "completion": "a"}', "nobody judged it"),
        ('{"completion": "a", "label": 3}', "“label” is 3: write true for good"),
        ('{"completion": "a", "score": 4}', "“score” is 4, not a number from 0 to 1"),
        ('{"completion": "a", "score": 9, "scale": [1, 5]}', "“score” is 9, not a number from 1 to 5"),
        ('{"completion": "a", "score": 1, "criteria": {"kind": "x"}}', "“kind” is x, not a finite number"),
        ('{"completion": "a", "score": 1, "criteria": [1]}', "“criteria” is not an object"),
        ('{"question_text": "p", "chosen": "a", "rejected": "b"}', "--columns prompt=question_text"),
        (
            '{"chosen": [{"role": "judge", "content": "a"}], "rejected": []}',
            '“chosen”: message 1 has the unknown role "judge"',
        ),
        ('{"chosen": [{"role": "user", "content": "a"}], "rejected": []}', "“rejected”: the conversation is"),
        (
            '{"prompt": "p", "chosen": [{"role": "user", "content": "a"}], "rejected": "b"}',
            "“chosen” does not answer",
        ),
    ],
)
def test_a_malformed_line_is_named_with_its_number(tmp_path: Path, line: str, says: str) -> None:
    path = write(tmp_path, *[GOOD] * 6, line, GOOD)
    with pytest.raises(InputError) as error:
        read_preferences(path)
    message = str(error.value)
    assert message.startswith(f"{path}, row 7: ")
    assert says in message
    assert "\n" not in message


def test_bytes_that_are_not_utf_8_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(GOOD.encode() + b'\n{"chosen": "caf\xe9", "rejected": "b"}\n')
    with pytest.raises(InputError, match=r"line 2 is not UTF-8; it looks like .*: save the file as UTF-8"):
        read_preferences(path)


def test_an_empty_and_a_missing_file_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pairs\.jsonl: no comparison"):
        read_preferences(write(tmp_path, ""))
    with pytest.raises(InputError, match=r"none\.jsonl: No such file"):
        read_preferences(tmp_path / "none.jsonl")


def test_a_file_may_be_gzipped_and_may_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD.encode()))
    assert read_preferences(path)[0] == [Comparison(prompt="p", chosen=" a", rejected=" b")]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"pairs\.jsonl\.gz: is damaged"):
        read_preferences(path)


def test_scores_and_labels_are_ratings(tmp_path: Path) -> None:
    lines = [
        {"prompt": "p", "completion": "a", "score": 0.75, "criteria": {"kind": 1}, "group": "g"},
        {"completion": "b", "label": False, "annotator": "ann"},
    ]
    assert read_preferences(write(tmp_path, *map(json.dumps, lines))) == (
        [],
        [
            Rating(prompt="p", completion="a", score=0.75, criteria={"kind": 1.0}, group="g"),
            Rating(prompt="", completion="b", score=0.0, annotator="ann"),
        ],
    )


def message(role: Role, content: str) -> Message:
    return {"role": role, "content": content}


def test_messages_become_turns_whether_the_prompt_is_apart_or_not(tmp_path: Path) -> None:
    asked = [message("system", "Be kind."), message("user", "Hi"), message("assistant", "Hello")]
    asked.append(message("user", "Sing"))
    good, bad = message("assistant", "la la"), message("assistant", "no")
    apart = {"prompt": asked, "chosen": [good], "rejected": [bad]}
    whole = {"chosen": [*asked, good], "rejected": [*asked, bad]}
    expected = Comparison(
        prompt="Be kind.\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Sing\n\nAssistant:",
        chosen=" la la",
        rejected=" no",
        messages=tuple(asked),
    )
    path = write(tmp_path, json.dumps(apart), json.dumps(whole))
    assert read_preferences(path) == ([expected] * 2, [])


def test_whole_dialogues_share_a_prompt(tmp_path: Path) -> None:
    asked = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Sing\n\nAssistant:"
    pair = {"chosen": f"{asked} la la", "rejected": f"{asked} no"}
    later = {"chosen": f"{asked} la la\n\nHuman: More\n\nAssistant: no", "rejected": f"{asked} la"}
    plain = {"chosen": "la la", "rejected": "la"}
    messages = (message("user", "Hi"), message("assistant", "Hello"), message("user", "Sing"))
    assert read_preferences(write(tmp_path, *map(json.dumps, (pair, later, plain))))[0] == [
        Comparison(prompt=asked, chosen=" la la", rejected=" no", messages=messages),
        Comparison(
            prompt=asked,
            chosen=" la la\n\nHuman: More\n\nAssistant: no",
            rejected=" la",
            messages=messages,
        ),
        Comparison(prompt="", chosen="la la", rejected="la"),
    ]


def test_a_conversation_is_rated_whole_or_with_its_completion_apart(tmp_path: Path) -> None:
    asked, answer = [message("user", "Hi")], message("assistant", "Hello")
    lines: list[dict[str, object]] = [
        {"messages": [*asked, answer], "label": True},
        {"conversations": [*asked, answer], "score": 1.0, "completion": None},
        {"prompt": asked, "completion": [answer], "label": True},
        {"prompt": "Hi", "completion": answer, "label": True},
        {"completion": "\n\nHuman: Hi\n\nAssistant: Hello", "label": True},
    ]
    assert read_preferences(write(tmp_path, *map(json.dumps, lines)))[1] == [
        Rating(
            prompt="\n\nHuman: Hi\n\nAssistant:",
            completion=" Hello",
            score=1.0,
            messages=(message("user", "Hi"),),
        )
    ] * len(lines)


def test_held_out_rows_are_not_trained_on_and_notes_say_what_was_made_of_a_file(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "chosen": "a", "rejected": "b", "split": split, "lang": "en"}
        for split in ("train", "heldout", "test", None)
    ]
    comparisons, _, notes = preferences_and_notes(write(tmp_path, *map(json.dumps, rows)))
    assert len(comparisons) == 2
    assert "read as trl (preference): prompt (prompt), chosen (better sample)" in str(notes)
    assert "columns left out: lang; 2 held-out rows are not trained on" in str(notes)
    with pytest.raises(InputError, match="every row is held out"):
        read_preferences(write(tmp_path, json.dumps(rows[1])))


def test_columns_of_any_name_are_mapped(tmp_path: Path) -> None:
    path = write(tmp_path, '{"conversation_so_far": "p", "selected": " a", "rejected": " b"}')
    columns = "prompt=conversation_so_far,chosen=selected"
    assert read_preferences(path, columns=columns)[0] == [Comparison(prompt="p", chosen=" a", rejected=" b")]
    with pytest.raises(InputError, match="there is no column “question”"):
        read_preferences(path, columns="prompt=question")


def test_a_table_and_parquet_are_read_as_json_lines_are(tmp_path: Path) -> None:
    expected = read_preferences(write(tmp_path, GOOD, GOOD.replace(" a", " c")))
    table = pyarrow.json.read_json(tmp_path / "pairs.jsonl")
    pyarrow.csv.write_csv(table, tmp_path / "pairs.csv")
    pyarrow.parquet.write_table(table, tmp_path / "pairs.parquet")
    assert read_preferences(tmp_path / "pairs.csv") == expected
    assert read_preferences(tmp_path / "pairs.parquet") == expected


def test_rankings_scores_and_answers_of_tools_become_examples(tmp_path: Path) -> None:
    ranked = {"prompt": "p", "responses": ["a", "b", "c"], "ranks": [2, 1, 2], "annotator": "ann"}
    comparisons, _ = read_preferences(write(tmp_path, json.dumps(ranked)))
    pairs = [(each.chosen, each.rejected, each.tie, each.group) for each in comparisons]
    assert pairs == [
        ("b", "a", False, "row 1"),
        ("a", "c", True, "row 1"),
        ("b", "c", False, "row 1"),
    ]
    scored = {"instruction": "p", "generations": ["a", "b"], "ratings": [5, 2]}
    _, ratings = read_preferences(write(tmp_path, json.dumps(scored)))
    assert [(each.completion, each.score, each.group) for each in ratings] == [
        (" a", 1.0, "row 1"),
        (" b", 0.25, "row 1"),
    ]
    sides = {
        f"conversation_{name}": [message("user", "Hi"), message("assistant", name)] for name in ("a", "b")
    }
    good = {**sides, "winner": "model_b"}
    comparisons, _ = read_preferences(
        write(tmp_path, json.dumps({**good, "winner": "both_bad"}), json.dumps(good))
    )
    assert [(each.chosen, each.rejected) for each in comparisons] == [(" b", " a")]


def test_at_most_twenty_problems_are_listed(tmp_path: Path) -> None:
    bad = GOOD.replace('" a"', "3")
    with pytest.raises(InputError) as error:
        read_preferences(write(tmp_path, GOOD, *[bad] * 30))
    lines = str(error.value).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith(f"{tmp_path / 'pairs.jsonl'}, row 2: “chosen” is not a string")
    assert lines[-1] == "… and 10 more."
