"""Tokens to text, piece by piece: whole characters, nothing taken back, nothing beyond a stop text."""

import random

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models

from tests.gpt.tiny_models import tiny_tokenizer
from training.gpt.generation.detokenizer import Detokenizer, strip_incomplete_character
from training.gpt.generation.stop_strings import find_stop_string
from training.gpt.tokenizer import SpecialTokens, Tokenizer

CHINESE = "红楼梦第一回 甄士隐梦幻识通灵,贾雨村风尘怀闺秀。"
EMOJI = "The cat 🐈 sat 👩‍👩‍👧 on 🇨🇳 the café mat 🎉!"


def sentencepiece() -> Tokenizer:
    """A vocabulary as Llama's: words begin with a bar, and what it lacks is written byte by byte."""
    words = ["▁the", "▁cat", "▁sat", "s", "▁", ".", "é", "中"]
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    backend = Backend(
        models.BPE(
            {word: number for number, word in enumerate(vocabulary)},
            [],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return Tokenizer(backend, SpecialTokens(end=(2,), begin=1, pad=0))


TOKENIZERS = {
    "bpe": tiny_tokenizer(CHINESE, EMOJI),
    "char": tiny_tokenizer(CHINESE, EMOJI, kind="char"),
    "word": tiny_tokenizer("the cat sat , on the mat .", kind="word"),
    "sentencepiece": sentencepiece(),
}
every_tokenizer = pytest.mark.parametrize("kind", TOKENIZERS)


def pieces(tokenizer: Tokenizer, prompt: list[int], tokens: list[int], *stops: str) -> list[str]:
    detokenizer = Detokenizer(tokenizer, prompt, stops)
    given = []
    for token in tokens:
        given.append(detokenizer.add(token))
        if detokenizer.stopped:
            break
    return [*given, detokenizer.flush()]


@pytest.mark.parametrize("text", [CHINESE, EMOJI, "naïve  café\n\n", " leading", "�"])
def test_characters_whose_bytes_are_spread_over_tokens_come_whole(text: str) -> None:
    tokenizer = tiny_tokenizer("plain English only")
    tokens = tokenizer.encode(text)
    given = pieces(tokenizer, tokenizer.prompt("so: "), tokens)
    assert "".join(given) == strip_incomplete_character(text)
    if text in {CHINESE, EMOJI}:
        assert len(tokens) > len(text), "its characters should be spread over tokens"
        assert "\ufffd" not in "".join(given)
        assert sum(map(bool, given)) > 10, "it should come in many pieces"


@every_tokenizer
def test_pieces_add_up_to_the_text_of_all_tokens(kind: str) -> None:
    """Random tokens: mostly bytes that are no text, unknown words, special tokens in the middle."""
    tokenizer, rng = TOKENIZERS[kind], random.Random(0)
    for _ in range(200):
        prompt = tokenizer.prompt(rng.choice(["", "the", "the cat", "the cat "]))
        tokens = [rng.randrange(tokenizer.vocab_size) for _ in range(rng.randrange(1, 30))]
        if kind == "sentencepiece":  # there, one stray byte spoils characters given out before it
            tokens = [token for token in tokens if not 3 <= token < 259]
        assert "".join(pieces(tokenizer, prompt, tokens)) == strip_incomplete_character(
            tokenizer.continuation(prompt, tokens)
        )


@pytest.mark.parametrize("text", [CHINESE, EMOJI, "中国 the cat", "the 中国🐈 cat s"])
def test_bytes_that_only_make_sense_as_a_run_wait_for_its_characters(text: str) -> None:
    tokenizer = TOKENIZERS["sentencepiece"]
    tokens = []
    for character in text:
        if character == " ":
            tokens.append(tokenizer.encode("▁")[0])
        else:
            tokens += [3 + byte for byte in character.encode()]
    given = pieces(tokenizer, tokenizer.prompt(""), tokens)
    assert "".join(given) == text
    assert all(len(piece) <= 2 for piece in given)


def test_stray_bytes_in_such_a_run_do_not_hold_up_what_follows() -> None:
    tokenizer = TOKENIZERS["sentencepiece"]
    stray, cat = 3 + 0xFF, tokenizer.vocab_size - 7
    given = pieces(tokenizer, tokenizer.prompt(""), [*(3 + byte for byte in "中".encode()), stray, cat, cat])
    assert given == ["", "", "中", "", "\ufffd\ufffd\ufffd cat", " cat", ""]


def test_only_a_few_tokens_are_decoded_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = TOKENIZERS["bpe"]
    tokens = tokenizer.encode(CHINESE * 20)
    lengths = []
    decode = Tokenizer.decode

    def counting(self: Tokenizer, ids: list[int]) -> str:
        lengths.append(len(ids))
        return decode(self, ids)

    monkeypatch.setattr(Tokenizer, "decode", counting)
    pieces(tokenizer, tokenizer.prompt(""), tokens)
    assert max(lengths) <= 8


@every_tokenizer
@pytest.mark.parametrize("stops", [("cat",), ("t s",), (" sat", "at s"), ("mat", "he c"), ("zzz",)])
def test_text_ends_before_a_stop_text_even_across_tokens(kind: str, stops: tuple[str, ...]) -> None:
    tokenizer = TOKENIZERS[kind]
    prompt = tokenizer.prompt("the")
    tokens = [
        token
        for word in ("the cat", "sat")
        for token in tokenizer.encode(("" if kind == "word" else " ") + word)
    ]
    if kind == "sentencepiece":
        tokens = [tokenizer.vocab_size - place for place in (8, 7, 6)]
    whole = tokenizer.continuation(prompt, tokens)
    assert whole == " the cat sat"
    given = pieces(tokenizer, prompt, tokens, *stops)
    assert "".join(given) == whole[: find_stop_string(whole, stops)]


def test_only_what_may_become_a_stop_text_is_held_back() -> None:
    tokenizer = tiny_tokenizer("abcx", kind="char")
    detokenizer = Detokenizer(tokenizer, tokenizer.prompt(""), ["abc"])
    given = [detokenizer.add(token) for token in tokenizer.encode("xaxababc")]
    assert given == ["x", "", "ax", "", "", "ab", "", ""]
    assert detokenizer.stopped
    assert detokenizer.flush() == ""


def test_what_was_held_back_comes_when_no_token_follows() -> None:
    tokenizer = tiny_tokenizer("abcx", kind="char")
    assert pieces(tokenizer, tokenizer.prompt(""), tokenizer.encode("xab"), "abc") == ["x", "", "", "ab"]


def test_the_longest_beginning_of_any_stop_text_is_held_back() -> None:
    tokenizer = tiny_tokenizer("abcx", kind="char")
    assert pieces(tokenizer, tokenizer.prompt(""), tokenizer.encode("xabcb"), "abcx", "cb") == [
        "x",
        "",
        "",
        "",
        "ab",
        "",
    ]


def test_a_stop_text_in_the_prompt_is_not_looked_at() -> None:
    tokenizer = tiny_tokenizer("abcx", kind="char")
    assert "".join(pieces(tokenizer, tokenizer.prompt("ab"), tokenizer.encode("cx"), "ab", "bc")) == "cx"


def test_a_fork_goes_its_own_way() -> None:
    tokenizer = tiny_tokenizer("abcx", kind="char")
    one = Detokenizer(tokenizer, tokenizer.prompt(""), ["ab"])
    assert one.add(tokenizer.encode("a")[0]) == ""
    other = one.fork()
    assert one.add(tokenizer.encode("b")[0]) == ""
    assert other.add(tokenizer.encode("c")[0]) == "ac"
    assert one.stopped
    assert not other.stopped
