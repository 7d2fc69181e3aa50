"""`manage.py prepare_corpus`: the statistics it prints, and that runs reuse the prepared corpus."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from tests.gpt.corpus_files import shared, write
from tests.training.factories import execute_run, make_policy
from training.models import Run


def corpus_report(**options: object) -> str:
    """What the command prints."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    output = StringIO()
    call_command("prepare_corpus", *words, stdout=output)
    return output.getvalue()


def find_row(text: str, label: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.strip().startswith(label))
    return line.split()


def test_it_tells_what_is_in_a_corpus(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.txt", "".join(f"line number {number}\n" for number in range(50)) + "line number 1\n"
    )
    text = corpus_report(source=path, tokenizer="word", documents="line", min_length=14)
    assert text.splitlines()[0] == f"{path}: 40 documents"
    splits = [find_row(text, name) for name in ("train", "validation", "test")]
    assert [int(split[1]) for split in splits] == [32, 4, 4]
    assert [int(split[2]) for split in splits] == [1 + 4 * int(split[1]) for split in splits]
    assert find_row(text, "vocabulary")[2] == "(word)"
    assert find_row(text, "longest document")[2] == "3"
    assert find_row(text, "dropped")[1:] == ["11", "documents,", "too", "short"]
    assert find_row(text, "prepared in")[-1].startswith(f"{settings.CORPORA}/a-")


def test_the_unknown_rate_is_that_of_all_splits(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "a b c\n")
    write(tmp_path / "valid.txt", "a x y z\nc\n")
    assert find_row(corpus_report(source=tmp_path, tokenizer="word"), "unknown")[1] == "37.50%"


def test_it_tells_that_it_was_ready(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "".join(f"line number {number}\n" for number in range(50)))
    first, second = corpus_report(source=path), corpus_report(source=path)
    assert "prepared in" in first
    assert find_row(second, "reused")[-1] == find_row(first, "prepared in")[-1]


def test_wikitext_at_word_level() -> None:
    text = corpus_report(source=shared("wikitext-2/valid.txt"), tokenizer="word", vocab_size=20_000)
    assert "60 documents" in text
    assert [find_row(text, name)[1] for name in ("train", "validation", "test")] == ["48", "6", "6"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "nowhere"}, "--source: nowhere: there is no such file or folder; .* stories, wikitext-2"),
        ({"encoding": "klingon"}, "--encoding: 'klingon' is unknown"),
        ({"shares": "50/50"}, "--shares: '50/50' should be three percentages"),
        ({"holdout": "tail", "min_length": 3}, "--holdout: tail keeps the text as one"),
        ({"documents": "chapter"}, "--documents: .*chapter.* is unknown; choose one of auto, line"),
    ],
)
def test_a_bad_option_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandError, match=message) as caught:
        corpus_report(**options)
    assert "\n" not in str(caught.value)


def test_a_bad_corpus_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "one document")
    with pytest.raises(
        CommandError, match=r"a\.txt: holds one document, and there must be another"
    ) as caught:
        corpus_report(source=path)
    assert "\n" not in str(caught.value)


@pytest.mark.django_db(transaction=True)
def test_a_run_finds_what_was_prepared(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "".join(f"line number {number}\n" for number in range(200)))
    corpus_report(source=path, vocab_size=300)
    (folder,) = Path(settings.CORPORA).iterdir()
    before = folder.stat().st_mtime_ns
    options: dict[str, Any] = {"context": 16, "batch_size": 4, "steps": 2, "minutes": 0}
    run = execute_run(Run.Kind.PRETRAIN, source=str(path), vocab_size=300, name="lines", **options)
    assert run.metrics["documents"] == 200
    assert list(Path(settings.CORPORA).iterdir()) == [folder]
    assert folder.stat().st_mtime_ns == before


@pytest.mark.django_db(transaction=True)
def test_a_policy_is_evaluated_on_the_published_test_split(tmp_path: Path) -> None:
    make_policy()
    for name, text in (("train", "abcd\n" * 30), ("valid", "efgh\n"), ("test", "aceg\nbdfh\nabab\n")):
        write(tmp_path / "set" / f"{name}.txt", text)
    for part, count in (("test", 3), ("validation", 1), ("all", 34)):
        run = execute_run(Run.Kind.EVALUATE, policy="base", source=str(tmp_path / "set"), split=part)
        assert run.metrics["documents"] == count
