"""Containers: rows of every kind of file, whatever it is called."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from training.formats.reader import read_records
from training.formats.records import Record
from training.formats.rows import FileProblem, Problem

ROWS: list[dict[str, Any]] = [
    {"prompt": "What is up?", "chosen": " The sky, über all.", "rejected": " Down"},
    {"prompt": "Two\nlines, “quoted”", "chosen": " yes;\tno", "rejected": ' "no"'},
    {"prompt": "line\u2028sep \f feed", "chosen": " 天空", "rejected": " 🙂"},
]


def json_lines(rows: list[dict[str, Any]] = ROWS) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table(delimiter: str, end: str = "\n") -> bytes:
    lines = [delimiter.join(ROWS[0])]
    lines += [delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row.values()) for row in ROWS]
    return (end.join(lines) + end).encode()


def arrow(*, as_stream: bool) -> bytes:
    sink, rows = io.BytesIO(), pa.Table.from_pylist(ROWS)
    new = pa.ipc.new_stream if as_stream else pa.ipc.new_file
    with new(sink, rows.schema) as writer:
        writer.write(rows)
    return sink.getvalue()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


def zipped(**members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return sink.getvalue()


def pretty() -> bytes:
    return "\n".join(json.dumps(row, indent=2) for row in ROWS).encode()


CONTENTS: dict[str, Callable[[], bytes]] = {
    "lines": json_lines,
    "carriage returns": lambda: json_lines().replace(b"\n", b"\r"),
    "both line ends": lambda: json_lines().replace(b"\n", b"\r\n"),
    "blank lines": lambda: b"\n\n" + json_lines().replace(b"\n", b"\n \n"),
    "byte order mark": lambda: b"\xef\xbb\xbf" + json_lines(),
    "UTF-16": lambda: json_lines().decode().encode("utf-16"),
    "UTF-16 without a mark": lambda: json_lines().decode().encode("utf-16-le"),
    "array": lambda: json.dumps(ROWS).encode(),
    "indented array": lambda: json.dumps(ROWS, indent=2).encode(),
    "objects one after another": pretty,
    "wrapper of the viewer": lambda: json.dumps(
        {"features": [{"name": "prompt"}], "rows": [{"row_idx": 0, "row": row} for row in ROWS], "n": 3}
    ).encode(),
    "wrapper with data": lambda: json.dumps({"version": 1, "data": ROWS}, indent=1).encode(),
    "commas": lambda: table(","),
    "semicolons": lambda: b"\xef\xbb\xbf" + table(";", "\r\n"),
    "tabs": lambda: table("\t"),
    "named separator": lambda: b"sep=;\n" + table(";"),
    "Parquet": parquet,
    "Arrow file": lambda: arrow(as_stream=False),
    "Arrow stream": lambda: arrow(as_stream=True),
    "gzip": lambda: gzip.compress(json_lines()),
    "gzip of Parquet": lambda: gzip.compress(parquet()),
    "Zstandard": lambda: pa.compress(json_lines(), "zstd", asbytes=True),
    "zip": lambda: zipped(a__jsonl=json_lines(ROWS[:1]), b__jsonl=json_lines(ROWS[1:])),
    "zip of Parquet": lambda: zipped(a__parquet=parquet()),
}
NAMES = ("", "rows", "rows.jsonl", "rows.JSON", "rows.csv.gz", "rows.parquet", "rows.txt")


class Unseekable(io.BytesIO):
    """A stream such as an upload or the standard input."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise io.UnsupportedOperation


def triples(source: Path | BinaryIO, **options: Any) -> list[dict[str, Any]]:
    entries = list(read_records(source, **options))
    assert all(isinstance(each, Record) for each in entries), entries
    return [
        {"prompt": each.prompt.text, "chosen": each.samples[0].text, "rejected": each.samples[1].text}
        for each in cast(list[Record], entries)
    ]


def problems(source: bytes, **options: Any) -> list[str]:
    return [str(each) for each in read_records(io.BytesIO(source), **options) if isinstance(each, Problem)]


@pytest.mark.parametrize("what", CONTENTS)
def test_the_content_says_what_a_file_is(what: str, tmp_path: Path) -> None:
    content = CONTENTS[what]()
    (tmp_path / "rows").write_bytes(content)
    assert triples(tmp_path / "rows") == ROWS
    assert triples(cast(BinaryIO, Unseekable(content))) == ROWS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ["lines", "array", "Parquet", "gzip"])
def test_a_wrong_name_does_not_matter(what: str, name: str) -> None:
    assert triples(io.BytesIO(CONTENTS[what]()), name=name) == ROWS


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_another_encoding_is_guessed_and_must_be_named(encoding: str) -> None:
    content = "prompt;chosen;rejected\nCafé à la crème;élan vital;naïveté\n".encode(encoding)
    with pytest.raises(FileProblem, match=r"line 2 is not UTF-8; it looks like .* --encoding cp1252"):
        read_records(io.BytesIO(content), name="a.csv")
    [row] = triples(io.BytesIO(content), name="a.csv", encoding=encoding)
    assert row["prompt"] == "Café à la crème"


def test_a_data_set_saved_to_disk_keeps_its_splits(tmp_path: Path) -> None:
    rows = Dataset.from_list(ROWS)
    rows.save_to_disk(str(tmp_path / "one"))
    DatasetDict({"train": rows, "test": rows}).save_to_disk(str(tmp_path / "both"))
    assert triples(tmp_path / "one") == ROWS
    splits = [each.split for each in read_records(tmp_path / "both") if isinstance(each, Record)]
    assert splits == ["train"] * 3 + ["heldout"] * 3


def test_a_folder_of_shards_is_read_in_order_with_the_splits_of_its_names(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "validation-0.parquet"):
        (data / name).write_bytes(parquet())
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / ".gitattributes").write_text("*.parquet filter=lfs")
    splits = [each.split for each in read_records(tmp_path) if isinstance(each, Record)]
    assert splits == ["train"] * 6 + ["heldout"] * 3
    (tmp_path / "none").mkdir()
    with pytest.raises(FileProblem, match="a folder without rows"):
        read_records(tmp_path / "none")


def test_a_folder_of_several_data_sets_asks_for_one_of_them(tmp_path: Path) -> None:
    for name in ("preferences", "prompts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.parquet").write_bytes(parquet())
    card = "---\nconfigs:\n- config_name: preferences\n- config_name: prompts\n---\n"
    (tmp_path / "README.md").write_text(card)
    with pytest.raises(FileProblem, match="give one of its folders, preferences, prompts"):
        read_records(tmp_path)
    assert triples(tmp_path / "preferences") == ROWS


def test_a_wrapper_by_split_gives_the_splits() -> None:
    content = json.dumps({"train": ROWS[:1], "test": ROWS[1:]}).encode()
    splits = [each.split for each in read_records(io.BytesIO(content)) if isinstance(each, Record)]
    assert splits == ["train", "heldout", "heldout"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"%PDF-1.4", "is a PDF"),
        (zipped(**{"[Content_Types]__xml": b""}), "is a spreadsheet workbook"),
        (b"BZh91AY", "compressed with bzip2: unpack it"),
        (b"\x80\x04\x95", "a Python pickle"),
        (parquet()[:-12], "is damaged, or not Parquet"),
        (b"Hello,World\na,b\n", "a table needs a header"),
        (b"prompt,prompt\na,b\n", "two columns are named “prompt”"),
    ],
)
def test_what_holds_no_rows_is_refused_by_name(content: bytes, says: str) -> None:
    with pytest.raises(FileProblem, match=says):
        list(read_records(io.BytesIO(content), name="rows.csv"))


GOOD = b'{"prompt": "a"}\n'


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (GOOD + b'{"prompt": "b"', "row 2: not JSON: it ends in the middle"),
        (GOOD + b'{"prompt": "b",}\n' + GOOD, "row 2: not JSON: a comma before the closing bracket"),
        (GOOD + b"[1, 2]\n", "row 2: is neither an object nor a text"),
        (GOOD + b'{"prompt": ' + b"[" * 99_999 + b"]" * 99_999 + b"}\n", "row 2: is nested too deeply"),
        (GOOD + b'{"prompt": "b", "n": ' + b"9" * 5000 + b"}\n", "row 2: holds a number of too many digits"),
        (GOOD * 9000 + b'{"prompt": "caf\xe9"}\n', "row 9,001: is not UTF-8"),
        (GOOD + b'{"prompt": "b\\u0000"}\n', "row 2: “prompt” holds a NUL character"),
        (GOOD + b'{"prompt": [{"role": "user", "content": "\\uDC00"}]}\n', "row 2: “prompt” holds half"),
        (GOOD + b'{"prompt": null}\n', "row 2: is empty"),
        (b'[{"prompt": "a"}, {"prompt": "b"}', "row 3: the array is not closed"),
        (b'[{"prompt": "a"} {"prompt": "b"}]', "row 2: not JSON: no comma between this row"),
        (b'[{"prompt": "a"}, {"prompt": ' + b"[" * 99_999, "row 2: is nested too deeply"),
        (b'{"prompt": ["a", "b"], "chosen": ["c", "d"]}', "row 1: is a whole table by columns"),
        (b'{"prompt": {"0": "a"}, "chosen": {"0": "c"}}', "row 1: is a whole table by columns"),
        (b'{"rows": [{"row": {"prompt": "a"}, "truncated_cells": ["prompt"]}]}', "cells that were cut short"),
        (gzip.compress(GOOD * 9000)[:-90], "is damaged or cut off after row"),
        (pa.compress(GOOD * 30_000, "zstd", asbytes=True)[:-9], "is damaged or cut off after row"),
        (b'prompt,chosen\n"a,b\nc,d\n', "row 2: unexpected end of data: is a quotation mark not closed?"),
        (b"prompt,chosen,rejected\na,b\n", "row 2: 2 cells, but the header has 3"),
    ],
)
def test_damage_is_named_with_its_row(content: bytes, says: str) -> None:
    found = problems(content)
    assert len(found) == 1
    assert says in found[0]
    assert found[0].endswith((".", "read."))


def test_plain_text_is_prompts_by_line_or_by_block() -> None:
    text = "\ufeffFirst\x0cpage\u2028still first\r\n\r\nSecond\rThird  \n".encode()
    by_line = [each.prompt.text for each in read_records(io.BytesIO(text)) if isinstance(each, Record)]
    assert by_line == ["First\x0cpage\u2028still first", "Second", "Third"]
    blocks = read_records(io.BytesIO(text), paragraphs="blocks")
    assert [each.prompt.text for each in blocks if isinstance(each, Record)] == [
        "First\x0cpage\u2028still first",
        "Second\nThird",
    ]


@pytest.mark.parametrize(
    "text", ['"Hello," she said.\nAnd so', "{name} went home\nAnd so", "[sigh] Oh\nAnd so"]
)
def test_a_prompt_may_begin_as_json_does(text: str) -> None:
    found = [each.prompt.text for each in read_records(io.BytesIO(text.encode())) if isinstance(each, Record)]
    assert found == text.split("\n")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1), min_size=1))
def test_any_text_comes_through_json(texts: list[str]) -> None:
    rows = [{"id": str(n), "prompt": "p", "chosen": text, "rejected": "r"} for n, text in enumerate(texts)]
    expected = [row["chosen"] for row in rows]
    for content in (json_lines(rows), json.dumps(rows).encode(), json.dumps(rows, indent=1).encode("utf-16")):
        assert [row["chosen"] for row in triples(io.BytesIO(content))] == expected


def test_a_long_array_is_read_piece_by_piece() -> None:
    row = {"prompt": "p" * 3000, "chosen": "é" * 3000, "rejected": "r"}
    content = json.dumps([row] * 400).encode()
    assert triples(io.BytesIO(content)) == [row] * 400
