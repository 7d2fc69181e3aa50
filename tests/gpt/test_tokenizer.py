from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models

from tests.gpt.tiny_models import tiny_tokenizer
from training.gpt.config import TokenizerConfig
from training.gpt.errors import InputError
from training.gpt.tokenizer import END_OF_TEXT, SpecialTokens, Tokenizer

TEXT = "The cat, they say, sat on the mat. The cat was happy!\nÉté — 学而时习之 🙂"


def test_byte_pairs_bring_any_text_back() -> None:
    tokenizer = tiny_tokenizer("the cat sat on the mat")
    for text in (TEXT, "", " leading space", "tabs\tand\r\nline ends", "\x00\x01", TEXT * 3):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_byte_pairs_join_what_is_frequent() -> None:
    tokenizer = tiny_tokenizer("the cat sat on the mat " * 20)
    assert len(tokenizer.encode(" the cat")) == 2


def test_characters_bring_known_text_back() -> None:
    tokenizer = tiny_tokenizer(TEXT, kind="char")
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert len(tokenizer.encode(TEXT)) == len(TEXT)


def test_an_unknown_character_becomes_unk() -> None:
    tokenizer = tiny_tokenizer("abc", kind="char")
    assert tokenizer.encode("axc") == [*tokenizer.encode("a"), tokenizer.unknown_id, *tokenizer.encode("c")]


def test_words_are_lower_case_and_apart_from_punctuation() -> None:
    tokenizer = tiny_tokenizer('He said: "It isn\'t so (yet)."', kind="word")
    words = "he said it isn ' t so ( yet ) ."
    assert tokenizer.decode(tokenizer.encode('HE SAID; "it isn\'t so (yet)."')) == words


def test_an_unknown_word_becomes_unk() -> None:
    tokenizer = tiny_tokenizer("the cat sat", kind="word")
    assert tokenizer.encode("the dog sat")[1] == tokenizer.unknown_id


def test_rare_words_give_way_when_the_vocabulary_is_full() -> None:
    texts = ["common common frequent frequent rare"]
    tokenizer = Tokenizer.train(texts, TokenizerConfig(tokenizer="word", vocab_size=5))
    assert tokenizer.vocab_size == 5
    assert tokenizer.encode("common frequent rare")[2] == tokenizer.unknown_id


@pytest.mark.parametrize("kind", ["bpe", "char", "word"])
def test_special_tokens_in_a_text_stay_text(kind: str) -> None:
    tokenizer = tiny_tokenizer(f"the {END_OF_TEXT} cat", kind=kind)
    assert tokenizer.eos_id not in tokenizer.encode(f"the {END_OF_TEXT} cat")


@pytest.mark.parametrize("kind", ["bpe", "char", "word"])
def test_a_tokenizer_survives_its_file(kind: str, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(TEXT, kind=kind)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path / "tokenizer.json")
    text = f"{TEXT} {END_OF_TEXT}"
    assert again.encode(text) == tokenizer.encode(text)
    assert (again.eos_id, again.pad_id, again.vocab_size) == (
        tokenizer.eos_id,
        tokenizer.pad_id,
        tokenizer.vocab_size,
    )


def test_pad_and_end_are_two_tokens_and_leave_no_text() -> None:
    tokenizer = tiny_tokenizer()
    assert tokenizer.eos_id != tokenizer.pad_id
    ids = [tokenizer.eos_id, *tokenizer.encode("the cat"), tokenizer.eos_id, tokenizer.pad_id]
    assert tokenizer.decode(ids) == "the cat"


def test_a_prompt_begins_where_a_document_begins() -> None:
    tokenizer = tiny_tokenizer()
    assert tokenizer.prompt("") == [tokenizer.eos_id]
    assert tokenizer.prompt("the") == [tokenizer.eos_id, *tokenizer.encode("the")]


def test_special_tokens_decide_what_begins_ends_and_pads() -> None:
    backend = tiny_tokenizer("abcdef", kind="char")._backend
    special = SpecialTokens(end=(4, 0), begin=5, pad=6)
    tokenizer = Tokenizer(backend, special)
    assert (tokenizer.eos_id, tokenizer.eos_ids, tokenizer.bos_id, tokenizer.pad_id) == (4, (4, 0), 5, 6)
    assert tokenizer.prompt("") == [5]


@pytest.mark.parametrize("pad", [None, 0, 1])
def test_a_vocabulary_without_a_pad_lends_an_ordinary_token(pad: int | None) -> None:
    """One that ends a text would not do: a model must be able to tell where its own text stopped."""
    backend = tiny_tokenizer("abcdef", kind="char")._backend
    assert Tokenizer(backend, SpecialTokens(end=(1, 0), pad=pad)).pad_id == 2


def test_ids_beyond_a_gap_count_for_the_size() -> None:
    vocabulary = {"a": 0, "b": 1, "end": 9}
    tokenizer = Tokenizer(Backend(models.WordLevel(vocabulary, unk_token="a")), SpecialTokens(end=(9,)))
    assert tokenizer.vocab_size == 10
    assert tokenizer.token(5) == "<id 5>"


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (None, "special_tokens does not say"),
        ({"end": [1]}, "special_tokens does not say"),
        ({"end": 1, "begin": None, "pad": None}, "special_tokens does not say"),
        ({"end": [], "begin": None, "pad": None}, "none ends a text"),
        ({"end": ["</s>"], "begin": None, "pad": None}, "holds what is no id"),
        ({"end": [1], "begin": -1, "pad": None}, "holds what is no id"),
    ],
)
def test_special_tokens_that_are_none_are_refused(stored: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SpecialTokens.from_dict(stored)


def test_encoding_many_equals_encoding_each() -> None:
    tokenizer = tiny_tokenizer()
    texts = ["the cat", "", "sat on the mat"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


@pytest.mark.parametrize(("kind", "expected"), [("bpe", " sat"), ("char", " sat"), ("word", " sat")])
def test_a_continuation_keeps_its_leading_space(kind: str, expected: str) -> None:
    tokenizer = tiny_tokenizer(kind=kind)
    prompt, whole = tokenizer.prompt("the cat"), tokenizer.prompt("the cat sat")
    assert tokenizer.continuation(prompt, whole[len(prompt) :]) == expected


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(InputError, match=r"tokenizer\.json: no such file"):
        Tokenizer.load(path)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json: not a tokenizer"):
        Tokenizer.load(path)
