"""Kinds of feedback: what is asked, which answers are valid, and what is learned from them.

Plain Python: models, pages and the API all use these classes. A kind has one name everywhere: here, in the
database, its cards in `templates/labeling/kinds/`, its script in `static/labeling/`.
"""

from labeling.feedback.answer import (
    LONGEST_COMMENT,
    LONGEST_TEXT,
    MOST_SAMPLES,
    MUCH,
    Answer,
    AnswerError,
    Verdict,
    parse_answer,
)
from labeling.feedback.best import Best
from labeling.feedback.kinds import Feedback, Preference
from labeling.feedback.pair import Pair
from labeling.feedback.rank import Rank
from labeling.feedback.rewrite import Rewrite
from labeling.feedback.score import Score

KINDS: dict[str, type[Pair] | type[Rank] | type[Score] | type[Best] | type[Rewrite]] = {
    kind.name: kind for kind in (Pair, Rank, Best, Score, Rewrite)
}

__all__ = [
    "KINDS",
    "LONGEST_COMMENT",
    "LONGEST_TEXT",
    "MOST_SAMPLES",
    "MUCH",
    "Answer",
    "AnswerError",
    "Best",
    "Feedback",
    "Pair",
    "Preference",
    "Rank",
    "Rewrite",
    "Score",
    "Verdict",
    "parse_answer",
]
