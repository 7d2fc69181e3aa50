from itertools import product

import pytest
import torch

from tests.gpt.examples import tiny_model
from training.gpt.beams import Hypothesis, beam_search
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generate import generate, never

END, PAD, VOCABULARY, LENGTH = 0, 1, 5, 3
PROMPT = [END, 3, 2]
MODEL = tiny_model(vocab_size=VOCABULARY)


def every_completion(length_penalty: float) -> list[tuple[float, tuple[int, ...]]]:
    """Score all completions of at most LENGTH tokens, best first."""
    scored = []
    with torch.inference_mode():
        for size in range(1, LENGTH + 1):
            for completion in product(range(VOCABULARY), repeat=size):
                if END in completion[:-1] or (size < LENGTH and completion[-1] != END):
                    continue
                logits = MODEL(torch.tensor([PROMPT + list(completion)]))[0, len(PROMPT) - 1 : -1]
                total = logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None]).sum()
                scored.append((float(total) / size**length_penalty, completion))
    return sorted(scored, reverse=True)


def search(beams: int, length_penalty: float) -> list[Hypothesis]:
    sampling = SamplingConfig(beams=beams, length_penalty=length_penalty)
    with torch.inference_mode():
        return beam_search(MODEL, PROMPT, sampling, eos_id=END, max_new_tokens=LENGTH, should_stop=never)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
def test_wide_enough_beams_find_what_exhaustive_search_finds(length_penalty: float) -> None:
    found = search(VOCABULARY**LENGTH, length_penalty)[:10]
    expected = every_completion(length_penalty)[:10]
    assert [each.tokens for each in found] == [completion for _, completion in expected]
    for hypothesis, (score, _) in zip(found, expected, strict=True):
        assert hypothesis.score(length_penalty) == pytest.approx(score, abs=1e-4)


def test_one_beam_is_greedy() -> None:
    greedy = generate(
        MODEL, [PROMPT], SamplingConfig(temperature=0, max_new_tokens=LENGTH), eos_id=END, pad_id=PAD
    )
    assert [list(search(1, 1.0)[0].tokens)] == greedy.completions()


def test_narrow_beams_come_back_best_first() -> None:
    scores = [each.score(1.0) for each in search(3, 1.0)]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


def test_beams_fill_a_generation() -> None:
    prompts, sampling = [PROMPT, [END]], SamplingConfig(beams=4, max_new_tokens=LENGTH)
    written = generate(MODEL, prompts, sampling, eos_id=END, pad_id=PAD, samples_per_prompt=2)
    assert written.tokens.shape[0] == 4
    assert written.completions()[0] == list(search(4, 1.0)[0].tokens)
    assert written.completions()[1] == list(search(4, 1.0)[1].tokens)
    assert ((written.tokens == END).any(dim=1) == written.ended).all()


def test_more_samples_than_beams_are_refused() -> None:
    with pytest.raises(InputError, match="beams: 2 beams cannot give 3 samples"):
        generate(MODEL, [PROMPT], SamplingConfig(beams=2), eos_id=END, pad_id=PAD, samples_per_prompt=3)
