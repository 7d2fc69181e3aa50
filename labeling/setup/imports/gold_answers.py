"""Right answers as people write them in a file, beside the samples they are about."""

import json
import re
from collections.abc import Mapping
from typing import Any

from labeling.feedback import Answer, AnswerError, parse_answer
from labeling.models import Project

HOW = {
    "pair": "a step from -3 (the first is much better) to 3 (the second is)",
    "rank": "an order such as 2 > 1 = 3",
    "best": "the number of the best sample",
    "score": "a score for each sample, such as 4 2 5",
}


def right_answer(value: Any, *, project: Project, samples: int) -> Answer:
    """The answer that a gold or training task expects; samples are numbered as they stand in the row.

    An object as the API takes it, or short: a step for a pair, an order for a ranking, a number for the
    best, scores with spaces between them. Raises ValueError that says how it is written.
    """
    how = HOW.get(project.feedback)
    if how is None:
        raise ValueError(f"“{project.kind.label}” has no one right answer.")
    try:
        answer = parse_answer(_read(value, kind=project.feedback))
        project.verdicts(answer, samples)
    except AnswerError as error:
        raise ValueError(f"the right answer is {how}. ({error})") from None
    except ValueError:
        raise ValueError(f"the right answer is {how}, not “{str(value)[:40]}”.") from None
    return answer


def _read(value: Any, *, kind: str) -> Any:
    """The object that `parse_answer` takes."""
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.startswith("{"):
        return json.loads(text)
    if isinstance(text, Mapping):
        return text
    match kind:
        case "rank":
            return {"ranks": text if isinstance(text, list) else _ranks(str(text))}
        case "score":
            return {"scores": text if isinstance(text, list) else [int(each) for each in _words(text)]}
        case "best":
            return {"best": int(text)}
    return {"grade": int(text)}


def _words(text: Any) -> list[str]:
    return [word for word in re.split(r"[\s,;/]+", str(text)) if word]


def _ranks(text: str) -> list[int]:
    """`2 > 1 = 3` as the ranks of the first, second and third: 2, 1, 2."""
    groups = [[int(number) for number in group.split("=")] for group in text.split(">")]
    numbers = [number for group in groups for number in group]
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        raise ValueError
    ranks = {number: rank for rank, group in enumerate(groups, start=1) for number in group}
    return [ranks[number] for number in range(1, len(numbers) + 1)]
