"""Preparing a corpus: its shards, its summary, and when it is prepared again."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gpt.corpus_files import shared, write
from tests.gpt.tiny_models import tiny_tokenizer
from training.gpt.config import CorpusConfig, TokenizerConfig
from training.gpt.corpus.prepare import ALL, PreparedCorpus, prepare, tokenize
from training.gpt.corpus.shards import Shards, TokenizedSplit
from training.gpt.errors import InputError
from training.gpt.tokenizer import SpecialTokens, Tokenizer

WORDS = TokenizerConfig(tokenizer="word", vocab_size=300)


def lines(count: int) -> str:
    return "".join(f"line number {number}\n" for number in range(count))


def prepared(
    source: object, home: Path, tokenizer: TokenizerConfig | Tokenizer = WORDS, **options: Any
) -> PreparedCorpus:
    return prepare(CorpusConfig(source=str(source), **options), tokenizer, home)


def test_shards_hold_each_document_between_end_tokens(tmp_path: Path) -> None:
    for name, text in (("train", "the cat\nthe mat é"), ("valid", "sat"), ("test", "mat\n")):
        write(tmp_path / "set" / f"{name}.txt", text)
    tokenizer = tiny_tokenizer()
    shards = prepared(tmp_path / "set", tmp_path, tokenizer).shards
    end = tokenizer.eos_id
    expected = [end, *tokenizer.encode("the cat"), end, *tokenizer.encode("the mat é"), end]
    assert shards.train.tokens.tolist() == expected
    assert shards.train.documents == 2
    assert shards.train.text_bytes == len("the catthe mat é".encode())
    assert shards.validation.tokens.tolist() == [end, *tokenizer.encode("sat"), end]
    assert shards.test.tokens.tolist() == [end, *tokenizer.encode("mat"), end]
    assert isinstance(shards.train.tokens, np.memmap)
    assert shards.train.tokens.dtype == np.uint16


def test_a_tokenizer_that_begins_texts_with_a_token_of_its_own_has_it_there(tmp_path: Path) -> None:
    backend = tiny_tokenizer()._backend
    tokenizer = Tokenizer(backend, SpecialTokens(end=(0,), begin=1))
    write(tmp_path / "set" / "train.txt", "cat\nmat")
    write(tmp_path / "set" / "valid.txt", "sat")
    shards = prepared(tmp_path / "set", tmp_path, tokenizer).shards
    assert shards.train.tokens.tolist() == [1, *tokenizer.encode("cat"), 0, 1, *tokenizer.encode("mat"), 0]


def test_a_large_vocabulary_takes_wider_tokens(tmp_path: Path) -> None:
    write(tmp_path / "set" / "train.txt", " ".join(f"w{number}" for number in range(70_000)))
    write(tmp_path / "set" / "valid.txt", "w1")
    found = prepared(tmp_path / "set", tmp_path, TokenizerConfig(tokenizer="word", vocab_size=80_000))
    assert found.tokenizer.vocab_size > 2**16
    assert found.shards.train.tokens.dtype == np.uint32
    assert int(found.shards.train.tokens.max()) >= 2**16


def test_the_vocabulary_is_counted_on_the_training_split_alone(tmp_path: Path) -> None:
    for name in ("train", "valid", "test"):
        write(tmp_path / "set" / f"{name}.txt", f"common {name}\n")
    found = prepared(tmp_path / "set", tmp_path)
    unknown = found.tokenizer.unknown_id
    assert found.tokenizer.encode("common train valid test")[2:] == [unknown, unknown]
    assert unknown not in found.tokenizer.encode("common train")
    assert found.summary["unknown_rate"] == pytest.approx(2 / 6)


def test_the_vocabulary_can_be_counted_on_a_share_from_everywhere(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "".join(f"w{number} {'filler' * 100}\n" for number in range(5000)))
    known = {}
    for megabytes in (0, 1):
        config = TokenizerConfig(tokenizer="word", vocab_size=10_000, vocabulary_megabytes=megabytes)
        found = prepared(path, tmp_path, config)
        tokenizer = found.tokenizer
        words = tokenizer.encode_batch([f"w{number}" for number in range(5000)])
        known[megabytes] = [number for number, ids in enumerate(words) if ids != [tokenizer.unknown_id]]
    assert len(known[0]) == found.shards.train.documents
    assert 1200 < len(known[1]) < 1700, "a third of it: one megabyte of three"
    assert known[1][0] < 50
    assert known[1][-1] > 4950


def test_the_summary_tells_what_is_in_it(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.txt", lines(99) + "a much longer line than all of the others\n" + "x\nline number 1\n"
    )
    found = prepared(path, tmp_path, documents="line", drop_duplicates=True, min_length=2)
    summary = found.summary
    assert summary["documents"] == 100
    assert (summary["dropped_short"], summary["dropped_repeated"]) == (1, 1)
    assert [split["documents"] for split in summary["splits"].values()] == [80, 10, 10]
    tokens = [len(getattr(found.shards, name).tokens) for name in ("train", "validation", "test")]
    assert [split["tokens"] for split in summary["splits"].values()] == tokens
    assert summary["longest_document"] == 9
    assert summary["vocab_size"] == found.tokenizer.vocab_size
    assert summary == json.loads((found.folder / "corpus.json").read_text())


def test_a_long_document_is_tokenised_as_a_whole(tmp_path: Path) -> None:
    text = "".join(f"line {number} of a long text\n\n" for number in range(6000))
    for number in range(3):
        write(tmp_path / f"{number}.txt", f"{number} {text}")
    found = prepared(tmp_path, tmp_path / "home", tiny_tokenizer(text[:1000]), documents="file")
    assert found.summary["splits"]["validation"]["documents"] == 1
    ids = found.shards.validation.tokens[1:-1].tolist()
    assert ids in [found.tokenizer.encode(f"{number} {text}".strip()) for number in range(3)]
    assert found.summary["longest_document"] == len(ids)


def test_tiny_shakespeare_is_cut_where_the_benchmark_cuts_it(tmp_path: Path) -> None:
    path = shared("tinyshakespeare/input.txt")
    characters = TokenizerConfig(tokenizer="char", vocab_size=100)
    found = prepared(path, tmp_path, characters, holdout="tail", shares="90/10/0")
    text = path.read_text()
    cut = int(len(text) * 0.9)
    tokenizer, shards = found.tokenizer, found.shards
    end = tokenizer.eos_id
    train, validation = shards.train.tokens, shards.validation.tokens
    assert tokenizer.decode(train.tolist()) == text[:cut]
    assert tokenizer.decode(validation.tolist()) == text[cut:]
    assert len(train) == 1 + cut, "nothing stands between the characters, nor after them: the text goes on"
    assert len(validation) == 2 + len(text) - cut
    assert (train[0], validation[0], validation[-1]) == (end, end, end)
    assert shards.test.tokens.tolist() == [end]


def test_the_tail_of_rows_is_that_of_all_of_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "".join(f'{{"text": "row {number:02}"}}\n' for number in range(100)))
    found = prepared(path, tmp_path, tiny_tokenizer(kind="char"), holdout="tail")
    assert [split["documents"] for split in found.summary["splits"].values()] == [80, 10, 10]
    assert found.shards.validation.documents == 10


def test_one_document_is_too_few_to_split(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "alone\n" * 5)
    with pytest.raises(InputError) as caught:
        prepared(path, tmp_path, documents="file")
    assert str(caught.value) == (
        f"{path}: holds one document, and there must be another to validate on; cut it into smaller ones"
        " (documents: line, or paragraph), or hold out its end (holdout: tail)"
    )
    with pytest.raises(InputError, match="holds 5 documents, all the same, and there must be another"):
        prepared(path, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"], "nothing half-made should be left"


def test_a_split_without_documents_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "a\nb\n")
    write(tmp_path / "valid.txt", "\n")
    with pytest.raises(InputError, match="none of its 2 documents fell to the validation split; give more"):
        prepared(tmp_path, tmp_path / "home")


def test_a_missing_validation_split_is_cut_from_the_one_for_training(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", lines(90))
    write(tmp_path / "test.txt", "tested\n")
    found = prepared(tmp_path, tmp_path / "home", documents="line")
    assert [split["documents"] for split in found.summary["splits"].values()] == [80, 10, 1]


def test_what_did_not_change_is_used_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", lines(50))
    first = prepared(path, tmp_path / "home")
    marks = {each: each.stat().st_mtime_ns for each in first.folder.iterdir()}
    second = prepared(path, tmp_path / "home")
    assert (first.reused, second.reused) == (False, True)
    assert second.folder == first.folder
    assert {each: each.stat().st_mtime_ns for each in second.folder.iterdir()} == marks
    assert second.summary == first.summary
    assert second.tokenizer.encode("line number 1") == first.tokenizer.encode("line number 1")
    assert [each.name for each in (tmp_path / "home").iterdir()] == [first.folder.name]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"shares": "70/20/10"},
        {"drop_duplicates": True},
        {"min_length": 1},
        {"normalise": "nfc"},
        {"documents": "line"},
        {"holdout": "tail"},
        {"encoding": "latin-1"},
    ],
    ids=str,
)
def test_a_changed_option_makes_it_anew(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write(tmp_path / "a.txt", lines(50))
    first = prepared(path, tmp_path / "home")
    second = prepared(path, tmp_path / "home", **change)
    assert not second.reused
    assert second.folder != first.folder


def test_a_changed_vocabulary_makes_it_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", lines(50))
    kinds: list[TokenizerConfig | Tokenizer] = [
        WORDS,
        TokenizerConfig(tokenizer="word", vocab_size=20),
        tiny_tokenizer(),
        tiny_tokenizer("other text"),
    ]
    folders = [prepared(path, tmp_path / "home", kind).folder for kind in kinds]
    assert len(set(folders)) == 4
    assert prepared(path, tmp_path / "home", tiny_tokenizer()).reused


def test_a_changed_file_makes_it_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a.txt", lines(50))
    home = tmp_path / "home"
    folders = [prepared(tmp_path / "in", home).folder]
    before = path.stat()
    path.write_text(lines(50).replace("number 7", "numbex 7"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    folders.append(prepared(tmp_path / "in", home).folder)
    write(tmp_path / "in" / "b.txt", lines(3))
    folders.append(prepared(tmp_path / "in", home).folder)
    assert len(set(folders)) == 3


@pytest.mark.parametrize("harm", ["cut short", "gone", "unreadable"])
def test_a_damaged_folder_is_made_anew(tmp_path: Path, harm: str) -> None:
    path = write(tmp_path / "a.txt", lines(50))
    first = prepared(path, tmp_path / "home")
    tokens = first.shards.train.tokens.tolist()
    if harm == "cut short":
        with (first.folder / "train.bin").open("r+b") as file:
            file.truncate(10)
    elif harm == "gone":
        (first.folder / "test.bin").unlink()
    else:
        (first.folder / "corpus.json").write_text("{")
    second = prepared(path, tmp_path / "home")
    assert not second.reused
    assert second.folder == first.folder
    assert second.shards.train.tokens.tolist() == tokens


def test_a_part_can_be_had_in_the_tokens_of_a_model(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", lines(50))
    corpus, tokenizer = CorpusConfig(source=str(path)), tiny_tokenizer()
    whole = prepare(corpus, tokenizer, tmp_path / "home").shards
    parts = {
        name: tokenize(corpus, tokenizer, tmp_path / "home", part=name)
        for name in ("train", "validation", "test", ALL)
    }
    assert parts["test"].tokens.tolist() == whole.test.tokens.tolist()
    assert parts["train"].tokens.tolist() == whole.train.tokens.tolist()
    assert parts[ALL].documents == 50
    assert (
        len(parts[ALL].tokens)
        == sum(len(each.tokens) - 1 for each in (whole.train, whole.validation, whole.test)) + 1
    )


def test_all_of_a_single_document_can_be_had(tmp_path: Path) -> None:
    corpus = CorpusConfig(source=str(write(tmp_path / "a.txt", "alone")))
    assert tokenize(corpus, tiny_tokenizer(), tmp_path, part=ALL).documents == 1


def test_a_part_of_a_published_corpus_is_read_without_the_others(tmp_path: Path) -> None:
    write(tmp_path / "set" / "train.txt", b"\xff not text")
    write(tmp_path / "set" / "valid.txt", "a\nb")
    write(tmp_path / "set" / "test.txt", "cat\nmat")
    corpus, tokenizer = CorpusConfig(source=str(tmp_path / "set")), tiny_tokenizer()
    assert tokenize(corpus, tokenizer, tmp_path / "home", part="test").documents == 2
    with pytest.raises(InputError, match=r"train\.txt: byte 0xff at offset 0"):
        tokenize(corpus, tokenizer, tmp_path / "home", part=ALL)


def test_every_stage_tells_how_far_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", lines(50))
    reported: list[tuple[str, float]] = []
    prepare(
        CorpusConfig(source=str(path)),
        WORDS,
        tmp_path / "home",
        on_progress=lambda *each: reported.append(each),
    )
    stages = list(dict.fromkeys(what for what, _ in reported))
    assert stages == ["reading the corpus", "building the vocabulary", "tokenizing"]
    for stage in stages:
        shares = [share for what, share in reported if what == stage]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0


@pytest.mark.parametrize("stage", ["reading the corpus", "building the vocabulary", "tokenizing"])
def test_it_can_be_stopped_in_every_stage_and_leaves_nothing(tmp_path: Path, stage: str) -> None:
    path = write(tmp_path / "a.txt", lines(50))

    class Enough(Exception):  # noqa: N818 - a cue
        pass

    def stop(what: str, share: float) -> None:
        if what == stage:
            raise Enough

    with pytest.raises(Enough):
        prepare(CorpusConfig(source=str(path)), WORDS, tmp_path / "home", on_progress=stop)
    assert list((tmp_path / "home").iterdir()) == []


def test_the_source_may_be_called_anything(tmp_path: Path) -> None:
    path = write(tmp_path / "日本 & co.txt", lines(10))
    assert prepared(path, tmp_path / "home").folder.name.startswith("co-")
    path = write(tmp_path / "日本", lines(10))
    assert prepared(path, tmp_path / "home").folder.name.startswith("corpus-")


def test_corpora_that_differ_in_their_last_token_alone_have_other_digests() -> None:
    tokens = np.zeros(2**22 + 2**21, dtype=np.uint16)
    changed = tokens.copy()
    changed[-1] = 1
    split = TokenizedSplit(tokens=tokens, documents=1, text_bytes=1)
    shards = Shards(train=split, validation=split, test=split)
    for name in ("train", "validation"):
        other = replace(shards, **{name: replace(split, tokens=changed)})
        assert other.digest() != shards.digest()


def test_the_digest_made_while_writing_is_that_of_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "lines.txt", lines(200))
    shards = prepared(tmp_path / "lines.txt", tmp_path).shards
    for split in (shards.train, shards.validation, shards.test):
        assert split.stored_digest
        assert split.digest() == replace(split, stored_digest="").digest()
