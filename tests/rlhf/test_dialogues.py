import gzip
import json
from pathlib import Path

import pytest

from training.formats.messages import Message
from training.gpt.errors import InputError
from training.rlhf.feedback.dialogue_splits import first_turn, split_by_first_turn
from training.rlhf.feedback.preference_files import read_dialogues
from training.rlhf.feedback.preferences import Comparison

MESSAGES: tuple[Message, ...] = (
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi"},
    {"role": "user", "content": "And?"},
)
HELLO = "\n\nHuman: Hello\n\nAssistant: Hi\n\nHuman: And?\n\nAssistant:"


def written(path: Path, *rows: object) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_what_both_share_up_to_the_last_answer_is_the_prompt(tmp_path: Path, name: str) -> None:
    path = written(
        tmp_path / name,
        {"chosen": HELLO + " Yes.", "rejected": HELLO + " Yes? No."},
        {"chosen": HELLO + " same", "rejected": HELLO + " same"},
    )
    assert read_dialogues(path) == [Comparison(HELLO, " Yes.", " Yes? No.", messages=MESSAGES)]


def test_one_that_breaks_off_where_the_other_goes_on_is_a_completion_too(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", {"chosen": HELLO + " Yes", "rejected": HELLO})
    assert read_dialogues(path) == [Comparison(HELLO, " Yes", "", messages=MESSAGES)]


def test_dialogues_that_part_early_keep_the_turns_after_it(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.jsonl",
        {
            "chosen": "\n\nHuman: A\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
            "rejected": "\n\nHuman: A\n\nAssistant: x",
        },
    )
    assert read_dialogues(path) == [
        Comparison(
            "\n\nHuman: A\n\nAssistant:",
            " b\n\nHuman: c\n\nAssistant: d",
            " x",
            messages=({"role": "user", "content": "A"},),
        )
    ]


def test_the_first_turn_is_what_the_person_said_first() -> None:
    assert first_turn(HELLO) == "Hello"
    assert first_turn("\n\nHuman: two\n\nlines\n\nHuman: more\n\nAssistant:") == "two\n\nlines"
    assert first_turn(" no turns ") == "no turns"


def test_no_first_turn_is_on_both_sides_and_every_pair_is_held_out_once() -> None:
    pairs = [
        Comparison(f"\n\nHuman: {number // 3}\n\nAssistant: {number}\n\nHuman: on\n\nAssistant:", "a", "b")
        for number in range(90)
    ]
    seen: list[Comparison] = []
    for fold in range(5):
        train, heldout = split_by_first_turn(pairs, fold=fold, folds=5, seed=1)
        assert train
        assert heldout
        sides = [{first_turn(pair.prompt) for pair in side} for side in (train, heldout)]
        assert not sides[0] & sides[1]
        assert len(train) + len(heldout) == 90
        seen += heldout
    assert sorted(map(repr, seen)) == sorted(map(repr, pairs))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"chosen": "plain text", "rejected": "plain words"}, ": not every line is a pair of dialogues"),
        ({"chosen": HELLO, "rejected": "\n\nHuman: Bye"}, ", row 2: “rejected” does not answer anything"),
        (
            {"chosen": HELLO, "rejected": "\n\nHuman: Bye\n\nAssistant: So"},
            ", row 2: .* no common beginning",
        ),
        ({"chosen": HELLO, "rejected": "Bye"}, ", row 2: “rejected” does not answer anything"),
    ],
)
def test_pairs_that_share_no_answered_turn_are_refused(tmp_path: Path, row: object, says: str) -> None:
    path = written(tmp_path / "a.jsonl", {"chosen": HELLO + " 1", "rejected": HELLO + " 2"}, row)
    with pytest.raises(InputError, match=rf"a\.jsonl{says}"):
        read_dialogues(path)


def test_pairs_that_do_not_differ_are_no_comparisons(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", {"chosen": HELLO + " 1", "rejected": HELLO + " 1"})
    with pytest.raises(InputError, match="not every line is a pair of dialogues"):
        read_dialogues(path)
