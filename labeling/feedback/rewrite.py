"""Rewrite: write the completion that the model should have given, by editing a sample or from scratch."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from labeling.feedback.answer import Answer, AnswerError, Verdict, check_only_fields, check_range
from labeling.feedback.base import Preference
from labeling.text_limits import MAX_SAMPLES


class Rewrite:
    """A text that becomes a demonstration. It is not compared with the samples: a reward model would mainly
    learn to tell people's texts from models'."""

    name: ClassVar[str] = "rewrite"
    label: ClassVar[str] = "Rewrite: give the answer as it should be"
    min_samples: ClassVar[int] = 1
    max_samples: ClassVar[int] = MAX_SAMPLES
    loss: ClassVar[str] = "likelihood"
    is_comparative: ClassVar[bool] = False

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """None: samples are not judged."""
        check_only_fields(answer, "text", "edited")
        if not answer.text:
            raise AnswerError("text: write something first.")
        if answer.edited is not None:
            check_range("edited", answer.edited, 1, samples)
        return []

    def answer(self, verdicts: Sequence[Verdict]) -> Answer:  # noqa: ARG002
        """Empty: the text is stored on the annotation."""
        return Answer()

    def value_of(self, verdict: Verdict) -> int:
        """Samples are not judged."""
        raise NotImplementedError

    def preferences(self, verdicts: Sequence[Verdict]) -> Iterator[Preference]:  # noqa: ARG002
        """None."""
        return iter(())

    def is_correct(self, expected: Sequence[Verdict], given: Sequence[Verdict]) -> bool:  # noqa: ARG002
        """Always: there is no single correct text."""
        return True
