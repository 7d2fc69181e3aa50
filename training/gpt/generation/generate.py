"""Text generation: one engine for commands, samples to annotate, and rollouts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from training.formats.conversation import Conversation
from training.formats.messages import HUMAN_TURN
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generation.beam_search import Hypothesis, beam_search
from training.gpt.generation.decoding import Decoder, Generation, eval_mode
from training.gpt.generation.detokenizer import Detokenizer, strip_incomplete_character
from training.gpt.generation.prompts import encode_prompts
from training.gpt.generation.stop_strings import find_stop_string
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer


def never_stop() -> bool:
    """The ``should_stop`` of a call that cannot be stopped."""
    return False


def generate(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingConfig,
    *,
    eos_id: int | Sequence[int],
    pad_id: int,
    samples_per_prompt: int = 1,
    generator: torch.Generator | None = None,
    should_stop: Callable[[], bool] = never_stop,
    tokenizer: Tokenizer | None = None,
) -> Generation:
    """Complete each prompt (ids, with the beginning-of-text token) ``samples_per_prompt`` times.

    Dropout is off, whatever the model's mode. A completion ends with one of the end tokens ``eos_id``, or
    where prompt and completion fill the context. ``generator`` must be on the model's device; without one,
    ``sampling.seed`` decides. When ``should_stop`` returns true, the completions so far are returned. Stop
    strings need the ``tokenizer``; the returned tokens include those of the stop string.
    """
    if sampling.stop and tokenizer is None:
        raise InputError("stop: stop strings need the tokenizer; pass it to generate()")
    if samples_per_prompt > sampling.beams > 1:
        raise InputError(
            f"beams: {sampling.beams} beams cannot give {samples_per_prompt} samples; raise beams"
        )
    eos_ids = (eos_id,) if isinstance(eos_id, int) else tuple(eos_id)
    copies = samples_per_prompt if sampling.beams == 1 else 1
    detokenizers = [
        Detokenizer(tokenizer, prompt, sampling.stops)
        for prompt in prompts
        for _ in range(copies)
        if tokenizer is not None and sampling.stop
    ]
    with eval_mode(model):
        if sampling.beams > 1:
            found = beam_search(
                model,
                prompts,
                sampling,
                eos_ids=eos_ids,
                pad_id=pad_id,
                should_stop=should_stop,
                detokenizers=detokenizers,
            )
            # A tiny vocabulary may allow fewer completions than requested: repeat the last.
            rows = [best[min(row, len(best) - 1)] for best in found for row in range(samples_per_prompt)]
            return _pad_hypotheses(rows, pad_id=pad_id, device=model.device)
        decoder = Decoder(
            model,
            prompts,
            sampling,
            eos_ids=eos_ids,
            pad_id=pad_id,
            samples_per_prompt=samples_per_prompt,
            generator=generator or sampling_generator(sampling, model.device),
            detokenizers=detokenizers,
        )
        decoder.step()
        while not decoder.done and not should_stop():
            decoder.step()
        return decoder.result()


@dataclass(frozen=True)
class Completion:
    """One completion of a prompt."""

    text: str  # exactly what follows the prompt (leading space included), up to a stop string; see
    # Tokenizer.completion
    tokens: list[int]  # as sampled: with the end token, or the tokens of the stop string
    logprobs: list[float]  # of each token
    ended: bool  # by the end token or a stop string, not by the budget


def complete(
    model: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    sampling: SamplingConfig,
    *,
    samples_per_prompt: int = 1,
    batch_size: int = 256,
    generator: torch.Generator | None = None,
    should_stop: Callable[[], bool] = never_stop,
) -> list[list[Completion]]:
    """Complete each prompt ``samples_per_prompt`` times; a conversation is answered (see ``Tokenizer``).

    A model without a chat template continues the text of a conversation up to where a person would speak.

    A text ends before the first stop string, and without a character that the budget cut short. When
    ``should_stop`` returns true, prompts not yet started are left out.
    """
    ids = encode_prompts(model, tokenizer, prompts)  # raise before generating, not after
    if tokenizer.chat_template is None and any(isinstance(prompt, Conversation) for prompt in prompts):
        sampling = replace(sampling, stop="|".join(filter(None, [sampling.stop, HUMAN_TURN])))
    generator = generator or sampling_generator(sampling, model.device)
    written: list[list[Completion]] = []
    stride = max(1, batch_size // samples_per_prompt)
    for first in range(0, len(ids), stride):
        if written and should_stop():
            break
        some = ids[first : first + stride]
        generation = generate(
            model,
            some,
            sampling,
            eos_id=tokenizer.eos_ids,
            pad_id=tokenizer.pad_id,
            samples_per_prompt=samples_per_prompt,
            generator=generator,
            should_stop=should_stop,
            tokenizer=tokenizer,
        )
        rows = zip(generation.tokens, generation.logprobs, generation.mask, generation.ended, strict=True)
        completions = [
            Completion(
                text=_text(
                    tokenizer,
                    prompts[first + row // samples_per_prompt],
                    some[row // samples_per_prompt],
                    tokens[mask].tolist(),
                    sampling,
                ),
                tokens=tokens[mask].tolist(),
                logprobs=logprobs[mask].tolist(),
                ended=bool(ended),
            )
            for row, (tokens, logprobs, mask, ended) in enumerate(rows)
        ]
        written += [
            completions[row : row + samples_per_prompt]
            for row in range(0, len(completions), samples_per_prompt)
        ]
    return written


def sampling_generator(sampling: SamplingConfig, device: torch.device) -> torch.Generator | None:
    """A generator seeded with ``sampling.seed``; None, for torch's global one, if that is -1."""
    return torch.Generator(device).manual_seed(sampling.seed) if sampling.seed >= 0 else None


def _text(
    tokenizer: Tokenizer,
    prompt: str,
    prompt_ids: Sequence[int],
    tokens: Sequence[int],
    sampling: SamplingConfig,
) -> str:
    text = strip_incomplete_character(tokenizer.completion(prompt, prompt_ids, tokens))
    return text[: find_stop_string(text, sampling.stops)]


def _pad_hypotheses(rows: Sequence[Hypothesis], *, pad_id: int, device: torch.device) -> Generation:
    length = max(len(each.tokens) for each in rows)
    tokens = torch.full((len(rows), length), pad_id, device=device)
    logprobs = torch.zeros((len(rows), length), device=device)
    mask = torch.zeros((len(rows), length), dtype=torch.bool, device=device)
    for row, each in enumerate(rows):
        size = len(each.tokens)
        tokens[row, :size] = torch.tensor(each.tokens, dtype=torch.long, device=device)
        logprobs[row, :size] = torch.tensor(each.logprobs, device=device)
        mask[row, :size] = True
    return Generation(tokens, mask, logprobs, torch.tensor([each.ended for each in rows], device=device))
