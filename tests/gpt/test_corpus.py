from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.gpt.examples import tiny_tokenizer
from training.gpt.config import CorpusConfig
from training.gpt.corpus import Splits, load_shards, prepare, read_documents, split_documents, split_of
from training.gpt.errors import InputError


def documents(source: object, **options: str) -> list[str]:
    return list(read_documents(CorpusConfig(source=str(source), **options)))  # type: ignore[arg-type]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_stories_are_built_in() -> None:
    assert len(list(read_documents(CorpusConfig(stories=30)))) == 30


def test_lines_are_documents_where_nothing_parts_them(tmp_path: Path) -> None:
    path = write(tmp_path / "lines.txt", "one\r\ntwo \r\nthree\n")
    assert documents(path) == ["one", "two", "three"]


def test_a_stray_blank_line_does_not_make_paragraphs(tmp_path: Path) -> None:
    path = write(tmp_path / "lines.txt", "line\n" * 30 + "\n" + "line\n" * 30)
    assert len(documents(path)) == 60


def test_paragraphs_are_documents_where_blank_lines_part_them(tmp_path: Path) -> None:
    path = write(tmp_path / "verse.txt", "a\nb\n\nc\n \nd\n")
    assert documents(path) == ["a\nb", "c", "d"]


def test_many_files_are_a_document_each(tmp_path: Path) -> None:
    for number in range(10):
        write(tmp_path / f"{number}.txt", f"first {number}\nsecond")
    write(tmp_path / "picture.png", b"\x89PNG\x00")
    assert documents(tmp_path) == [f"first {number}\nsecond" for number in range(10)]


@pytest.mark.parametrize(("kind", "count"), [("line", 3), ("paragraph", 2), ("file", 1)])
def test_the_kind_of_document_can_be_chosen(tmp_path: Path, kind: str, count: int) -> None:
    assert len(documents(write(tmp_path / "a.txt", "a\nb\n\nc"), documents=kind)) == count


def test_several_files_can_be_named(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.pos", "good"), write(tmp_path / "two.neg", "bad")
    assert documents(f"{one}, {two}") == ["good", "bad"]


def test_latin_1_line_separators_are_not_line_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "reviews", b"caf\xe9 \x85 bar\nnext")
    assert documents(path, encoding="latin-1") == ["café \x85 bar", "next"]


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    assert documents(write(tmp_path / "bom.txt", b"\xef\xbb\xbfone")) == ["one"]


def test_an_undecodable_byte_is_named_with_file_and_offset(tmp_path: Path) -> None:
    path = write(tmp_path / "reviews", b"caf\xe9")
    with pytest.raises(InputError) as caught:
        documents(path)
    expected = f"{path}: byte 0xe9 at offset 3 is not utf-8; give the file's encoding, such as latin-1"
    assert str(caught.value) == expected


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.txt", " \n\n")
    with pytest.raises(InputError, match=r"empty\.txt: holds no text"):
        documents(path)


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"nowhere: no such file or folder; the built-in corpus is called 'stories'"
    ):
        documents(tmp_path / "nowhere")


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.txt or \.md file; name the files themselves"):
        documents(tmp_path)


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="encoding: 'klingon' is unknown"):
        documents(write(tmp_path / "a.txt", "a"), encoding="klingon")


def test_documents_are_split_eight_to_one_to_one() -> None:
    counts = Counter(split_of(str(number), 0) for number in range(20_000))
    assert counts["train"] == pytest.approx(16_000, abs=250)
    assert counts["validation"] == pytest.approx(2_000, abs=190)
    assert counts["test"] == pytest.approx(2_000, abs=190)


def test_no_document_is_in_two_splits_however_often_it_comes() -> None:
    splits = split_documents([str(number % 100) for number in range(1000)], seed=0)
    train, validation, test = set(splits.train), set(splits.validation), set(splits.test)
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 1000


def test_a_split_depends_on_the_seed_and_not_on_the_order() -> None:
    texts = [str(number) for number in range(200)]
    forward, backward = split_documents(texts, seed=3), split_documents(texts[::-1], seed=3)
    assert sorted(forward.test) == sorted(backward.test)
    assert sorted(forward.test) != sorted(split_documents(texts, seed=4).test)


def test_shards_hold_each_document_between_end_tokens(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    splits = Splits(train=["the cat", "the mat é"], validation=["sat"], test=[])
    shards = prepare(splits, tokenizer, tmp_path)
    end = tokenizer.eos_id
    expected = [end, *tokenizer.encode("the cat"), end, *tokenizer.encode("the mat é"), end]
    assert shards.train.tokens.tolist() == expected
    assert shards.train.documents == 2
    assert shards.train.text_bytes == len("the catthe mat é".encode())
    assert shards.test.tokens.tolist() == [end]
    assert isinstance(shards.train.tokens, np.memmap)
    assert shards.train.tokens.dtype == np.uint16
    assert load_shards(tmp_path).validation.tokens.tolist() == shards.validation.tokens.tolist()


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of its 1 documents fell to the validation split"):
        prepare(Splits(train=["alone"]), tiny_tokenizer(), tmp_path)


def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no prepared corpus"):
        load_shards(tmp_path)
