"""Rank: order all samples, best to worst."""

from collections.abc import Sequence
from typing import ClassVar

from labeling.feedback.answer import Answer, AnswerError, Verdict, check_only_fields, check_range
from labeling.feedback.base import ComparativeFeedback


class Rank(ComparativeFeedback):
    """Order all samples, ties allowed."""

    name: ClassVar[str] = "rank"
    label: ClassVar[str] = "Rank the samples, best to worst"
    min_samples: ClassVar[int] = 2

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """Dense ranks: (1, 3, 3) is stored as (1, 2, 2)."""
        check_only_fields(answer, "ranks")
        if len(answer.ranks) != samples:
            raise AnswerError(f"ranks: {len(answer.ranks)} given, but {samples} samples were shown.")
        for rank in answer.ranks:
            check_range("ranks", rank, 1, samples)
        dense = {rank: index for index, rank in enumerate(sorted(set(answer.ranks)), start=1)}
        return [Verdict(rank=dense[rank]) for rank in answer.ranks]

    def answer(self, verdicts: Sequence[Verdict]) -> Answer:
        """Dense ranks."""
        return Answer(ranks=tuple(verdict.rank or 0 for verdict in verdicts))
