"""The interface of a kind of feedback: what it asks, which answers are valid, what comparisons they give."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import ClassVar, NamedTuple, Protocol

from labeling.feedback.answer import Answer, Verdict
from labeling.text_limits import MAX_SAMPLES


class Preference(NamedTuple):
    """A comparison of two samples of an answer, by their positions: which is better, or a tie.

    `margin` is how much better, from 0 to 1 ("much better"); 0 where that is not asked. The reward model's
    loss uses it as a margin (Touvron et al. 2023, Llama 2, section 3.2.2).
    """

    better: int
    worse: int
    tie: bool
    margin: float = 0.0


class Feedback(Protocol):
    """One kind of feedback, with a project's settings."""

    name: ClassVar[str]
    label: ClassVar[str]
    """The instruction to annotators, shown in a list of choices."""
    min_samples: ClassVar[int]
    max_samples: ClassVar[int]
    loss: ClassVar[str]
    """The loss that the answers are used with: a value of `train_reward --loss`, or `likelihood` for
    `supervised`."""
    is_comparative: ClassVar[bool]
    """Whether answers compare samples, as agreement and reward models need."""

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """The verdict of each sample, in the order shown; raises AnswerError."""
        ...

    def answer(self, verdicts: Sequence[Verdict]) -> Answer:
        """The answer with these verdicts, in their order."""
        ...

    def value_of(self, verdict: Verdict) -> int:
        """A number that is higher for better verdicts and equal for ties."""
        ...

    def preferences(self, verdicts: Sequence[Verdict]) -> Iterator[Preference]:
        """The comparisons of all pairs of samples that the answer compares."""
        ...

    def is_correct(self, expected: Sequence[Verdict], given: Sequence[Verdict]) -> bool:
        """Whether a given answer matches the expected one, with the samples in the same order."""
        ...


class ComparativeFeedback:
    """Base class of the kinds that compare samples."""

    max_samples: ClassVar[int] = MAX_SAMPLES
    loss: ClassVar[str] = "pairs"
    is_comparative: ClassVar[bool] = True

    def value_of(self, verdict: Verdict) -> int:
        """Lower ranks are better."""
        assert verdict.rank is not None
        return -verdict.rank

    def preferences(self, verdicts: Sequence[Verdict]) -> Iterator[Preference]:
        """All pairs, including ties."""
        values = [self.value_of(verdict) for verdict in verdicts]
        for first, second in combinations(range(len(values)), 2):
            better, worse = (second, first) if values[second] > values[first] else (first, second)
            yield Preference(better, worse, tie=values[first] == values[second])

    def is_correct(self, expected: Sequence[Verdict], given: Sequence[Verdict]) -> bool:
        """Whether all pairs that the expected answer orders have the same order. A tie of such a pair is
        wrong; an order of a pair that is expected to be tied is not."""
        wanted = [self.value_of(verdict) for verdict in expected]
        found = [self.value_of(verdict) for verdict in given]
        return all(
            (wanted[a] - wanted[b]) * (found[a] - found[b]) > 0
            for a, b in combinations(range(len(wanted)), 2)
            if wanted[a] != wanted[b]
        )
