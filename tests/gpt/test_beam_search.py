from itertools import product
from typing import Any

import pytest
import torch

from tests.gpt.tiny_models import texts, tiny_model, tiny_tokenizer
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generation.beam_search import Hypothesis, beam_search
from training.gpt.generation.detokenizer import Detokenizer
from training.gpt.generation.generate import generate, never_stop
from training.gpt.generation.sampling import apply_repetition_penalty

LETTERS = tiny_tokenizer("abc", kind="char")
END, PAD = LETTERS.eos_id, LETTERS.pad_id
VOCABULARY, LENGTH = 6, 4
PROMPTS = [[END, 3, 5], [END], [END, 5, 5, 4, 3]]
MODEL = tiny_model(vocab_size=VOCABULARY)
WIDE = VOCABULARY**LENGTH  # so many beams that none is ever dropped


def search(prompts: list[list[int]], beams: int, **options: Any) -> list[list[Hypothesis]]:
    sampling = SamplingConfig(beams=beams, **{"max_new_tokens": LENGTH, **options})
    detokenizers = [Detokenizer(LETTERS, prompt, sampling.stops) for prompt in prompts if sampling.stop]
    return beam_search(
        MODEL,
        prompts,
        sampling,
        eos_ids=[END],
        pad_id=PAD,
        should_stop=never_stop,
        detokenizers=detokenizers,
    )


def every_completion(
    prompt: list[int], *, length_penalty: float = 1.0, repetition_penalty: float = 1.0, stop: str = ""
) -> list[tuple[float, tuple[int, ...]]]:
    """All completions of at most LENGTH tokens with their scores, best first: no search at all."""
    rows = torch.tensor(list(product(range(VOCABULARY), repeat=LENGTH)))
    text = torch.cat((torch.tensor(prompt).expand(len(rows), -1), rows), dim=1)
    with torch.inference_mode():
        logits = MODEL(text)[:, len(prompt) - 1 : -1]
    totals = torch.zeros(len(rows), LENGTH)
    for place in range(LENGTH):
        seen = torch.zeros(len(rows), VOCABULARY, dtype=torch.bool)
        seen.scatter_(1, text[:, 1 : len(prompt) + place], True)  # all but the token that begins the text
        bent = apply_repetition_penalty(logits[:, place], seen, repetition_penalty).log_softmax(-1)
        totals[:, place] = bent.gather(1, rows[:, place, None])[:, 0]
    totals = totals.cumsum(dim=1)
    scored = {}
    for row, completion in enumerate(rows.tolist()):
        for size in range(1, LENGTH + 1):
            stopped = bool(stop) and stop in LETTERS.decode(completion[:size])
            if completion[size - 1] == END or stopped or size == LENGTH:
                scored[tuple(completion[:size])] = float(totals[row, size - 1]) / size**length_penalty
                break
    return sorted(((score, completion) for completion, score in scored.items()), reverse=True)


@pytest.mark.parametrize(
    "options",
    [
        {"length_penalty": 0.0},
        {"length_penalty": 0.6},
        {"length_penalty": 1.0},
        {"length_penalty": 2.0},
        {"repetition_penalty": 1.4},
        {"repetition_penalty": 0.6, "length_penalty": 0.6},
        {"stop": "b"},
        {"stop": "ab", "length_penalty": 2.0},
    ],
    ids=str,
)
def test_wide_enough_beams_find_what_exhaustive_search_finds(options: dict[str, Any]) -> None:
    for prompt, found in zip(PROMPTS, search(PROMPTS, WIDE, **options), strict=True):
        expected = every_completion(prompt, **options)
        assert len(found) == len(expected)
        assert any(each.ended for each in found[:20])
        assert not all(each.ended for each in found[:20])
        assert [each.tokens for each in found[:20]] == [completion for _, completion in expected[:20]]
        for hypothesis, (score, _) in zip(found, expected, strict=True):
            assert hypothesis.score(options.get("length_penalty", 1.0)) == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
def test_ending_early_loses_nothing(length_penalty: float) -> None:
    """What is dropped because it cannot improve would not have: a search that never ends early agrees."""
    for beams in (1, 2, 3, 5):
        for prompt in PROMPTS:
            (found,) = search([prompt], beams, length_penalty=length_penalty, max_new_tokens=12)
            assert [each.tokens for each in found] == patient_search(prompt, beams, length_penalty, 12)


def patient_search(
    prompt: list[int], beams: int, length_penalty: float, longest: int
) -> list[tuple[int, ...]]:
    """Beam search in the fewest words: no cache, no batch, no early end."""
    living: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    ended: list[tuple[float, tuple[int, ...]]] = []
    for _ in range(longest):
        grown = []
        for total, tokens in living:
            with torch.inference_mode():
                logprobs = MODEL(torch.tensor([prompt + list(tokens)]))[0, -1].log_softmax(-1).tolist()
            grown += [(total + logprob, (*tokens, token)) for token, logprob in enumerate(logprobs)]
        best = sorted(grown, reverse=True)[: 2 * beams]
        ended += [each for each in best[:beams] if each[1][-1] == END]
        living = [each for each in best if each[1][-1] != END][:beams]
    ranked = sorted(
        (*ended, *living), key=lambda each: each[0] / len(each[1]) ** length_penalty, reverse=True
    )
    return [tokens for _, tokens in ranked[:beams]]


def test_prompts_are_searched_together_as_alone() -> None:
    together = search(PROMPTS, 3, max_new_tokens=10)
    for prompt, found in zip(PROMPTS, together, strict=True):
        (alone,) = search([prompt], 3, max_new_tokens=10)
        assert [each.tokens for each in found] == [each.tokens for each in alone]
        assert found[0].total == pytest.approx(alone[0].total, abs=3e-5)


def test_one_beam_without_a_length_penalty_is_greedy() -> None:
    sampling = SamplingConfig(temperature=0, max_new_tokens=LENGTH)
    greedy = generate(MODEL, PROMPTS, sampling, eos_id=END, pad_id=PAD)
    assert [list(found[0].tokens) for found in search(PROMPTS, 1, length_penalty=0.0)] == greedy.completions()


def test_narrow_beams_come_back_best_first() -> None:
    (found,) = search(PROMPTS[:1], 3)
    scores = [each.score(1.0) for each in found]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


def test_beams_fill_a_generation() -> None:
    prompts, sampling = PROMPTS[:2], SamplingConfig(beams=4, max_new_tokens=LENGTH)
    written = generate(MODEL, prompts, sampling, eos_id=END, pad_id=PAD, samples_per_prompt=2)
    assert written.completions() == [
        list(found[row].tokens) for found in search(prompts, 4) for row in (0, 1)
    ]
    assert ((written.tokens == END).any(dim=1) == written.ended).all()


def test_logprobs_are_the_models_own_whatever_the_penalty() -> None:
    sampling = SamplingConfig(beams=3, max_new_tokens=12, repetition_penalty=1.5)
    written = generate(MODEL, PROMPTS, sampling, eos_id=END, pad_id=PAD)
    for prompt, completion, logprobs in zip(PROMPTS, written.completions(), written.logprobs, strict=True):
        with torch.inference_mode():
            logits = MODEL(torch.tensor([prompt + completion]))[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None])[:, 0]
        torch.testing.assert_close(logprobs[: len(completion)], expected, atol=3e-5, rtol=0)


def test_text_of_beams_ends_before_a_stop_text() -> None:
    sampling = SamplingConfig(beams=3, max_new_tokens=12, length_penalty=0, stop="b|ca")
    own_texts = texts(MODEL, LETTERS, ["ab", "", "ccb"], sampling, samples_per_prompt=3)
    assert not any("b" in text or "ca" in text for own in own_texts for text in own)
    written = generate(
        MODEL, PROMPTS, sampling, eos_id=END, pad_id=PAD, samples_per_prompt=3, tokenizer=LETTERS
    )
    ends = [LETTERS.decode(row)[-2:] for row in written.completions()]
    stopped = [end.endswith("b") or end == "ca" for end in ends]
    assert any(stopped)
    for row, ended in enumerate(written.ended.tolist()):
        assert ended == (stopped[row] or END in written.completions()[row])


def test_each_prompt_may_fill_the_context() -> None:
    prompts = [[END, *[3] * 28], [END, 4]]
    found = search(prompts, 2, max_new_tokens=100)
    alone = [search([prompt], 2, max_new_tokens=100)[0] for prompt in prompts]
    assert [[each.tokens for each in own] for own in found] == [
        [each.tokens for each in own] for own in alone
    ]
    assert max(len(each.tokens) for each in found[0]) == 32 - 29
    assert max(len(each.tokens) for each in found[1]) > 3


def test_a_search_can_be_stopped() -> None:
    asked = iter([False, False, True])
    sampling = SamplingConfig(beams=3, max_new_tokens=20)
    written = generate(MODEL, PROMPTS, sampling, eos_id=END, pad_id=PAD, should_stop=lambda: next(asked))
    assert written.tokens.shape == (3, 2)


def test_more_samples_than_beams_are_refused() -> None:
    with pytest.raises(InputError, match="beams: 2 beams cannot give 3 samples"):
        generate(MODEL, PROMPTS, SamplingConfig(beams=2), eos_id=END, pad_id=PAD, samples_per_prompt=3)
