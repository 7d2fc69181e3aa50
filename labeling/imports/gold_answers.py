"""Parsing expected answers in an import, beside the samples they judge."""

import json
import re
from collections.abc import Mapping
from typing import Any

from labeling.feedback import Answer, AnswerError, parse_answer
from labeling.models import Project

ANSWER_FORMATS = {
    "pair": "a step from -3 (the first is much better) to 3 (the second is)",
    "rank": "an order such as 2 > 1 = 3",
    "best": "the number of the best sample",
    "score": "a score for each sample, such as 4 2 5",
}


def parse_gold_answer(value: Any, *, project: Project, samples: int) -> Answer:
    """Parse the expected answer of a gold or training task; samples are numbered in the order of the row.

    Either an object as in the API, or short: a step for a pair, an order for a ranking, the number of the
    best, scores separated by spaces. Raises ValueError with the expected format.
    """
    answer_format = ANSWER_FORMATS.get(project.feedback)
    if answer_format is None:
        raise ValueError(f"“{project.kind.label}” has no single correct answer.")
    try:
        answer = parse_answer(_answer_data(value, kind=project.feedback))
        project.verdicts(answer, samples)
    except AnswerError as error:
        raise ValueError(f"the expected answer must be {answer_format}. ({error})") from None
    except ValueError:
        raise ValueError(f"the expected answer must be {answer_format}, not “{str(value)[:40]}”.") from None
    return answer


def _answer_data(value: Any, *, kind: str) -> Any:
    """The object for `parse_answer`."""
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.startswith("{"):
        return json.loads(text)
    if isinstance(text, Mapping):
        return text
    match kind:
        case "rank":
            return {"ranks": text if isinstance(text, list) else _parse_ranks(str(text))}
        case "score":
            return {"scores": text if isinstance(text, list) else [int(each) for each in _split_words(text)]}
        case "best":
            return {"best": int(text)}
    return {"grade": int(text)}


def _split_words(text: Any) -> list[str]:
    return [word for word in re.split(r"[\s,;/]+", str(text)) if word]


def _parse_ranks(text: str) -> list[int]:
    """`2 > 1 = 3` as the ranks of the first, second and third: 2, 1, 2."""
    groups = [[int(number) for number in group.split("=")] for group in text.split(">")]
    numbers = [number for group in groups for number in group]
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        raise ValueError
    ranks = {number: rank for rank, group in enumerate(groups, start=1) for number in group}
    return [ranks[number] for number in range(1, len(numbers) + 1)]
