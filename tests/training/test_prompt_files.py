"""Files of prompts: any format, all or nothing, in the split that the file says."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from labeling.models import Project
from tests.labeling.objects import make_project
from training.project_setup import read_prompts

pytestmark = pytest.mark.django_db

TEXTS = ["Write about the sea.", "Write about the moon.", "Write about the mill."]


def added(path: Path, content: bytes, **options: Any) -> dict[str, str]:
    """The prompts of a project with the file's, and their splits."""
    project = make_project(slug="sea")
    path.write_bytes(content)
    call_command("add_prompts", "sea", file=path, **{"heldout": 0.0, **options})
    return dict(Project.objects.get(pk=project.pk).prompts.values_list("text", "split"))


ROWS = [{"prompt": text} for text in TEXTS]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "\ufeff".encode() + "\r\n".join(TEXTS).encode()),
        ("a.txt", "\n".join(TEXTS).encode("utf-16")),
        ("a.jsonl", LINES),
        ("A.JSONL", b"\xef\xbb\xbf" + LINES),
        ("a.ndjson", LINES),
        ("a.json", json.dumps(ROWS, indent=1).encode()),
        ("a.json", json.dumps(TEXTS).encode()),
        ("a.csv", ("prompt\n" + "\n".join(TEXTS)).encode()),
        ("a.tsv", ("id\tquestion\n" + "\n".join(f"{n}\t{text}" for n, text in enumerate(TEXTS))).encode()),
        ("a.jsonl.gz", gzip.compress(LINES)),
    ],
)
def test_a_file_of_prompts_may_be_of_any_kind(tmp_path: Path, name: str, content: bytes) -> None:
    assert list(added(tmp_path / name, content)) == TEXTS


def test_the_split_of_the_file_is_kept(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "split": "test"}, {"prompt": "b", "split": "train"}, {"prompt": "c"}]
    content = json.dumps(rows).encode()
    assert added(tmp_path / "a.json", content) == {"a": "heldout", "b": "train", "c": "train"}


def test_answers_are_left_out_and_columns_can_be_named(tmp_path: Path) -> None:
    rows = [
        {"task_text": "a", "chosen": "x", "rejected": "y"},
        {"task_text": "b", "chosen": "x", "rejected": "z"},
    ]
    content = json.dumps(rows).encode()
    assert list(added(tmp_path / "a.json", content, columns="prompt=task_text")) == ["a", "b"]


def test_a_bad_row_leaves_nothing_behind(tmp_path: Path) -> None:
    content = LINES + b'{"prompt": "bad\\u0000one"}\n' + b'{"prompt": ""}\n'
    with pytest.raises(CommandError) as error:
        added(tmp_path / "a.jsonl", content)
    first, second = str(error.value).splitlines()
    assert first == f"{tmp_path / 'a.jsonl'}, row 4: “prompt” holds a NUL character: remove it."
    assert "row 5: “prompt” is empty" in second
    assert not Project.objects.get(slug="sea").prompts.exists()


def test_another_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"line 1 is not UTF-8; .* --encoding cp1252"):
        added(tmp_path / "a.txt", "Café à la crème, déjà vu\n".encode("cp1252"))
    assert [each.prompt.text for each in read_prompts(tmp_path / "a.txt", encoding="cp1252")] == [
        "Café à la crème, déjà vu"
    ]
