"""UltraFeedback: four answers of models with scores, and its binarized form (Cui et al. 2023)."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from training.formats.column_names import SCORES_CHOSEN, SCORES_REJECTED
from training.formats.records import Record, RecordJudgement
from training.formats.shape import Shape, record_of
from training.formats.trl import PAIR, PAIR_MORE, PROMPT, parse_preference
from training.formats.values import Values, parse_identity, parse_list, parse_text

SCALE = (1.0, 10.0)
ANNOTATOR = "UltraFeedback"


def parse_completions(number: int, values: Values) -> Iterator[Record]:
    """All answers with their scores overall; the ratings by aspect are criteria."""
    given = [
        each if isinstance(each, dict) else {} for each in parse_list("completions", values["completions"])
    ]
    scores = tuple(_score(each) for each in given)
    criteria = tuple(_aspects(each.get("annotations")) for each in given)
    judgement = RecordJudgement(
        kind="score",
        scores=scores,
        scale=SCALE,
        criteria=criteria if any(criteria) else None,
        annotator=ANNOTATOR,
    )
    yield record_of(
        number,
        values,
        name="instruction",
        prompt=values["instruction"],
        samples={
            f"completions {position}": parse_text("completions", each.get("response"))
            for position, each in enumerate(given, start=1)
        },
        generators=[parse_identity("model", each.get("model")) for each in given],
        judgements=[judgement] if any(score is not None for score in scores) else [],
    )


def _score(completion: dict[str, Any]) -> float | None:
    for name in ("overall_score", "fine-grained_score"):
        value = completion.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return None


def _aspects(annotations: Any) -> dict[str, float]:
    """The ratings by aspect; N/A is left out."""
    found = {}
    for name, each in annotations.items() if isinstance(annotations, dict) else ():
        try:
            found[name] = float(each["Rating"])
        except (TypeError, KeyError, ValueError):
            continue
    return found


def parse_binarized(number: int, values: Values) -> Iterator[Record]:
    """The pair with the scores that it was chosen by; equal scores are a tie."""
    for record in parse_preference(number, values):
        (judgement,) = record.judgements
        yield replace(
            record, judgements=(replace(judgement, scale=SCALE, annotator=judgement.annotator or ANNOTATOR),)
        )


SHAPES = (
    Shape(
        format="ultrafeedback",
        title="answers of models with scores",
        needs={"instruction": "prompt", "completions": "samples, models and scores"},
        takes={"models": "models"},
        parse=parse_completions,
    ),
    Shape(
        format="ultrafeedback",
        title="binarized: a pair with scores",
        needs={
            **PAIR,
            "|".join(SCORES_CHOSEN[:2]): "score of the better sample",
            "|".join(SCORES_REJECTED[:2]): "score of the worse sample",
            "prompt_id": "id",
        },
        takes={**PROMPT, **PAIR_MORE},
        parse=parse_binarized,
    ),
)
