from typing import Any

import pytest
import torch

from tests.gpt.tiny_models import LAYOUTS, texts, tiny_model, tiny_tokenizer
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generation.decoding import Generation
from training.gpt.generation.generate import complete, generate
from training.gpt.model import GPT

END, PAD = 0, 1
PROMPTS = [[END, 5, 6], [END], [END, 9, 8, 7, 6, 5, 4, 3], [END, 5, 6]]
layouts = pytest.mark.parametrize("layout", LAYOUTS)


def write(model: GPT, prompts: list[list[int]], samples_per_prompt: int = 1, **options: float) -> Generation:
    sampling = SamplingConfig(**{"seed": 5, "max_new_tokens": 20, **options})  # type: ignore[arg-type]
    return generate(model, prompts, sampling, eos_id=END, pad_id=PAD, samples_per_prompt=samples_per_prompt)


def recomputed(
    model: GPT, prompt: list[int], completion: list[int], temperature: float = 1.0
) -> torch.Tensor:
    """Log-probabilities of a completion by one plain forward pass, without cache or padding."""
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + completion]))[0, len(prompt) - 1 : -1] / temperature
    chosen: torch.Tensor = logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0]
    return chosen


@layouts
def test_greedy_equals_a_loop_of_argmax(layout: str) -> None:
    model = tiny_model(**LAYOUTS[layout])
    written = write(model, PROMPTS, temperature=0)
    for prompt, completion in zip(PROMPTS, written.completions(), strict=True):
        text = list(prompt)
        with torch.inference_mode():
            while len(text) < len(prompt) + 20 and (text == prompt or text[-1] != END):
                text.append(int(model(torch.tensor([text]))[0, -1].argmax()))
        assert text == prompt + completion


@layouts
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_of_what_was_sampled_are_those_of_a_forward_pass(layout: str, temperature: float) -> None:
    model = tiny_model(**LAYOUTS[layout], context=64)
    written = write(
        model,
        PROMPTS,
        samples_per_prompt=6,
        temperature=temperature,
        max_new_tokens=48,
        top_p=0.95,
        repetition_penalty=0.9,
    )
    lengths = written.mask.sum(dim=1).tolist()
    assert max(lengths) > 30
    assert len(set(lengths)) > 3, "rows should end at different times, so that some leave the batch early"
    for row, completion in enumerate(written.completions()):
        expected = recomputed(model, PROMPTS[row // 6], completion, temperature)
        torch.testing.assert_close(written.logprobs[row, : lengths[row]], expected, atol=3e-5, rtol=0)


@layouts
def test_left_padded_and_unpadded_prompts_agree(layout: str) -> None:
    model = tiny_model(**LAYOUTS[layout], context=64)
    together = write(model, PROMPTS, temperature=0, max_new_tokens=48)
    for row, prompt in enumerate(PROMPTS):
        alone = write(model, [prompt], temperature=0, max_new_tokens=48)
        size = alone.tokens.shape[1]
        assert together.completions()[row] == alone.completions()[0]
        torch.testing.assert_close(together.logprobs[row, :size], alone.logprobs[0], atol=3e-5, rtol=0)


def test_a_greedy_repetition_penalty_equals_a_slow_loop() -> None:
    model, penalty = tiny_model(), 1.4
    written = write(model, PROMPTS, temperature=0, repetition_penalty=penalty)
    for prompt, completion in zip(PROMPTS, written.completions(), strict=True):
        text = list(prompt)
        while len(text) < len(prompt) + 20 and (text == prompt or text[-1] != END):
            with torch.inference_mode():
                logits = model(torch.tensor([text]))[0, -1].tolist()
            for token in set(text[1:]):
                logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
            text.append(max(range(23), key=lambda token: logits[token]))
        assert text == prompt + completion
    assert written.completions() != write(model, PROMPTS, temperature=0).completions()


def test_the_mask_reaches_to_the_end_token_and_no_further() -> None:
    written = write(tiny_model(), PROMPTS, samples_per_prompt=8)
    assert written.ended.any()
    for tokens, mask, logprobs, ended in zip(
        written.tokens, written.mask, written.logprobs, written.ended, strict=True
    ):
        length = int(mask.sum())
        assert mask[:length].all()
        assert bool(ended) == (tokens[length - 1] == END)
        assert END not in tokens[: length - 1]
        assert (tokens[length:] == PAD).all()
        assert (logprobs[length:] == 0).all()
        assert ended or length == 20


def test_any_of_several_end_tokens_ends_a_completion() -> None:
    ends = [END, 7, 12]
    written = generate(
        tiny_model(),
        PROMPTS,
        SamplingConfig(seed=5, max_new_tokens=20),
        eos_id=ends,
        pad_id=PAD,
        samples_per_prompt=8,
    )
    last = {completion[-1] for completion in written.completions()}
    assert last >= set(ends)
    for completion, ended in zip(written.completions(), written.ended.tolist(), strict=True):
        assert ended == (completion[-1] in ends)
        assert not set(completion[:-1]) & set(ends)


def test_a_prompt_is_read_once_and_ended_rows_leave_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    shapes: list[tuple[int, ...]] = []
    hidden = model.hidden

    def watched(tokens: torch.Tensor, **options: Any) -> torch.Tensor:
        shapes.append(tuple(tokens.shape))
        return hidden(tokens, **options)

    monkeypatch.setattr(model, "hidden", watched)
    written = write(model, PROMPTS, samples_per_prompt=16)
    assert shapes[0] == (4, 8)
    assert shapes[1] == (64, 1)
    assert all(length == 1 for _, length in shapes[1:])
    lengths = written.mask.sum(dim=1)
    for step, (rows, _) in enumerate(shapes[1:], start=1):
        active = int((lengths > step).sum())
        assert active <= rows <= max(active / 0.75 + 1, active)


def test_samples_of_one_prompt_stand_together_and_differ() -> None:
    model = tiny_model()
    written = write(model, [[END, 5], [END, 6]], samples_per_prompt=4)
    assert written.tokens.shape[0] == 8
    assert len({tuple(row) for row in written.completions()}) > 4
    for row, completion in enumerate(written.completions()):
        expected = recomputed(model, [END, 5 if row < 4 else 6], completion)
        torch.testing.assert_close(written.logprobs[row][written.mask[row]], expected, atol=6e-5, rtol=0)


def test_the_same_seed_writes_the_same_and_another_seed_does_not() -> None:
    model = tiny_model()
    assert torch.equal(write(model, PROMPTS).tokens, write(model, PROMPTS).tokens)
    assert write(model, PROMPTS, seed=6).completions() != write(model, PROMPTS).completions()


def test_no_seed_writes_differently_each_time() -> None:
    model = tiny_model()
    assert len({str(write(model, PROMPTS, seed=-1).completions()) for _ in range(4)}) > 1


def test_a_completion_stops_where_the_context_is_full() -> None:
    model = tiny_model()
    written = write(model, [[END] + [5] * 28], samples_per_prompt=20, max_new_tokens=100)
    assert written.tokens.shape[1] == 32 - 29


@layouts
def test_a_long_prompt_in_the_batch_does_not_cut_the_others_short(layout: str) -> None:
    model = tiny_model(**LAYOUTS[layout])
    prompts = [[END] + [5] * 28, [END, 5], [END] + [6] * 19, [END, 4]]
    together = write(model, prompts, temperature=0, max_new_tokens=100).completions()
    assert together == [
        write(model, [prompt], temperature=0, max_new_tokens=100).completions()[0] for prompt in prompts
    ]
    assert [
        len(prompt) + len(completion) for prompt, completion in zip(prompts, together, strict=True)
    ].count(32)
    assert max(map(len, together)) > 13


def test_writing_can_be_stopped() -> None:
    asked = iter([False, False, True])
    written = generate(
        tiny_model(),
        PROMPTS,
        SamplingConfig(seed=0, max_new_tokens=20),
        eos_id=END,
        pad_id=PAD,
        should_stop=lambda: next(asked),
    )
    assert written.tokens.shape == (4, 3)


def test_dropout_is_off_while_writing_and_back_on_after() -> None:
    model = tiny_model(dropout=0.5)
    expected = write(model, PROMPTS, temperature=0).completions()
    model.train()
    assert write(model, PROMPTS, temperature=0).completions() == expected
    assert model.training


def test_a_prompt_that_fills_the_context_is_refused() -> None:
    message = "prompt: 32 tokens leave no room in a context of 32; shorten it to at most 31"
    with pytest.raises(InputError, match=message):
        write(tiny_model(), [[END] * 32])
    with pytest.raises(InputError, match="prompt 2: 40 tokens"):
        write(tiny_model(), [[END], [END] * 40, [END]])


def test_no_prompts_are_refused() -> None:
    with pytest.raises(InputError, match="there is none to complete"):
        write(tiny_model(), [])
    with pytest.raises(InputError, match="end-of-text"):
        write(tiny_model(), [[]])


@pytest.mark.parametrize("kind", ["bpe", "char", "word"])
def test_text_is_what_exactly_follows_the_prompt(kind: str) -> None:
    tokenizer = tiny_tokenizer("the cat sat on the mat and the dog sat on the log", kind=kind)
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    prompts = ["the cat", "", "the dog sat on"]
    sampling = SamplingConfig(seed=1, max_new_tokens=8)
    written = texts(model, tokenizer, prompts, sampling, samples_per_prompt=3, batch_size=3)
    assert [len(each) for each in written] == [3, 3, 3]
    for prompt, completions in zip(prompts, written, strict=True):
        for completion in completions:
            assert "<|" not in completion
            if kind != "bpe":  # a random model writes byte sequences that are no text
                assert tokenizer.encode(prompt + completion)[
                    : len(tokenizer.encode(prompt))
                ] == tokenizer.encode(prompt)


STORY = "the cat sat on the mat and the dog sat on the log"


@pytest.mark.parametrize("kind", ["bpe", "char", "word"])
def test_a_row_ends_as_soon_as_its_text_holds_a_stop_text(kind: str) -> None:
    tokenizer = tiny_tokenizer(STORY, kind=kind)
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    prompts = [tokenizer.prompt(text) for text in ("the cat", "", "the dog sat")]
    free = SamplingConfig(seed=2, max_new_tokens=20)
    sampling = SamplingConfig(seed=2, max_new_tokens=20, stop=r"at|e d| o|\n|g")
    written = generate(
        model,
        prompts,
        sampling,
        eos_id=tokenizer.eos_id,
        pad_id=tokenizer.pad_id,
        samples_per_prompt=10,
        tokenizer=tokenizer,
    )
    stopped = 0
    for row, completion in enumerate(written.completions()):
        prompt = prompts[row // 10]
        holds = [
            any(stop in tokenizer.continuation(prompt, completion[:size]) for stop in sampling.stops)
            for size in range(1, len(completion) + 1)
        ]
        assert not any(holds[:-1]), "it should have ended sooner"
        assert bool(written.ended[row]) == (holds[-1] or completion[-1] == tokenizer.eos_id)
        assert holds[-1] or completion[-1] == tokenizer.eos_id or len(completion) == 20
        stopped += holds[-1]
        expected = recomputed(model, prompt, completion)
        torch.testing.assert_close(written.logprobs[row][written.mask[row]], expected, atol=3e-5, rtol=0)
    assert 5 < stopped < 30
    own_texts = texts(model, tokenizer, ["the cat", "", "the dog sat"], sampling, samples_per_prompt=10)
    assert not any(stop in text for own in own_texts for text in own for stop in sampling.stops)
    assert own_texts != texts(model, tokenizer, ["the cat", "", "the dog sat"], free, samples_per_prompt=10)


def test_stop_texts_need_a_tokenizer() -> None:
    with pytest.raises(InputError, match="stop: stop strings need the tokenizer"):
        generate(tiny_model(), PROMPTS, SamplingConfig(stop="x"), eos_id=END, pad_id=PAD)


def test_a_completion_says_all_that_was_sampled() -> None:
    tokenizer = tiny_tokenizer(STORY, kind="char")
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    sampling = SamplingConfig(seed=3, max_new_tokens=12, stop="t", temperature=0.8)
    written = complete(model, tokenizer, ["the", "a cat"], sampling, samples_per_prompt=4, batch_size=4)
    for prompt, completions in zip(["the", "a cat"], written, strict=True):
        assert len(completions) == 4
        for each in completions:
            ids = tokenizer.prompt(prompt)
            assert each.text == tokenizer.continuation(ids, each.tokens).partition("t")[0]
            assert each.ended == (each.tokens[-1] in {tokenizer.eos_id, *tokenizer.encode("t")})
            expected = recomputed(model, ids, each.tokens, 0.8)
            torch.testing.assert_close(torch.tensor(each.logprobs), expected, atol=3e-5, rtol=0)


def test_all_prompts_are_checked_before_anything_is_written() -> None:
    tokenizer = tiny_tokenizer(STORY, kind="char")
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    asked = False

    def ask() -> bool:
        nonlocal asked
        asked = True
        return False

    with pytest.raises(InputError, match="prompt 3: 41 tokens"):
        complete(
            model,
            tokenizer,
            ["a", "b", "t" * 40],
            SamplingConfig(),
            batch_size=1,
            should_stop=ask,
        )
    assert not asked
