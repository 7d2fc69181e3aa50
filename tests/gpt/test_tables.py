"""Parquet files and folders of `datasets` as corpora."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import Dataset, DatasetDict, disable_progress_bars
from pyarrow import parquet

from tests.gpt.corpus_files import documents, read, write
from training.gpt.errors import InputError

disable_progress_bars()


def parquet_file(
    path: Path, rows: list[Any], *, column: str = "text", kind: pa.DataType | None = None
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"id": list(range(len(rows))), column: pa.array(rows, type=kind)})
    parquet.write_table(table, path, row_group_size=7)
    return path


def texts(count: int, word: str = "row") -> list[str]:
    return [f"{word} {number}" for number in range(count)]


def dataset(rows: list[str]) -> Dataset:
    return Dataset.from_dict({"text": rows, "label": [0] * len(rows)})


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_rows_of_parquet_are_documents(tmp_path: Path, kind: pa.DataType) -> None:
    path = parquet_file(tmp_path / "a.parquet", [*texts(600), None, "two\nlines"], kind=kind)
    assert documents(path) == [*texts(600), "two\nlines"]


def test_the_column_can_be_named(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "a.parquet", texts(3), column="body")
    assert documents(path, field="body") == texts(3)
    with pytest.raises(InputError, match=r"a\.parquet: has no field 'text'; .*there are: id, body"):
        documents(path)
    with pytest.raises(InputError, match=r"a\.parquet, row 1: 'id' holds int, not text"):
        documents(path, field="id")


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    whole = parquet_file(tmp_path / "whole.parquet", texts(1000)).read_bytes()
    with pytest.raises(InputError, match=r"half\.parquet: cannot be read as Parquet .*; copy or download"):
        documents(write(tmp_path / "half.parquet", whole[: len(whole) // 2]))
    middle = whole[:2000] + bytes(500) + whole[2500:]
    with pytest.raises(InputError, match=r"middle\.parquet: cannot be read as Parquet"):
        documents(write(tmp_path / "middle.parquet", middle))


def test_a_folder_of_parquet_files_as_the_hub_lays_them_out_keeps_its_splits(tmp_path: Path) -> None:
    write(tmp_path / "README.md", "# About this data set")
    for number in range(2):
        parquet_file(tmp_path / "data" / f"train-0000{number}-of-00002.parquet", texts(5, f"train {number}"))
    parquet_file(tmp_path / "data" / "validation-00000-of-00001.parquet", texts(2, "validation"))
    parquet_file(tmp_path / "data" / "test-00000-of-00001.parquet", texts(3, "test"))
    reading, found = read(tmp_path)
    assert [file.split for file in reading.files] == ["test", "validation", "train", "train"]
    assert found == [
        *texts(3, "test"), *texts(2, "validation"), *texts(5, "train 0"), *texts(5, "train 1")
    ]  # fmt: skip


def test_a_saved_dataset_is_a_corpus(tmp_path: Path) -> None:
    dataset(texts(600)).save_to_disk(tmp_path / "saved", num_shards=2)
    reading, found = read(tmp_path / "saved")
    assert found == texts(600)
    assert [file.split for file in reading.files] == [None]


def test_a_saved_dataset_dict_keeps_its_splits(tmp_path: Path) -> None:
    splits = {"train": dataset(texts(5)), "test": dataset(texts(2, "test")), "extra": dataset(["extra"])}
    DatasetDict(splits).save_to_disk(tmp_path / "saved")
    reading, found = read(tmp_path / "saved")
    assert [file.split for file in reading.files] == ["test", None]
    assert found == [*texts(2, "test"), *texts(5)]
    assert reading.notes == [
        f"1 files belong to none of the published splits and were left out, such as {tmp_path}/saved/extra",
        "no validation split was published; it was cut from the one for training",
    ]


def test_a_saved_dataset_without_the_column_is_refused(tmp_path: Path) -> None:
    dataset(texts(2)).save_to_disk(tmp_path / "saved")
    with pytest.raises(InputError, match=r"saved: has no field 'body'; .*there are: text, label"):
        documents(tmp_path / "saved", field="body")


def test_a_saved_dataset_dict_that_lacks_a_split_is_named(tmp_path: Path) -> None:
    DatasetDict({"train": dataset(texts(5)), "test": dataset(texts(2))}).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "test").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"saved: is not whole as datasets saved it .*; save it again"):
        documents(tmp_path / "saved")


def test_a_damaged_saved_dataset_is_named(tmp_path: Path) -> None:
    dataset(texts(200)).save_to_disk(tmp_path / "saved")
    (arrow,) = (tmp_path / "saved").glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:100])
    with pytest.raises(InputError, match="saved: cannot be read by datasets"):
        documents(tmp_path / "saved")
