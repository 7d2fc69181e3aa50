"""Kinds of feedback: what is asked, which answers are valid, and what comparisons they give.

Plain Python, used by models, pages and the API. A kind has the same name everywhere: here, in the database,
in `templates/labeling/kinds/` and in `static/labeling/`.
"""

from labeling.feedback.answer import MAX_GRADE, Answer, AnswerError, Verdict, parse_answer
from labeling.feedback.base import Feedback, Preference
from labeling.feedback.best import Best
from labeling.feedback.pair import Pair
from labeling.feedback.rank import Rank
from labeling.feedback.rewrite import Rewrite
from labeling.feedback.score import Score

KINDS: dict[str, type[Pair] | type[Rank] | type[Score] | type[Best] | type[Rewrite]] = {
    kind.name: kind for kind in (Pair, Rank, Best, Score, Rewrite)
}

__all__ = [
    "KINDS",
    "MAX_GRADE",
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
