"""A language model small enough to be trained in a test."""

import torch

from training.gpt.config import ModelConfig, TokenizerConfig
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer

LETTERS = "abcdefgh"
WIDTH = 32


def tiny_policy(*, seed: int = 0, context: int = 32) -> tuple[GPT, Tokenizer]:
    """Random weights over the letters a to h, each a token."""
    tokenizer = Tokenizer.train([LETTERS] * 2, TokenizerConfig(tokenizer="char", vocab_size=16))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = ModelConfig(
            vocab_size=tokenizer.vocab_size, context=context, layers=2, heads=2, width=WIDTH, tied=False
        )
        return GPT(config).eval(), tokenizer


def ignore(step: int, progress: float, metrics: dict[str, float]) -> None:
    """An `on_step` for tests that look at the result only."""
