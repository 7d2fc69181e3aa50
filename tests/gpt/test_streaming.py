"""Text that is printed while it is written."""

from collections.abc import Iterator

import pytest
import torch

from tests.gpt.tiny_models import texts, tiny_model, tiny_tokenizer
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generation.streaming import stream_text
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer

TEXT = "老猫 🐈 坐在垫子上 👩‍👧。"


@pytest.fixture(scope="module")
def parrot() -> tuple[GPT, Tokenizer]:
    """A model that says TEXT by heart, byte by byte."""
    tokenizer = tiny_tokenizer("plain English only")
    model = tiny_model(vocab_size=tokenizer.vocab_size, context=96)
    ids = torch.tensor([[*tokenizer.prompt(TEXT), tokenizer.eos_id]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(80):
        loss = torch.nn.functional.cross_entropy(model(ids[:, :-1])[0], ids[0, 1:])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model, tokenizer


def greedy(**options: object) -> SamplingConfig:
    return SamplingConfig(**{"temperature": 0, "max_new_tokens": 90, **options})  # type: ignore[arg-type]


def test_chinese_and_emoji_come_character_by_character(parrot: tuple[GPT, Tokenizer]) -> None:
    pieces = list(stream_text(*parrot, "", greedy()))
    assert "".join(pieces) == TEXT
    assert len(pieces) == len(TEXT)


def test_a_character_that_the_budget_cuts_short_is_left_out(parrot: tuple[GPT, Tokenizer]) -> None:
    model, tokenizer = parrot
    size = len(tokenizer.encode("老猫 🐈"))
    for missing in (1, 2, 3):
        sampling = greedy(max_new_tokens=size - missing)
        assert "".join(stream_text(model, tokenizer, "", sampling)) == "老猫 "
        assert texts(model, tokenizer, [""], sampling) == [["老猫 "]]


@pytest.mark.parametrize(
    ("stop", "expected"),
    [("🐈", "老猫 "), ("坐在|猫 🐈 坐子", "老猫 🐈 "), (" 👩‍👦|垫子下", TEXT), ("上 ", "老猫 🐈 坐在垫子")],
)
def test_a_stop_text_ends_the_stream_before_it(
    parrot: tuple[GPT, Tokenizer], stop: str, expected: str
) -> None:
    model, tokenizer = parrot
    assert "".join(stream_text(model, tokenizer, "", greedy(stop=stop))) == expected
    assert texts(model, tokenizer, [""], greedy(stop=stop)) == [[expected]]


def test_nothing_is_read_ahead(parrot: tuple[GPT, Tokenizer]) -> None:
    """Each piece comes as soon as its last token is written, and not at the end."""
    model, tokenizer = parrot
    steps = 0

    def counting() -> bool:
        nonlocal steps
        steps += 1
        return False

    came = [(steps, piece) for piece in stream_text(model, tokenizer, "", greedy(), should_stop=counting)]
    assert came[0] == (3, "老")
    assert came[1] == (6, "猫")
    assert came[3] == (11, "🐈")


@pytest.mark.parametrize("kind", ["bpe", "char", "word"])
def test_the_pieces_add_up_to_what_complete_gives(kind: str) -> None:
    tokenizer = tiny_tokenizer("the cat sat on the mat, and the dog sat on the log", kind=kind)
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    for seed in range(4):
        for prompt in ("", "the cat"):
            sampling = SamplingConfig(
                seed=seed, max_new_tokens=25, stop="t|og", repetition_penalty=1.1, top_p=0.9
            )
            pieces = list(stream_text(model, tokenizer, prompt, sampling))
            assert all(pieces)
            assert [["".join(pieces)]] == texts(model, tokenizer, [prompt], sampling)


def test_a_stream_that_is_stopped_gives_all_that_was_written(parrot: tuple[GPT, Tokenizer]) -> None:
    model, tokenizer = parrot
    asked = iter([False] * 7 + [True])
    pieces = stream_text(model, tokenizer, "", greedy(stop="猫 X"), should_stop=lambda: next(asked))
    assert "".join(pieces) == "老猫 ", "what was held back for the stop text comes at the end"


def test_the_model_is_left_as_it_was_between_pieces(parrot: tuple[GPT, Tokenizer]) -> None:
    model, tokenizer = parrot
    model.train()
    pieces: Iterator[str] = stream_text(model, tokenizer, "", greedy())
    next(pieces)
    assert model.training
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    model.eval()


def test_bad_input_is_refused_before_the_first_piece() -> None:
    tokenizer = tiny_tokenizer(kind="char")
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    with pytest.raises(InputError, match="beams: beam search knows its text only at the end"):
        stream_text(model, tokenizer, "", SamplingConfig(beams=2))
    with pytest.raises(InputError, match="prompt: 41 tokens leave no room in a context of 32"):
        stream_text(model, tokenizer, "t" * 40, SamplingConfig())
