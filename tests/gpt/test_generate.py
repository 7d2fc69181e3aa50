import pytest
import torch

from tests.gpt.examples import LAYOUTS, tiny_model, tiny_tokenizer
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generate import Generation, generate, generate_text
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
    model = tiny_model(**LAYOUTS[layout])
    written = write(model, PROMPTS, samples_per_prompt=6, temperature=temperature)
    lengths = written.mask.sum(dim=1).tolist()
    assert len(set(lengths)) > 3, "rows should end at different times, so that some leave the batch early"
    for row, completion in enumerate(written.completions()):
        expected = recomputed(model, PROMPTS[row // 6], completion, temperature)
        torch.testing.assert_close(written.logprobs[row, : lengths[row]], expected, atol=6e-5, rtol=0)


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


def test_sampled_completions_follow_the_model_distribution() -> None:
    """Two tokens after a left-padded prompt: all 23 x 23 outcomes can be enumerated."""
    model = tiny_model()
    prompts, draws = [[END, 4], [END, 5, 6, 7, 8]], 20_000
    written = write(model, prompts, samples_per_prompt=draws, max_new_tokens=2)
    prompt = prompts[0]
    with torch.inference_mode():
        first = model(torch.tensor([prompt]))[0, -1].softmax(-1)
        second = model(torch.tensor([[*prompt, token] for token in range(23)]))[:, -1].softmax(-1)
    joint = first[:, None] * second
    joint[END] = 0
    joint[END, PAD] = first[END]
    pairs = written.tokens[:draws]
    counts = (pairs[:, 0] * 23 + pairs[:, 1]).bincount(minlength=23 * 23).view(23, 23)
    common = joint * draws > 5
    chi = ((counts - joint * draws) ** 2 / (joint * draws))[common].sum()
    freedom = int(common.sum())
    assert chi < freedom + 4 * (2 * freedom) ** 0.5
    assert counts[joint == 0].sum() == 0


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
    with pytest.raises(InputError, match="prompt: 32 tokens leave no room in a context of 32"):
        write(tiny_model(), [[END] * 32])


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
    written = generate_text(model, tokenizer, prompts, sampling, samples_per_prompt=3, batch_size=3)
    assert [len(each) for each in written] == [3, 3, 3]
    for prompt, completions in zip(prompts, written, strict=True):
        for completion in completions:
            assert "<|" not in completion
            if kind != "bpe":  # a random model writes byte sequences that are no text
                assert tokenizer.encode(prompt + completion)[
                    : len(tokenizer.encode(prompt))
                ] == tokenizer.encode(prompt)
