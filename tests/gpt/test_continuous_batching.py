"""Completions that join and leave a running batch are what each would be alone."""

import pytest
import torch

from tests.gpt.tiny_models import LAYOUTS, tiny_model, tiny_tokenizer
from training.gpt.config import SamplingConfig
from training.gpt.generation.continuous_batching import ContinuousBatch, RunningCompletion
from training.gpt.generation.detokenizer import Detokenizer
from training.gpt.generation.generate import Completion, complete
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer

WORDS = "the cat sat on a mat and the dog ran to the red barn"


@pytest.fixture(scope="module", params=["modern", "gpt2", "llama"])
def writer(request: pytest.FixtureRequest) -> tuple[GPT, Tokenizer]:
    tokenizer = tiny_tokenizer(WORDS)
    return tiny_model(
        **{**LAYOUTS[request.param], "vocab_size": tokenizer.vocab_size, "context": 64}
    ), tokenizer


def running(
    tokenizer: Tokenizer, prompt: str, sampling: SamplingConfig, *, context: int = 64, top: int = 0
) -> RunningCompletion:
    ids = tokenizer.prompt(prompt)
    return RunningCompletion(
        ids,
        sampling,
        min(sampling.max_new_tokens, context - len(ids)),
        Detokenizer(tokenizer, ids, sampling.stops),
        torch.Generator().manual_seed(sampling.seed),
        top_logprobs=top,
    )


def alone(writer: tuple[GPT, Tokenizer], prompt: str, sampling: SamplingConfig) -> Completion:
    return complete(*writer, [prompt], sampling)[0][0]


def assert_same(got: RunningCompletion, expected: Completion) -> None:
    assert [token.id for token in got.tokens] == expected.tokens
    assert [token.logprob for token in got.tokens] == pytest.approx(expected.logprobs, abs=1e-4)
    assert got.text == expected.text
    assert (got.finish_reason == "stop") == expected.ended


REQUESTS = [
    ("the cat", SamplingConfig(seed=1, max_new_tokens=20)),
    ("a much longer prompt: the dog ran to the red barn and", SamplingConfig(seed=2, temperature=0.7)),
    ("", SamplingConfig(seed=3, top_k=5, max_new_tokens=9)),
    ("the cat", SamplingConfig(seed=4, top_p=0.8, max_new_tokens=30)),
    ("dog", SamplingConfig(temperature=0, seed=5, max_new_tokens=25)),
    ("barn", SamplingConfig(seed=6, min_p=0.05, repetition_penalty=1.4, max_new_tokens=12)),
    ("on", SamplingConfig(seed=7, max_new_tokens=40, stop="a|e")),
    ("red", SamplingConfig(seed=8, max_new_tokens=1)),
]


def test_each_is_what_it_would_be_alone_whenever_others_join_and_leave(
    writer: tuple[GPT, Tokenizer],
) -> None:
    waiting = [running(writer[1], prompt, sampling) for prompt, sampling in REQUESTS]
    everyone, batch, steps = list(waiting), ContinuousBatch(*writer), 0
    while waiting or batch.rows:
        joining = [waiting.pop(0) for _ in range(min(len(waiting), 1 + steps % 2))] if steps % 3 == 0 else []
        batch.step(joining)
        steps += 1
    for got, (prompt, sampling) in zip(everyone, REQUESTS, strict=True):
        assert_same(got, alone(writer, prompt, sampling))


def test_a_completion_that_is_removed_leaves_the_others_as_they_are(writer: tuple[GPT, Tokenizer]) -> None:
    everyone = [running(writer[1], prompt, sampling) for prompt, sampling in REQUESTS[:5]]
    batch = ContinuousBatch(*writer)
    batch.step(everyone)
    batch.step()
    batch.remove(everyone[1])
    while batch.rows:
        batch.step()
    assert len(everyone[1].tokens) == 2
    for place in (0, 2, 3, 4):
        assert_same(everyone[place], alone(writer, *REQUESTS[place]))


def test_a_completion_ends_where_the_context_is_full(writer: tuple[GPT, Tokenizer]) -> None:
    sampling = SamplingConfig(seed=9, max_new_tokens=500, repetition_penalty=1.1)
    got, batch = running(writer[1], WORDS[:20], sampling), ContinuousBatch(*writer)
    batch.step([got, running(writer[1], "the", SamplingConfig(seed=1, max_new_tokens=3))])
    while batch.rows:
        batch.step()
    assert_same(got, alone(writer, WORDS[:20], sampling))


def test_the_most_likely_tokens_come_with_the_log_probabilities_of_the_one_sampled(
    writer: tuple[GPT, Tokenizer],
) -> None:
    batch = ContinuousBatch(*writer)
    greedy = running(writer[1], "the", SamplingConfig(temperature=0, max_new_tokens=5), top=3)
    plain = running(writer[1], "the", SamplingConfig(temperature=0, max_new_tokens=5))
    batch.step([greedy, plain])
    while batch.rows:
        batch.step()
    for token in greedy.tokens:
        best, logprob = token.top[0]
        assert best == token.id
        assert logprob == pytest.approx(token.logprob, abs=1e-5)
        assert [value for _, value in token.top] == sorted((value for _, value in token.top), reverse=True)
        assert len(token.top) == 3
    assert [token.top for token in plain.tokens] == [()] * len(plain.tokens)
    assert [token.id for token in plain.tokens] == [token.id for token in greedy.tokens]


def test_an_idle_batch_holds_no_cache(writer: tuple[GPT, Tokenizer]) -> None:
    batch = ContinuousBatch(*writer)
    batch.step([running(writer[1], "the cat", SamplingConfig(seed=1, max_new_tokens=1))])
    assert batch.step() == []
    assert batch._cache.keys.numel() == 0
