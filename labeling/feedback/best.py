"""Best: pick one of the samples."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from labeling.feedback.answer import Answer, AnswerError, Verdict, check_only_fields, check_range
from labeling.feedback.base import ComparativeFeedback, Preference


class Best(ComparativeFeedback):
    """Pick the best sample. It beats each of the others, which are not compared with each other."""

    name: ClassVar[str] = "best"
    label: ClassVar[str] = "Pick the best sample"
    min_samples: ClassVar[int] = 2

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """Rank 1 for the best, rank 2 for all others."""
        check_only_fields(answer, "best")
        if answer.best is None:
            raise AnswerError("best: the number of the best sample is required.")
        check_range("best", answer.best, 1, samples)
        return [Verdict(rank=1 if number == answer.best else 2) for number in range(1, samples + 1)]

    def answer(self, verdicts: Sequence[Verdict]) -> Answer:
        """The sample with rank 1."""
        return Answer(best=[verdict.rank for verdict in verdicts].index(1) + 1)

    def preferences(self, verdicts: Sequence[Verdict]) -> Iterator[Preference]:
        """The best over each of the others, without ties: the others were not compared."""
        return (pair for pair in super().preferences(verdicts) if not pair.tie)
