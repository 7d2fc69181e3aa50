"""Pair: which of two samples is better, and by how much."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from labeling.feedback.answer import (
    MUCH,
    Answer,
    AnswerError,
    Verdict,
    check_criteria,
    check_only,
    check_within,
)
from labeling.feedback.kinds import Comparing, Preference


@dataclass(frozen=True)
class Pair(Comparing):
    """Grade two samples against each other in seven steps, overall and by each criterion."""

    criteria: tuple[str, ...] = ()

    name: ClassVar[str] = "pair"
    label: ClassVar[str] = "Compare two samples: which is better, and by how much"
    fewest_samples: ClassVar[int] = 2
    most_samples: ClassVar[int] = 2

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """How much better each is than the other: the grade and its negative."""
        check_only(answer, "grade", "criteria")
        if samples != self.fewest_samples:
            raise AnswerError(f"grade: {samples} samples were shown, but a pair is two.")
        if answer.grade is None:
            raise AnswerError(f"grade: a step from -{MUCH} (first) to {MUCH} (second) is wanted.")
        check_within("grade", answer.grade, -MUCH, MUCH)
        if len(answer.criteria) > 1:
            raise AnswerError("criteria: one object of grades is wanted for a pair.")
        by_criterion = dict(answer.criteria[0]) if answer.criteria else {}
        check_criteria(by_criterion, self.criteria, -MUCH, MUCH)
        first = {name: -grade for name, grade in by_criterion.items()}
        return [
            Verdict(grade=-answer.grade, criteria=first),
            Verdict(grade=answer.grade, criteria=by_criterion),
        ]

    def answer(self, verdicts: Sequence[Verdict]) -> Answer:
        """As the second sees it."""
        second = verdicts[1]
        return Answer(grade=second.grade, criteria=(dict(second.criteria),) if second.criteria else ())

    def worth(self, verdict: Verdict) -> int:
        """How much better than the other."""
        assert verdict.grade is not None
        return verdict.grade

    def preferences(self, verdicts: Sequence[Verdict]) -> Iterator[Preference]:
        """One, with a margin of a third for each step."""
        for pair in super().preferences(verdicts):
            yield pair._replace(margin=round(abs(self.worth(verdicts[0])) / MUCH, 6))

    def agrees(self, expected: Sequence[Verdict], given: Sequence[Verdict]) -> bool:
        """The same side, however strongly; where "about the same" is right, at most one step to a side."""
        if self.worth(expected[0]) == 0:
            return abs(self.worth(given[0])) <= 1
        return super().agrees(expected, given)
