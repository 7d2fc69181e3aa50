"""What a version's texts are like, judged by nobody: variety, repetition, length. Torch-free.

They tell what a reward hides: a policy that found one phrase which pleases says it to every prompt (few
distinct n-grams), or again and again in one text (repetition), or writes ever longer.
"""

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TextStatistics:
    """Figures of a list of texts."""

    words: float
    """Mean number of words of a text."""
    words_deviation: float
    distinct_1: float | None
    """Different words over all words, in all texts together; None where there is no word."""
    distinct_2: float | None
    """The same of pairs of words that follow each other."""
    distinct_texts: float
    """RateEstimate of the texts that are no repeat of an earlier one."""
    repetition: float | None
    """RateEstimate of the words of a text that stood in it before, mean over the texts that have words."""
    repeated_4_grams: float | None
    """The same of runs of four words: whole phrases said twice."""


def text_statistics(texts: Sequence[str]) -> TextStatistics:
    """The figures of these texts, of which there must be one at least.

    The distinct shares (Li et al. 2016) fall as there is more text, so compare them between versions that
    wrote to the same prompts, and at about the same length. Repeated runs are as in Welleck et al. 2020.
    """
    worded = [words_of(text) for text in texts]
    lengths = [len(words) for words in worded]
    return TextStatistics(
        words=statistics.fmean(lengths),
        words_deviation=statistics.pstdev(lengths),
        distinct_1=distinct(worded, n=1),
        distinct_2=distinct(worded, n=2),
        distinct_texts=len(set(texts)) / len(texts),
        repetition=repeated(worded, n=1),
        repeated_4_grams=repeated(worded, n=4),
    )


def words_of(text: str) -> list[str]:
    """Its words, in lower case, without punctuation."""
    return re.findall(r"\w+", text.lower())


def n_grams(words: Sequence[str], *, n: int) -> list[tuple[str, ...]]:
    """The runs of n words, in order."""
    return [tuple(words[first : first + n]) for first in range(len(words) - n + 1)]


def distinct(texts: Sequence[Sequence[str]], *, n: int) -> float | None:
    """Different n-grams over all n-grams, the texts' together; none reaches over the end of a text."""
    grams = [gram for words in texts for gram in n_grams(words, n=n)]
    return len(set(grams)) / len(grams) if grams else None


def repeated(texts: Sequence[Sequence[str]], *, n: int) -> float | None:
    """RateEstimate of a text's n-grams that stood in it before, mean over the texts that have any."""
    shares = [1 - len(set(grams)) / len(grams) for words in texts if (grams := n_grams(words, n=n))]
    return math.fsum(shares) / len(shares) if shares else None
