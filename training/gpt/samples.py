"""Samples during training: the model's completions of an empty prompt and of some document openings."""

from collections.abc import Sequence

import numpy as np
import torch

from training.gpt.config import SamplingConfig
from training.gpt.corpus.shards import TokenizedSplit
from training.gpt.devices import autocast
from training.gpt.generation.detokenizer import strip_incomplete_character
from training.gpt.generation.generate import complete
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Sample

NUM_SAMPLES = 3
PROMPT_TOKENS = 16
NEW_TOKENS = 64
_SEARCH_TOKENS = 1 << 14  # tokens of a split that are searched for its first documents


def generate_samples(
    model: GPT, tokenizer: Tokenizer, split: TokenizedSplit, *, context: int, precision: torch.dtype
) -> list[Sample]:
    """One completion of each of ``NUM_SAMPLES`` prompts, always with the same random numbers.

    Prompts and completions are shorter for a model with a short ``context``.
    """
    openings = document_openings(
        split, tokenizer, count=NUM_SAMPLES - 1, length=max(1, min(PROMPT_TOKENS, context // 4))
    )
    prompts = ["", *openings]
    tokenizer = tokenizer.with_chat(always=False)  # openings are text, also of conversations
    sampling = SamplingConfig(max_new_tokens=max(1, min(NEW_TOKENS, context // 2)), seed=0)
    with autocast(model.device, precision):
        texts = complete(model, tokenizer, prompts, sampling)
    return [Sample(prompt, text.text) for prompt, (text,) in zip(prompts, texts, strict=True)]


def document_openings(split: TokenizedSplit, tokenizer: Tokenizer, *, count: int, length: int) -> list[str]:
    """How the first ``count`` documents of a split begin: whole words, at most ``length`` tokens and
    half of the document."""
    tokens = split.tokens[:_SEARCH_TOKENS]
    ends = [*np.flatnonzero(tokens == tokenizer.eos_id).tolist(), len(tokens)]
    found: list[str] = []
    first = 0
    for end in ends:
        ids: Sequence[int] = [int(each) for each in tokens[first:end] if each != tokenizer.bos_id]
        first = end + 1
        kept = min(length, len(ids) // 2)
        text, more = (strip_incomplete_character(tokenizer.decode(ids[:end])) for end in (kept, 2 * kept))
        if " " in text and not more[len(text) :][:1].isspace():
            text = text.rsplit(maxsplit=1)[0]  # drop a word that was cut
        text = text.rstrip()
        if text and text not in found:
            found.append(text)
        if len(found) == count:
            break
    return found
