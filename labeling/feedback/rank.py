"""Rank: order all samples, best to worst."""

from collections.abc import Sequence
from typing import ClassVar

from labeling.feedback.answer import Answer, AnswerError, Verdict, check_only, check_within
from labeling.feedback.kinds import Comparing


class Rank(Comparing):
    """Order all samples, ties allowed."""

    name: ClassVar[str] = "rank"
    label: ClassVar[str] = "Rank the samples, best to worst"
    fewest_samples: ClassVar[int] = 2

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """Ranks made dense: (1, 3, 3) is stored as (1, 2, 2)."""
        check_only(answer, "ranks")
        if len(answer.ranks) != samples:
            raise AnswerError(f"ranks: {len(answer.ranks)} given, but {samples} samples were shown.")
        for rank in answer.ranks:
            check_within("ranks", rank, 1, samples)
        dense = {rank: place for place, rank in enumerate(sorted(set(answer.ranks)), start=1)}
        return [Verdict(rank=dense[rank]) for rank in answer.ranks]

    def answer(self, verdicts: Sequence[Verdict]) -> Answer:
        """Dense ranks."""
        return Answer(ranks=tuple(verdict.rank or 0 for verdict in verdicts))
