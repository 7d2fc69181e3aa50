"""Sentences of movie reviews, and a gold scorer for them: how positive a text is, by a bag of words."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from training.gpt.errors import InputError

LabelledSentences = tuple[list[str], list[str]]
"""Positive sentences and negative sentences."""


@dataclass(frozen=True)
class Reviews:
    """The sentence polarity set (Pang and Lee 2005), four fifths for training."""

    train: LabelledSentences
    heldout: LabelledSentences


def read_reviews(folder: str, *, seed: int) -> Reviews:
    """Read `rt-polarity.pos` and `rt-polarity.neg` in a folder. Raises InputError if one cannot be read."""
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


class SentimentScorer:
    """A scorer: the log-odds that a completion is positive, by logistic regression on words and word pairs.

    A bag of words can be fooled, but in a study it is the truth by definition. TF-IDF vectors have length 1,
    so that longer texts do not score higher.
    """

    def __init__(self, positive: Sequence[str], negative: Sequence[str]) -> None:
        self.vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        texts = self.vectorizer.fit_transform([*positive, *negative])
        self.model = LogisticRegression(C=3.0, max_iter=1000)
        self.model.fit(texts, np.repeat([1, 0], [len(positive), len(negative)]))

    def __call__(self, prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
        del prompts  # only the completion is scored
        scores: list[float] = self.model.decision_function(self.vectorizer.transform(completions)).tolist()
        return scores

    def accuracy(self, positive: Sequence[str], negative: Sequence[str]) -> float:
        """The share of sentences whose label it predicts."""
        correct = sum(score > 0 for score in self([], positive)) + sum(
            score < 0 for score in self([], negative)
        )
        return correct / (len(positive) + len(negative))
