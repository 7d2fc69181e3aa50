"""Best: pick one of the samples."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from labeling.feedback.answer import Answer, AnswerError, Verdict, check_only, check_within
from labeling.feedback.kinds import Comparing, Preference


class Best(Comparing):
    """Pick the best sample. It is better than each of the others, of which nothing is said."""

    name: ClassVar[str] = "best"
    label: ClassVar[str] = "Pick the best sample"
    fewest_samples: ClassVar[int] = 2

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """Rank 1 for the one that was picked, rank 2 for all others."""
        check_only(answer, "best")
        if answer.best is None:
            raise AnswerError("best: the number of the best sample is wanted.")
        check_within("best", answer.best, 1, samples)
        return [Verdict(rank=1 if number == answer.best else 2) for number in range(1, samples + 1)]

    def answer(self, verdicts: Sequence[Verdict]) -> Answer:
        """The one with rank 1."""
        return Answer(best=[verdict.rank for verdict in verdicts].index(1) + 1)

    def preferences(self, verdicts: Sequence[Verdict]) -> Iterator[Preference]:
        """The best over each other: the others were not compared, so they are no ties."""
        return (pair for pair in super().preferences(verdicts) if not pair.tie)
