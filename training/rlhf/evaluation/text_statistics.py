"""Statistics of texts: diversity, repetition, length. Torch-free.

They show over-optimisation that a reward hides: the same phrase for every prompt (few distinct n-grams), or
several times in one text (repetition), or ever longer texts.
"""

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TextStatistics:
    """Statistics of a list of texts."""

    words: float
    """Mean number of words."""
    words_deviation: float
    distinct_1: float | None
    """Distinct words over all words, in all texts together; None without words."""
    distinct_2: float | None
    """The same for pairs of consecutive words."""
    distinct_texts: float
    """Fraction of texts that do not repeat an earlier one."""
    repetition: float | None
    """Fraction of words that occurred earlier in the text, mean over texts with words."""
    repeated_4_grams: float | None
    """The same for runs of four words."""


def text_statistics(texts: Sequence[str]) -> TextStatistics:
    """The statistics of at least one text.

    Distinct fractions (Li et al. 2016) fall with the amount of text: compare versions on the same prompts and
    at about the same length. Repeated runs are as in Welleck et al. 2020.
    """
    words_by_text = [split_words(text) for text in texts]
    lengths = [len(words) for words in words_by_text]
    return TextStatistics(
        words=statistics.fmean(lengths),
        words_deviation=statistics.pstdev(lengths),
        distinct_1=distinct_fraction(words_by_text, n=1),
        distinct_2=distinct_fraction(words_by_text, n=2),
        distinct_texts=len(set(texts)) / len(texts),
        repetition=repeated_fraction(words_by_text, n=1),
        repeated_4_grams=repeated_fraction(words_by_text, n=4),
    )


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())


def n_grams(words: Sequence[str], *, n: int) -> list[tuple[str, ...]]:
    """The runs of n words, in order."""
    return [tuple(words[first : first + n]) for first in range(len(words) - n + 1)]


def distinct_fraction(texts: Sequence[Sequence[str]], *, n: int) -> float | None:
    """Distinct n-grams over all n-grams of all texts; None without n-grams."""
    grams = [gram for words in texts for gram in n_grams(words, n=n)]
    return len(set(grams)) / len(grams) if grams else None


def repeated_fraction(texts: Sequence[Sequence[str]], *, n: int) -> float | None:
    """Fraction of n-grams that occurred earlier in the text, mean over texts that have any."""
    shares = [1 - len(set(grams)) / len(grams) for words in texts if (grams := n_grams(words, n=n))]
    return math.fsum(shares) / len(shares) if shares else None
