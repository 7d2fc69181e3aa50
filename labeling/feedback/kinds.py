"""What every kind of feedback is: what it asks, which answers are valid, and what is learned from them."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import ClassVar, NamedTuple, Protocol

from labeling.feedback.answer import MOST_SAMPLES, Answer, Verdict


class Preference(NamedTuple):
    """Two samples of one answer, by their place in it: which is better, or neither (`tie`), and how much.

    `margin` is 0 where nobody was asked how much, else from 0 to 1, "much better"; the reward model is asked
    to keep the two so far apart (Touvron et al. 2023, Llama 2, section 3.2.2).
    """

    better: int
    worse: int
    tie: bool
    margin: float = 0.0


class Feedback(Protocol):
    """One kind of feedback, with a project's settings."""

    name: ClassVar[str]
    label: ClassVar[str]
    """What people are asked to do, for a list of choices."""
    fewest_samples: ClassVar[int]
    most_samples: ClassVar[int]
    loss: ClassVar[str]
    """The loss that the answers are made for: a name of `train_reward --loss`, or `likelihood`, which
    `supervised` minimises."""
    compares: ClassVar[bool]
    """Whether answers say which sample is better, so that agreement and a reward model can be had of them."""

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """The answer sample by sample, in the order shown; raises AnswerError."""
        ...

    def answer(self, verdicts: Sequence[Verdict]) -> Answer:
        """The answer that gave these verdicts, in their order."""
        ...

    def worth(self, verdict: Verdict) -> int:
        """A number that is higher for the better of two verdicts and equal for a tie."""
        ...

    def preferences(self, verdicts: Sequence[Verdict]) -> Iterator[Preference]:
        """What the answer says of two samples, for all pairs it says something of."""
        ...

    def agrees(self, expected: Sequence[Verdict], given: Sequence[Verdict]) -> bool:
        """Whether an answer is right where another is known to be: samples in one order, both judged."""
        ...


class Comparing:
    """What kinds share whose verdicts have a worth."""

    most_samples: ClassVar[int] = MOST_SAMPLES
    loss: ClassVar[str] = "pairs"
    compares: ClassVar[bool] = True

    def worth(self, verdict: Verdict) -> int:
        """The lower the rank, the better."""
        assert verdict.rank is not None
        return -verdict.rank

    def preferences(self, verdicts: Sequence[Verdict]) -> Iterator[Preference]:
        """All pairs, ties among them."""
        worths = [self.worth(verdict) for verdict in verdicts]
        for first, second in combinations(range(len(worths)), 2):
            better, worse = (second, first) if worths[second] > worths[first] else (first, second)
            yield Preference(better, worse, tie=worths[first] == worths[second])

    def agrees(self, expected: Sequence[Verdict], given: Sequence[Verdict]) -> bool:
        """Whichever two the expected answer puts in an order, this one puts in the same; a tie of two that
        belong in an order is wrong, an order of two that are known to be equal is not."""
        wanted = [self.worth(verdict) for verdict in expected]
        found = [self.worth(verdict) for verdict in given]
        return all(
            (wanted[a] - wanted[b]) * (found[a] - found[b]) > 0
            for a, b in combinations(range(len(wanted)), 2)
            if wanted[a] != wanted[b]
        )
