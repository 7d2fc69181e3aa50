"""Sentences of movie reviews, and how positive a text is by a bag of words: a gold scorer for them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from training.gpt.errors import InputError

Sides = tuple[list[str], list[str]]
"""Positive sentences, and negative ones."""


@dataclass(frozen=True)
class Reviews:
    """The sentence polarity set (Pang and Lee 2005), four fifths to learn from."""

    train: Sides
    heldout: Sides


def read_reviews(folder: str, *, seed: int) -> Reviews:
    """Read `rt-polarity.pos` and `rt-polarity.neg` in a folder; InputError if they are not there."""
    train, heldout = [], []
    for name in ("rt-polarity.pos", "rt-polarity.neg"):
        path = Path(folder).expanduser() / name
        try:
            lines = path.read_text(encoding="latin-1").split("\n")
        except OSError as error:
            raise InputError(
                f"reviews: {path} cannot be read ({error.strerror}); give the folder of the sentence polarity"
                " set, which holds rt-polarity.pos and rt-polarity.neg"
            ) from None
        sentences = sorted({line.strip() for line in lines if line.strip()})
        random.Random(seed).shuffle(sentences)
        train.append(sentences[: len(sentences) * 4 // 5])
        heldout.append(sentences[len(sentences) * 4 // 5 :])
    return Reviews(train=(train[0], train[1]), heldout=(heldout[0], heldout[1]))


class Sentiment:
    """A scorer: the log-odds that a completion is positive, by logistic regression on its words and pairs.

    A bag of words can be fooled; but here it is the truth by definition, and what is asked is whether others
    learn it. Weights are scaled to the length of the text, so that longer ones are not better.
    """

    def __init__(self, positive: Sequence[str], negative: Sequence[str]) -> None:
        self.words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        texts = self.words.fit_transform([*positive, *negative])
        self.model = LogisticRegression(C=3.0, max_iter=1000)
        self.model.fit(texts, np.repeat([1, 0], [len(positive), len(negative)]))

    def __call__(self, prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
        del prompts  # what was given is not the writer's merit
        scores: list[float] = self.model.decision_function(self.words.transform(completions)).tolist()
        return scores

    def accuracy(self, positive: Sequence[str], negative: Sequence[str]) -> float:
        """Share of sentences whose side it tells."""
        right = sum(score > 0 for score in self([], positive)) + sum(
            score < 0 for score in self([], negative)
        )
        return right / (len(positive) + len(negative))
