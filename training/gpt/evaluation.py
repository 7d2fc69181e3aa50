"""How well a model knows a text."""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from training.gpt.corpus import TokenizedSplit
from training.gpt.devices import autocast
from training.gpt.errors import InputError
from training.gpt.generate import never
from training.gpt.model import GPT

# Logits of so many tokens at once fit in memory, whatever the context.
_TOKENS_AT_ONCE = 8192


@torch.inference_mode()
def evaluate(
    model: GPT,
    split: TokenizedSplit,
    *,
    max_tokens: int = 0,
    precision: torch.dtype = torch.float32,
    should_stop: Callable[[], bool] = never,
) -> dict[str, float]:
    """Read ``split`` in windows of one context, each token predicted once (the first ``max_tokens``; 0: all).

    Gives ``loss`` (nats per token), ``perplexity``, ``accuracy`` (share of tokens guessed right),
    ``bits_per_byte`` (of UTF-8 text, so that tokenizers compare) and ``tokens``.
    """
    count = len(split.tokens) - 1
    if count < 1:
        raise InputError("corpus: the split to evaluate on is empty; give more text")
    count = min(count, max_tokens) if max_tokens else count
    context = model.config.context
    was_training = model.training
    model.eval()
    loss = right = seen = 0.0
    rows = max(1, _TOKENS_AT_ONCE // context)
    for start in range(0, count, rows * context):
        if should_stop() and seen:
            break
        end = min(count, start + rows * context)
        text = torch.from_numpy(split.tokens[start : end + 1].astype(np.int64)).to(model.device)
        whole = (end - start) // context * context
        pieces = [(text[:whole].view(-1, context), text[1 : whole + 1].view(-1, context))]
        pieces.append((text[whole:-1][None], text[whole + 1 :][None]))
        for inputs, targets in pieces:
            if not inputs.numel():
                continue
            with autocast(model.device, precision):
                logits = model(inputs)
            logits = logits.float().flatten(0, 1)
            loss += float(F.cross_entropy(logits, targets.flatten(), reduction="sum"))
            right += float((logits.argmax(dim=-1) == targets.flatten()).sum())
            seen += targets.numel()
    model.train(was_training)
    bytes_per_token = split.text_bytes / (len(split.tokens) - 1)
    return {
        "loss": loss / seen,
        "perplexity": math.exp(min(loss / seen, 700.0)),
        "accuracy": right / seen,
        "bits_per_byte": loss / seen / math.log(2) / max(bytes_per_token, 1e-9),
        "tokens": seen,
    }
