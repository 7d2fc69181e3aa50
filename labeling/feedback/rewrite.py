"""Rewrite: write the answer that the model should have given, from one of its samples or from nothing."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from labeling.feedback.answer import MOST_SAMPLES, Answer, AnswerError, Verdict, check_only, check_within
from labeling.feedback.kinds import Preference


class Rewrite:
    """A text that becomes a demonstration. It is not compared with the samples: that a person's text differs
    from a model's is easily seen, and a reward model would learn that difference first."""

    name: ClassVar[str] = "rewrite"
    label: ClassVar[str] = "Rewrite: give the answer as it should be"
    fewest_samples: ClassVar[int] = 1
    most_samples: ClassVar[int] = MOST_SAMPLES
    loss: ClassVar[str] = "likelihood"
    compares: ClassVar[bool] = False

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """None: nothing is said of the samples."""
        check_only(answer, "text", "edited")
        if not answer.text:
            raise AnswerError("text: nothing is written yet.")
        if answer.edited is not None:
            check_within("edited", answer.edited, 1, samples)
        return []

    def answer(self, verdicts: Sequence[Verdict]) -> Answer:  # noqa: ARG002
        """Nothing: the text is the annotation's own."""
        return Answer()

    def worth(self, verdict: Verdict) -> int:
        """Samples are not judged."""
        raise NotImplementedError

    def preferences(self, verdicts: Sequence[Verdict]) -> Iterator[Preference]:  # noqa: ARG002
        """None."""
        return iter(())

    def agrees(self, expected: Sequence[Verdict], given: Sequence[Verdict]) -> bool:  # noqa: ARG002
        """There is no one right text."""
        return True
