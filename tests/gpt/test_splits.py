"""Splits of a corpus: which documents are for training, validation and test."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable

import pytest

from training.gpt.config import CorpusConfig
from training.gpt.corpus.splits import DocumentPart, HashSplitter, PositionSplitter, SplitName, document_key
from training.gpt.errors import InputError

USUAL = CorpusConfig().split_shares


def part(text: str, split: SplitName | None = None, *, seed: int = 0, ends: bool = True) -> DocumentPart:
    return DocumentPart(text, document_key(text, seed), split, ends)


def divided(texts: Iterable[str], *, seed: int = 0, shares: str = "80/10/10") -> dict[str, list[str]]:
    """The texts by split, as few documents are split."""
    parts = [part(text, seed=seed) for text in texts]
    rule = HashSplitter(CorpusConfig(shares=shares).split_shares, {each.key for each in parts})
    found: dict[str, list[str]] = defaultdict(list)
    for name, each in rule(parts):
        found[name].append(each.text)
    return found


def sizes(count: int, **options: str) -> tuple[int, int, int]:
    found = divided(map(str, range(count)), **options)  # type: ignore[arg-type]
    return len(found["train"]), len(found["validation"]), len(found["test"])


def test_many_documents_are_split_eight_to_one_to_one() -> None:
    rule = HashSplitter(USUAL)
    counts = Counter(rule.split_of(document_key(str(number), 0)) for number in range(20_000))
    assert counts["train"] == pytest.approx(16_000, abs=250)
    assert counts["validation"] == pytest.approx(2_000, abs=190)
    assert counts["test"] == pytest.approx(2_000, abs=190)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1000, (800, 100, 100)),
        (60, (48, 6, 6)),
        (10, (8, 1, 1)),
        (5, (3, 1, 1)),
        (3, (1, 1, 1)),
        (2, (1, 1, 0)),
    ],
)
def test_few_documents_are_split_exactly_and_none_goes_without(
    count: int, expected: tuple[int, int, int]
) -> None:
    assert sizes(count) == expected


def test_a_share_of_nothing_is_nothing() -> None:
    assert sizes(20, shares="90/10/0") == (18, 2, 0)
    assert sizes(2, shares="90/10/0") == (1, 1, 0)
    assert HashSplitter(CorpusConfig(shares="90/10/0").split_shares).split_of(2**64 - 1) == "validation"


def test_no_document_is_in_two_splits_however_often_it_comes() -> None:
    found = divided([str(number % 100) for number in range(1000)])
    train, validation, test = (set(found[name]) for name in ("train", "validation", "test"))
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert sum(map(len, found.values())) == 1000


def test_a_split_depends_on_the_seed_and_not_on_the_order() -> None:
    texts = [str(number) for number in range(200)]
    forward, backward = divided(texts, seed=3), divided(texts[::-1], seed=3)
    assert sorted(forward["test"]) == sorted(backward["test"])
    assert sorted(forward["test"]) != sorted(divided(texts, seed=4)["test"])


def test_published_splits_stand() -> None:
    rule = HashSplitter(USUAL, set())
    parts = [part("a", "test"), part("b", "train"), part("c", "validation"), part("a", "train")]
    assert [(name, each.text) for name, each in rule(parts)] == [
        ("test", "a"), ("train", "b"), ("validation", "c"), ("train", "a")
    ]  # fmt: skip


def test_the_tail_is_cut_to_the_character() -> None:
    text = "".join(random.Random(0).choices("abc\n", k=1003))
    parts = [part(text[at : at + 100], ends=at + 100 >= 1003) for at in range(0, 1003, 100)]
    found: dict[str, str] = defaultdict(str)
    ended = Counter[str]()
    for name, each in PositionSplitter(USUAL, characters=1003)(parts):
        found[name] += each.text
        ended[name] += each.ends
    assert found == {"train": text[:802], "validation": text[802:902], "test": text[902:]}
    assert ended == {"train": 0, "validation": 0, "test": 1}, "only the text's own end is an end"


def test_the_tail_of_90_to_10_is_that_of_nano_gpt() -> None:
    count = 1_115_394  # Tiny Shakespeare's characters
    rule = PositionSplitter(CorpusConfig(shares="90/10/0").split_shares, characters=count)
    lengths = {name: len(each.text) for name, each in rule([part("x" * count)])}
    assert lengths == {"train": 1_003_854, "validation": 111_540}


def test_shares_may_be_uneven() -> None:
    train, validation, test = CorpusConfig(shares=" 99.8 / 0.1/0.1").split_shares
    assert (float(train), float(validation), float(test)) == (0.998, 0.001, 0.001)


@pytest.mark.parametrize(
    "shares",
    ["", "80/20", "80/10/10/0", "80/10/5", "100/0/0", "0/50/50", "110/-10/0", "a/b/c", "1/0/0", "nan/1/1"],
)
def test_shares_that_make_no_split_are_refused(shares: str) -> None:
    with pytest.raises(
        InputError, match=r"shares: .* three percentages that add up to 100, such as 80/10/10"
    ):
        CorpusConfig(shares=shares)


def test_a_continuous_text_can_have_no_document_dropped() -> None:
    for options in ({"drop_duplicates": True}, {"min_length": 3}):
        with pytest.raises(InputError, match="holdout: tail keeps the text as one"):
            CorpusConfig(holdout="tail", **options)
