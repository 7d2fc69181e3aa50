"""Pair: which of two samples is better, and how much."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from labeling.feedback.answer import (
    MAX_GRADE,
    Answer,
    AnswerError,
    Verdict,
    check_criteria,
    check_only_fields,
    check_range,
)
from labeling.feedback.base import ComparativeFeedback, Preference


@dataclass(frozen=True)
class Pair(ComparativeFeedback):
    """Compare two samples on a seven-step scale, overall and by each criterion."""

    criteria: tuple[str, ...] = ()

    name: ClassVar[str] = "pair"
    label: ClassVar[str] = "Compare two samples: which is better, and by how much"
    min_samples: ClassVar[int] = 2
    max_samples: ClassVar[int] = 2

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """How much better each sample is than the other: the negative grade, and the grade."""
        check_only_fields(answer, "grade", "criteria")
        if samples != self.min_samples:
            raise AnswerError(f"grade: {samples} samples were shown; a pair needs two.")
        if answer.grade is None:
            raise AnswerError(f"grade: a step from -{MAX_GRADE} (first) to {MAX_GRADE} (second) is required.")
        check_range("grade", answer.grade, -MAX_GRADE, MAX_GRADE)
        if len(answer.criteria) > 1:
            raise AnswerError("criteria: a pair takes one object of grades.")
        by_criterion = dict(answer.criteria[0]) if answer.criteria else {}
        check_criteria(by_criterion, self.criteria, -MAX_GRADE, MAX_GRADE)
        first = {name: -grade for name, grade in by_criterion.items()}
        return [
            Verdict(grade=-answer.grade, criteria=first),
            Verdict(grade=answer.grade, criteria=by_criterion),
        ]

    def answer(self, verdicts: Sequence[Verdict]) -> Answer:
        """The second sample's grade."""
        second = verdicts[1]
        return Answer(grade=second.grade, criteria=(dict(second.criteria),) if second.criteria else ())

    def value_of(self, verdict: Verdict) -> int:
        """The grade."""
        assert verdict.grade is not None
        return verdict.grade

    def preferences(self, verdicts: Sequence[Verdict]) -> Iterator[Preference]:
        """One comparison, with a margin of 1/3 for each step."""
        for pair in super().preferences(verdicts):
            yield pair._replace(margin=round(abs(self.value_of(verdicts[0])) / MAX_GRADE, 6))

    def is_correct(self, expected: Sequence[Verdict], given: Sequence[Verdict]) -> bool:
        """The same sample is better, by any margin; if "about the same" is expected, at most one step."""
        if self.value_of(expected[0]) == 0:
            return abs(self.value_of(given[0])) <= 1
        return super().is_correct(expected, given)
