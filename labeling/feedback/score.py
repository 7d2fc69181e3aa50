"""Score: rate each sample on a scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from labeling.feedback.answer import (
    Answer,
    AnswerError,
    Verdict,
    check_criteria,
    check_only_fields,
    check_range,
)
from labeling.feedback.base import ComparativeFeedback


@dataclass(frozen=True)
class Score(ComparativeFeedback):
    """A Likert score for each sample, overall and for each criterion.

    Scores of one task are learned as pairs, so that differences in strictness between people do not matter.
    """

    scale: int = 5
    criteria: tuple[str, ...] = ()

    name: ClassVar[str] = "score"
    label: ClassVar[str] = "Score each sample"
    min_samples: ClassVar[int] = 1

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """Every sample has an overall score and a score for each criterion."""
        check_only_fields(answer, "scores", "criteria")
        if len(answer.scores) != samples:
            raise AnswerError(f"scores: {len(answer.scores)} given, but {samples} samples were shown.")
        criteria = answer.criteria or ({},) * samples
        if len(criteria) != samples:
            raise AnswerError(f"criteria: {len(criteria)} given, but {samples} samples were shown.")
        for score, given in zip(answer.scores, criteria, strict=True):
            check_range("scores", score, 1, self.scale)
            check_criteria(given, self.criteria, 1, self.scale)
        return [
            Verdict(score=score, criteria=dict(given))
            for score, given in zip(answer.scores, criteria, strict=True)
        ]

    def answer(self, verdicts: Sequence[Verdict]) -> Answer:
        """Scores and criteria."""
        return Answer(
            scores=tuple(verdict.score or 0 for verdict in verdicts),
            criteria=tuple(dict(verdict.criteria) for verdict in verdicts) if self.criteria else (),
        )

    def value_of(self, verdict: Verdict) -> int:
        """The overall score."""
        assert verdict.score is not None
        return verdict.score

    def is_correct(self, expected: Sequence[Verdict], given: Sequence[Verdict]) -> bool:
        """Whether no score is more than one step away from the expected one."""
        pairs = zip(expected, given, strict=True)
        return all(abs(self.value_of(wanted) - self.value_of(found)) <= 1 for wanted, found in pairs)
