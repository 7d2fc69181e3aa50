"""Streaming: text as soon as it is final."""

from collections.abc import Callable, Iterator

import torch

from training.formats.messages import completion_text
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generation.decoding import Decoder, eval_mode
from training.gpt.generation.detokenizer import Detokenizer
from training.gpt.generation.generate import never_stop, sampling_generator
from training.gpt.generation.prompts import encode_prompts
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer


def stream_text(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: str,
    sampling: SamplingConfig,
    *,
    generator: torch.Generator | None = None,
    should_stop: Callable[[], bool] = never_stop,
) -> Iterator[str]:
    """Complete ``prompt``; yield its text in pieces, each as soon as no later token can change it.

    The pieces joined are what ``complete`` gives for the same seed. A character whose bytes are spread over
    several tokens comes in one piece, and text that may become a stop string is held back until that is
    decided. When ``should_stop`` returns true, the text ends. Raises ``InputError`` immediately, before the
    first piece.
    """
    if sampling.beams > 1:
        raise InputError("beams: beam search knows its text only at the end; leave out beams, or the stream")
    (ids,) = encode_prompts(model, tokenizer, [prompt])
    with eval_mode(model):
        decoder = Decoder(
            model,
            [ids],
            sampling,
            eos_ids=tokenizer.eos_ids,
            pad_id=tokenizer.pad_id,
            generator=generator or sampling_generator(sampling, model.device),
        )
    pieces = _pieces(decoder, Detokenizer(tokenizer, ids, sampling.stops), should_stop)
    return pieces if tokenizer.messages(prompt) is None else _answer(pieces, opening=tokenizer.chat.opening)


def _answer(pieces: Iterator[str], *, opening: str) -> Iterator[str]:
    """The pieces of an answer: after a space, and without what its template writes before it."""
    held = ""
    for piece in pieces:
        held += piece
        if len(held) >= len(opening) or not opening.startswith(held):
            break
    if content := held.removeprefix(opening) or next(pieces, ""):
        yield completion_text(content)
    yield from pieces


def _pieces(decoder: Decoder, detokenizer: Detokenizer, should_stop: Callable[[], bool]) -> Iterator[str]:
    while not decoder.done and not detokenizer.stopped and not should_stop():
        with eval_mode(decoder.model):
            decoder.step()
        if piece := detokenizer.add(int(decoder.last_tokens)):
            yield piece
    if piece := detokenizer.flush():
        yield piece
