"""QA-Feedback: four answers to a question, compared pair by pair (Wu et al. 2023)."""

from collections.abc import Iterator
from itertools import combinations

from training.formats.records import Record
from training.formats.shape import Shape, annotator_of, preferred, record_of
from training.formats.values import Values, parse_list, shorten

SIDES = {0: None, 1: 0, 2: 1}
"""What a preference means: 1 the first is better, 2 the second is, 0 neither."""


def parse(number: int, values: Values) -> Iterator[Record]:
    """One record for each pair: people's preferences may contradict each other."""
    names = sorted(name for name in values if name.startswith("prediction_"))
    given = parse_list("preference", values["preference"])
    pairs = list(combinations(names, 2))
    if len(given) != len(pairs):
        raise ValueError(
            f'"preference" has {len(given)} entries for {len(pairs)} pairs: one is needed for each.'
        )
    for (first, second), preference in zip(pairs, given, strict=True):
        if preference not in SIDES:
            raise ValueError(f'"preference" has {shorten(preference)}: write 1, 2, or 0 for a tie.')
        yield record_of(
            number,
            values,
            name="question",
            prompt=values["question"],
            samples={first: values[first], second: values[second]},
            judgements=[preferred(SIDES[preference], annotator=annotator_of(values))],
            group=str(number),
        )


SHAPES = (
    Shape(
        format="qa-feedback",
        title="answers to a question, compared pair by pair",
        needs={"question": "prompt", r"prediction_\d": "sample", "preference": "preferences of all pairs"},
        parse=parse,
    ),
)
