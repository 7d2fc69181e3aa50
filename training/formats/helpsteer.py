"""HelpSteer 1, 2 and 3: answers scored from 0 to 4 by attributes, and preferences (Wang et al. 2023-2025)."""

import hashlib
from collections.abc import Iterator

from training.formats.records import Record, RecordJudgement
from training.formats.shape import Shape, annotator_of, record_of
from training.formats.trl import decode_parts
from training.formats.values import Values, first_of, parse_number

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
SCALE = (0.0, 4.0)
MAX_STRENGTH = 3


def parse_scores(number: int, values: Values) -> Iterator[Record]:
    """Helpfulness is the score; all attributes are criteria. Answers to one prompt are a group."""
    criteria = {name: parse_number(name, values[name]) for name in ATTRIBUTES if name in values}
    yield record_of(
        number,
        values,
        prompt=decode_parts(values["prompt"]),
        samples={"response": values["response"]},
        judgements=[
            RecordJudgement(
                kind="score",
                scores=(criteria["helpfulness"],),
                scale=SCALE,
                criteria=(criteria,),
                annotator=annotator_of(values),
            )
        ],
        group=hashlib.sha256(str(values["prompt"]).encode()).hexdigest()[:16],
    )


def parse_strength(number: int, values: Values) -> Iterator[Record]:
    """A strength from -3 (the first is much better) to 3 (the second is)."""
    name, value = first_of(values, "preference_strength", "overall_preference")
    strength = parse_number(name, value)
    if abs(strength) > MAX_STRENGTH:
        raise ValueError(f'"{name}" is {strength:g}: it must be from -3 to 3.')
    asked, prompt = first_of(values, "prompt", "context")
    names = [first_of(values, f"response_{side}", f"response{side}")[0] for side in (1, 2)]
    ranks = (1, 1) if strength == 0 else (1, 2) if strength < 0 else (2, 1)
    yield record_of(
        number,
        values,
        name=asked,
        prompt=decode_parts(prompt),
        samples={each: values[each] for each in names},
        judgements=[
            RecordJudgement(
                kind="pair",
                ranks=ranks,
                margin=round(abs(strength) / MAX_STRENGTH, 6),
                annotator=annotator_of(values),
            )
        ],
    )


SHAPES = (
    Shape(
        format="helpsteer",
        title="an answer scored by attributes",
        needs={
            "prompt": "prompt",
            "response": "sample",
            "helpfulness": "score, from 0 to 4",
            "correctness": "criterion",
        },
        takes={"coherence|complexity|verbosity": "criterion"},
        parse=parse_scores,
    ),
    Shape(
        format="helpsteer",
        title="two answers and how strongly one is preferred",
        needs={
            "prompt|context": "prompt",
            "response_?1": "sample",
            "response_?2": "sample",
            "preference_strength|overall_preference": "which one is better, and how much",
        },
        parse=parse_strength,
    ),
)
