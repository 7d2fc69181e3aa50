"""What one document is, in files of each format."""

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from tests.gpt.corpus_files import documents, read, shared, write
from training.gpt.config import CorpusConfig
from training.gpt.corpus.corpus_reader import CorpusReader
from training.gpt.corpus.shards import Spool
from training.gpt.corpus.sources import find_files
from training.gpt.errors import InputError


def test_stories_are_built_in() -> None:
    assert len(documents("stories", stories=30)) == 30


def test_stories_can_stand_beside_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one\ntwo\n")
    assert documents(f"stories, {path}", stories=3)[3:] == ["one", "two"]


def test_lines_are_documents_where_nothing_parts_them(tmp_path: Path) -> None:
    assert documents(write(tmp_path / "lines.txt", "one\r\ntwo \r\nthree\n")) == ["one", "two", "three"]


def test_a_stray_blank_line_does_not_make_paragraphs(tmp_path: Path) -> None:
    path = write(tmp_path / "lines.txt", "line\n" * 30 + "\n" + "line\n" * 30)
    assert len(documents(path)) == 60


def test_paragraphs_are_documents_where_blank_lines_part_them(tmp_path: Path) -> None:
    path = write(tmp_path / "verse.txt", "\na\nb\n\n\nc\n \nd\n")
    assert documents(path) == ["a\nb", "c", "d"]


def test_many_files_are_a_document_each(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / f"{number}.txt", f"first {number}\nsecond")
    write(tmp_path / "picture.png", b"\x89PNG\x00")
    assert documents(tmp_path) == [f"first {number}\nsecond" for number in range(10)]


@pytest.mark.parametrize(("kind", "count"), [("line", 3), ("paragraph", 2), ("file", 1)])
def test_the_kind_of_document_can_be_chosen(tmp_path: Path, kind: str, count: int) -> None:
    assert len(documents(write(tmp_path / "a.txt", "a\nb\n\nc"), documents=kind)) == count


def test_lines_longer_than_what_is_read_at_once_stay_whole(tmp_path: Path) -> None:
    long = "word " * 150_000 + "end"
    assert documents(write(tmp_path / "a.txt", f"{long}\nshort\n{long}")) == [long, "short", long]


def test_latin_1_line_separators_are_not_line_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "reviews", b"caf\xe9 \x85 bar\nnext")
    assert documents(path, encoding="latin-1") == ["café \x85 bar", "next"]


def test_rows_of_json_lines_are_documents(tmp_path: Path) -> None:
    rows = [
        {"text": "two\nlines"},
        {"text": "  é 🙂 "},
        {"text": ""},
        {"text": None, "id": 3},
        {"text": "last"},
    ]
    content = "\n\n".join(json.dumps(row) for row in rows)
    assert documents(write(tmp_path / "a.jsonl", content)) == ["two\nlines", "é 🙂", "last"]
    packed = write(tmp_path / "b.jsonl.gz", gzip.compress(content.encode()))
    assert documents(packed) == ["two\nlines", "é 🙂", "last"]


def test_json_is_json_lines_where_it_is_named(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.json", '{"text": "one"}\n{"text": "two"}\n')
    assert documents(rows) == ["one", "two"]
    with pytest.raises(
        InputError, match=r"array\.json, line 1: not JSON .*; each line must be one whole object"
    ):
        documents(write(tmp_path / "array.json", '[\n  {"text": "one"}\n]'))


def test_the_field_with_the_text_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"chosen": "good", "rejected": "bad"}\n')
    assert documents(path, field="rejected") == ["bad"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "half', "line 3: not JSON"),
        ('["text"]', 'line 3: not an object; each line must be like {"text": "…"}'),
        (
            '{"body": "a", "id": 1}',
            "line 3: has no field 'text'; name the one that holds the text (there are: body, id)",
        ),
        ('{"text": 3}', "line 3: 'text' holds int, not text; name another field"),
        ('{"text": "\\ud83d"}', "line 3: holds half a character (\\ud83d); mend or remove the line"),
        ("[" * 100_000, "line 3: not JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "fine"}}\n\n{line}\n')
    with pytest.raises(InputError) as caught:
        documents(path)
    assert str(caught.value).startswith(f"{path}, {message}")
    assert "\n" not in str(caught.value)


def test_gzipped_text_is_text(tmp_path: Path) -> None:
    assert documents(write(tmp_path / "a.txt.gz", gzip.compress(b"one\ntwo"))) == ["one", "two"]


def test_a_broken_gzip_file_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b"%d\n" % number for number in range(100_000)))
    path = write(tmp_path / "a.txt.gz", whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"a\.txt\.gz: is damaged .*; copy or download it again"):
        documents(path)
    with pytest.raises(InputError, match=r"b\.txt\.gz: is damaged"):
        documents(write(tmp_path / "b.txt.gz", b"plain text"))


def test_texts_in_a_zip_archive_are_documents(tmp_path: Path) -> None:
    path = tmp_path / "reviews.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(12):
            archive.writestr(f"reviews/{number:02}.txt", f"review {number}\nmore")
        archive.writestr("reviews/README", "about them")
        archive.writestr("__MACOSX/._00.txt", "rubbish")
    assert documents(path) == [f"review {number}\nmore" for number in range(12)]
    assert documents(tmp_path) == documents(path)


def test_a_file_that_is_no_zip_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.zip: not a readable zip archive"):
        documents(write(tmp_path / "a.zip", b"PK?"))


def test_the_long_movie_reviews_are_read_from_their_archive() -> None:
    reviews = documents(shared("movie-reviews/movie_reviews.zip"))
    assert len(reviews) == 2000
    assert reviews[0].startswith("plot : two teen couples go to a church party")


def test_the_review_sentences_are_read_without_a_word_about_their_format() -> None:
    sentences = documents(
        f"{shared('movie-reviews/rt-polarity.pos')},{shared('movie-reviews/rt-polarity.neg')}",
        encoding="auto",
    )
    assert len(sentences) == 10_662


def test_a_text_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"empty\.txt: holds no text; give a file or folder"):
        documents(write(tmp_path / "empty.txt", " \n\n"))


def test_progress_ends_at_the_end_whatever_the_format(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"row {number}"}) + "\n" for number in range(5000))
    write(tmp_path / "in" / "a.jsonl.gz", gzip.compress(rows.encode()))
    write(tmp_path / "in" / "b.txt", ("line " * 20 + "\n") * 20_000)
    with zipfile.ZipFile(tmp_path / "in" / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("d.txt", ("line " * 20 + "\n") * 20_000)
    shares: list[float] = []
    config = CorpusConfig(source=f"{tmp_path / 'in'}, stories", stories=10)
    reading = CorpusReader.for_splits(config, find_files(config.source, tmp_path), wanted=())
    with Spool(tmp_path / "spool") as spool:
        reading.read(spool, lambda what, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert shares[-1] == 1.0


def test_what_was_read_is_counted(tmp_path: Path) -> None:
    reading, texts = read(write(tmp_path / "a.txt", "one\ntwo\n\nthree\n"), documents="line")
    assert reading.documents == len(texts) == 3
