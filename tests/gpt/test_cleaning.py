"""What is done to documents before they are counted."""

import json
import random
import sys
from pathlib import Path

import pytest

from tests.gpt.corpus_files import documents, read, write
from training.gpt.corpus.cleaning import CompactKeySet, normalise
from training.gpt.errors import InputError

MESSY = "  cafe\u0301 \u00a0 au\tlait  \r\nnext \n \n\n  last  \u2003 line\n"


@pytest.mark.parametrize(
    ("how", "clean"),
    [
        ("none", MESSY),
        ("nfc", MESSY.replace("e\u0301", "é")),
        ("space", " café au lait\nnext\n\nlast line\n"),
    ],
)
def test_text_is_tidied_as_asked(how: str, clean: str) -> None:
    assert normalise(MESSY, how) == clean


def test_tidying_twice_changes_nothing_more() -> None:
    rng = random.Random(0)
    for _ in range(300):
        text = "".join(rng.choices("a \n\t\u00a0", k=30))
        once = normalise(text, "space")
        assert normalise(once, "space") == once
        assert "  " not in once
        assert "\n\n\n" not in once
        assert once.split() == text.split()


def test_documents_are_tidied_before_they_are_compared(tmp_path: Path) -> None:
    rows = ["caf\u00e9 au lait", "cafe\u0301  au lait", "tea"]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps({"text": row}) + "\n" for row in rows))
    assert documents(path, normalise="space", drop_duplicates=True) == ["café au lait", "tea"]
    assert documents(path, drop_duplicates=True) == rows


def test_repeated_documents_are_dropped_but_for_the_first(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "b\na\nb\nc\na\n")
    reading, found = read(path, drop_duplicates=True)
    assert found == ["b", "a", "c"]
    assert (reading.documents, reading.dropped_duplicates) == (3, 2)
    assert documents(path) == ["b", "a", "b", "c", "a"]


def test_of_a_document_in_two_published_splits_the_one_held_out_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "leak\nlearned\n")
    write(tmp_path / "valid.txt", "chosen by\n")
    write(tmp_path / "test.txt", "leak\n")
    assert documents(tmp_path, drop_duplicates=True) == ["leak", "chosen by", "learned"]


def test_short_documents_are_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "four\n学而时\nfive5\n")
    reading, found = read(path, min_length=4)
    assert found == ["four", "five5"]
    assert (reading.documents, reading.dropped_short) == (2, 1)
    with pytest.raises(InputError, match=r"a\.txt: holds no text that is as long as min_length asks"):
        documents(path, min_length=6)


def test_seen_knows_what_was_added() -> None:
    rng = random.Random(1)
    keys = [rng.getrandbits(64) for _ in range(60_000)] + [0, 2**64 - 1]
    seen, known = CompactKeySet(), set[int]()
    for key in keys + rng.sample(keys, 5000) + keys[-3:]:
        assert seen.add(key) == (key not in known)
        known.add(key)


def test_seen_takes_little_memory() -> None:
    rng = random.Random(2)
    seen = CompactKeySet()
    for _ in range(300_000):
        seen.add(rng.getrandbits(64))
    used = seen._sorted.nbytes + sys.getsizeof(seen._recent) + sum(map(sys.getsizeof, seen._recent))
    assert used / 300_000 < 20, "bytes for each document"
