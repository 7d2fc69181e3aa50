"""Which files a corpus is made of."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.gpt.corpus_files import documents, read, write
from training.gpt.corpus.sources import split_from_name, split_source
from training.gpt.errors import InputError


def splits(source: object, **options: Any) -> dict[str, str | None]:
    return {Path(str(file)).name: file.split for file in read(source, **options)[0].files}


def test_several_files_can_be_named(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.pos", "good"), write(tmp_path / "two.neg", "bad")
    assert documents(f"{one}, {two},") == ["good", "bad"]


def test_a_path_may_hold_commas(tmp_path: Path) -> None:
    path = write(tmp_path / "a, b.txt", "text")
    assert split_source(f" {path} ") == [str(path)]
    assert documents(path) == ["text"]


def test_a_path_may_begin_with_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "a.txt", "text")
    assert documents("~/a.txt") == ["text"]


def test_a_folder_stands_for_its_text_files_however_deep(tmp_path: Path) -> None:
    write(tmp_path / "b.md", "b")
    write(tmp_path / "a" / "deep" / "a.TXT", "a")
    write(tmp_path / "c.jsonl", '{"text": "c"}')
    write(tmp_path / ".cache" / "d.txt", "hidden")
    write(tmp_path / "e.csv", "e")
    assert documents(tmp_path) == ["a", "b", "c"]


def test_files_about_the_corpus_are_not_of_it(tmp_path: Path) -> None:
    for name in ("README.md", "LICENSE.txt", "a.txt"):
        write(tmp_path / name, name)
    assert documents(tmp_path) == ["a.txt"]
    (tmp_path / "a.txt").unlink()
    assert documents(tmp_path) == ["LICENSE.txt", "README.md"]


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such file or folder; .* are stories, wikitext-2"):
        documents(tmp_path / "nowhere")


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no text that can be read \(\.txt, .*; name the files"):
        documents(tmp_path)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00002.parquet", "train"),
        ("wiki.valid.tokens", "validation"),
        ("data/validation-00000-of-00001.parquet", "validation"),
        ("Test.jsonl", "test"),
        ("dev.txt", "validation"),
        ("pos_train.txt", "train"),
        ("aclImdb/test/pos/1_10.txt", "test"),
        ("train/test.txt", "test"),
        ("trains.txt", None),
        ("contest.txt", None),
        ("chapter-1.txt", None),
    ],
)
def test_names_tell_splits(name: str, split: str | None) -> None:
    assert split_from_name(name) == split


def test_published_splits_are_kept(tmp_path: Path) -> None:
    for name in ("train.txt", "valid.txt", "test.txt"):
        write(tmp_path / name, f"{name}\nand more\n")
    assert splits(tmp_path) == {"train.txt": "train", "valid.txt": "validation", "test.txt": "test"}
    one_by_one = ",".join(str(tmp_path / name) for name in ("train.txt", "valid.txt"))
    assert splits(one_by_one) == {"train.txt": "train", "valid.txt": "validation"}


def test_published_splits_in_an_archive_are_kept(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("set/train.txt", "a")
        archive.writestr("set/test.txt", "b")
    reading, found = read(tmp_path / "set.zip")
    assert [file.split for file in reading.files] == ["test", None]
    assert found == ["b", "a"]


def test_one_split_alone_is_a_corpus_like_any_other(tmp_path: Path) -> None:
    assert splits(write(tmp_path / "valid.txt", "a\nb")) == {"valid.txt": None}
    assert splits(tmp_path) == {"valid.txt": None}
    write(tmp_path / "test.txt", "c\nd")
    assert splits(tmp_path) == {"test.txt": None, "valid.txt": None}


def test_the_folders_above_do_not_tell_splits(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "test"
    write(folder / "a.txt", "a\nb")
    assert splits(folder) == {"a.txt": None}


def test_published_splits_can_be_ignored(tmp_path: Path) -> None:
    for name in ("train.txt", "valid.txt", "other.txt"):
        write(tmp_path / name, f"{name}\nand more\n")
    assert set(splits(tmp_path, holdout="documents").values()) == {None}
    assert "other.txt" in splits(tmp_path, holdout="documents")
    assert "other.txt" not in splits(tmp_path)
