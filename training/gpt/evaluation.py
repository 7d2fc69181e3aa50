"""Evaluation of a language model on text: loss, perplexity, bits per byte and accuracy."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from training.gpt.corpus.shards import TokenizedSplit, Tokens
from training.gpt.devices import autocast
from training.gpt.errors import InputError
from training.gpt.generation.decoding import eval_mode
from training.gpt.generation.generate import never_stop
from training.gpt.model import GPT

# The size of a batch in tokens, and the most logits computed at once.
_BATCH_TOKENS = 1 << 13
_MAX_LOGITS = 1 << 25
# Windows of similar length are batched, sorted among this many, so that little is padding.
_SORTED_WINDOWS = 1 << 12
_SCAN_TOKENS = 1 << 20  # tokens


@torch.inference_mode()
def evaluate(
    model: GPT,
    split: TokenizedSplit,
    *,
    eos_id: int,
    stride: int = 0,
    max_tokens: int = 0,
    precision: torch.dtype = torch.float32,
    should_stop: Callable[[], bool] = never_stop,
) -> dict[str, float]:
    """Predict each token of ``split`` once (of its first ``max_tokens``; 0: all), every document by itself.

    A document is read as in generation: after the token that begins a text, and without its neighbours in the
    split, which are there by chance. A document longer than the context is read in windows that advance by
    ``stride`` tokens (0: a full context, so that they do not overlap). In each window only the new tokens
    count, so every token has at least ``context - stride`` tokens of context, or all there are.

    Gives, over all tokens and the end of each document: ``loss`` (nats per token), ``perplexity``,
    ``accuracy`` (share guessed right), ``tokens``, and ``bits_per_byte``, which compares across tokenizers:
    the total loss over the UTF-8 bytes of the text before tokenising. For a part of a split, its share of the
    bytes is taken to be its share of the tokens. Words missing from the vocabulary count with all their
    bytes, though the model only predicts that they are unknown: with many of them, the value is too good.
    """
    count, context = len(split.tokens) - 1, model.config.context
    if count < 1:
        raise InputError("corpus: the split to evaluate on is empty; give more text")
    if stride > context:
        raise InputError(
            f"stride: {stride} is more than the model's context of {context}, and would leave tokens out;"
            f" give at most {context}"
        )
    # The split's first token begins every document in it. If it is not the end token, it is not predicted.
    mark = int(split.tokens[0])
    spare = 0 if mark == eos_id else 1
    part = min(count, max_tokens) if max_tokens else count
    documents = (
        _documents(split.tokens, part, mark=mark, spare=spare)
        if split.starts is None
        else _known_documents(split.starts.tolist(), part, spare=spare)
    )
    windows = _windows(documents, context=context, stride=stride or context)
    loss, right, seen = 0.0, 0, 0
    with eval_mode(model), autocast(model.device, precision):
        for batch in _batches(windows):
            if should_stop() and seen:
                break
            inputs, targets, counted = _read(split.tokens, batch, device=model.device)
            states, wanted = model.hidden(inputs)[counted], targets[counted]
            size = max(1, _MAX_LOGITS // model.config.vocab_size)
            for some, target in zip(torch.split(states, size), torch.split(wanted, size), strict=True):
                logits = model.logits(some).float()
                loss += float(F.cross_entropy(logits, target, reduction="sum"))
                right += int((logits.argmax(dim=-1) == target).sum())
            seen += len(wanted)
    text_bytes = split.text_bytes * seen / (count - spare * (split.documents - 1))
    return {
        "loss": loss / seen,
        "perplexity": math.exp(min(loss / seen, 700.0)),
        "accuracy": right / seen,
        "bits_per_byte": loss / math.log(2) / max(text_bytes, 1e-9),
        "tokens": seen,
    }


class _Window(NamedTuple):
    """A stretch of one document that is read in one pass."""

    begin: int  # of the inputs, in the split
    end: int
    known: int  # leading inputs whose next token an earlier window has predicted

    @property
    def length(self) -> int:
        return self.end - self.begin


def _documents(tokens: Tokens, count: int, *, mark: int, spare: int) -> Iterator[tuple[int, int]]:
    """Where the inputs of each document begin and end: the mark before it, and its tokens but the last.

    ``spare`` is how many tokens stand between that last one and the next mark; ``count`` inputs are read.
    """
    begin = 0
    for first in range(1, count + 1, _SCAN_TOKENS):
        block = tokens[first : min(first + _SCAN_TOKENS, count + 1)]
        for end in (first + np.flatnonzero(block == mark)).tolist():
            yield begin, end - spare
            begin = end
    if begin < count:
        yield begin, count


def _known_documents(starts: Sequence[int], count: int, *, spare: int) -> Iterator[tuple[int, int]]:
    """As ``_documents``, where it is known where documents begin, since the mark may be in them too."""
    for begin, following in pairwise([*starts, count + spare]):
        if begin < count:
            yield begin, min(following - spare, count)


def _windows(documents: Iterator[tuple[int, int]], *, context: int, stride: int) -> Iterator[_Window]:
    for first, last in documents:
        yield _Window(first, min(first + context, last), known=0)
        for begin in range(first + stride, last - context + stride, stride):
            yield _Window(begin, min(begin + context, last), known=context - stride)


def _batches(windows: Iterator[_Window]) -> Iterator[list[_Window]]:
    while group := sorted(islice(windows, _SORTED_WINDOWS), key=lambda window: -window.length):
        while group:
            rows = max(1, _BATCH_TOKENS // group[0].length)
            yield group[:rows]
            group = group[rows:]


def _read(tokens: Tokens, batch: list[_Window], *, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, targets, and which of them count, [B, T] each; padded at the right, which no token attends
    to."""
    shape = len(batch), max(window.length for window in batch)
    inputs, targets = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    counted = np.zeros(shape, dtype=bool)
    for row, (begin, end, known) in enumerate(batch):
        inputs[row, : end - begin] = tokens[begin:end]
        targets[row, : end - begin] = tokens[begin + 1 : end + 1]
        counted[row, known : end - begin] = True
    return tuple(torch.from_numpy(each).to(device) for each in (inputs, targets, counted))  # type: ignore[return-value]
