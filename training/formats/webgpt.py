"""WebGPT comparisons: two answers to a question, each with a score (Nakano et al. 2021)."""

from collections.abc import Iterator
from typing import Any

from training.formats.records import Record
from training.formats.shape import Shape, annotator_of, preferred, record_of
from training.formats.values import Values, decode, parse_number


def parse(number: int, values: Values) -> Iterator[Record]:
    """The higher score is better, equal ones tie."""
    question: Any = decode(values["question"])
    if isinstance(question, dict):
        question = question.get("full_text")
    scores = parse_number("score_0", values["score_0"]), parse_number("score_1", values["score_1"])
    side = None if scores[0] == scores[1] else int(scores[1] > scores[0])
    yield record_of(
        number,
        values,
        name="question",
        prompt=question,
        samples={"answer_0": values["answer_0"], "answer_1": values["answer_1"]},
        judgements=[preferred(side, scores=scores, scale=(-1.0, 1.0), annotator=annotator_of(values))],
    )


SHAPES = (
    Shape(
        format="webgpt",
        title="two answers to a question, with scores",
        needs={
            "question": "prompt",
            "answer_0": "sample",
            "answer_1": "sample",
            "score_0": "score",
            "score_1": "score",
        },
        parse=parse,
    ),
)
