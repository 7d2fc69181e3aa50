"""Streaming: text as soon as it is final."""

from collections.abc import Callable, Iterator

import torch

from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generation.decoding import Decoder, eval_mode
from training.gpt.generation.detokenizer import Detokenizer
from training.gpt.generation.generate import never_stop, sampling_generator
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
    ids = tokenizer.prompt(prompt)
    with eval_mode(model):
        decoder = Decoder(
            model,
            [ids],
            sampling,
            eos_ids=tokenizer.eos_ids,
            pad_id=tokenizer.pad_id,
            generator=generator or sampling_generator(sampling, model.device),
        )
    return _pieces(decoder, Detokenizer(tokenizer, ids, sampling.stops), should_stop)


def _pieces(decoder: Decoder, detokenizer: Detokenizer, should_stop: Callable[[], bool]) -> Iterator[str]:
    while not decoder.done and not detokenizer.stopped and not should_stop():
        with eval_mode(decoder.model):
            decoder.step()
        if piece := detokenizer.add(int(decoder.last_tokens)):
            yield piece
    if piece := detokenizer.flush():
        yield piece
