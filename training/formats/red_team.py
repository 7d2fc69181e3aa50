"""Red team attempts: a dialogue, and how far the attack got (Ganguli et al. 2022)."""

from collections.abc import Iterator

from training.formats.messages import parse_turns
from training.formats.records import Record, RecordJudgement
from training.formats.shape import Shape, record_of
from training.formats.values import Values, parse_identity, parse_number, parse_text

SCALE = (0.0, 4.0)


def parse(number: int, values: Values) -> Iterator[Record]:
    """The last answer. A rating, 0 to 4, says how far the attack got: the score is 4 less the rating."""
    turns = parse_turns(parse_text("transcript", values["transcript"]))
    if not turns:
        raise ValueError('"transcript" is not a dialogue with Human: and Assistant: turns.')
    while turns and turns[-1]["role"] != "assistant":
        turns.pop()
    if not turns:
        raise ValueError('"transcript" has no turn of the assistant: leave the row out.')
    rating = values.get("rating")
    judgements = []
    if rating is not None:
        score = SCALE[1] - parse_number("rating", rating)
        who = parse_identity("red_team_member_id", values.get("red_team_member_id"))
        judgements = [RecordJudgement(kind="score", scores=(score,), scale=SCALE, annotator=who)]
    writer = " ".join(str(values[name]) for name in ("model_type", "num_params") if name in values)
    yield record_of(
        number,
        values,
        prompt=turns[:-1],
        name="transcript",
        samples={"transcript": turns[-1:]},
        generators=[writer],
        judgements=judgements,
    )


SHAPES = (
    Shape(
        format="red-team",
        title="a dialogue with an attacker",
        needs={
            "transcript": "prompt and sample",
            "red_team_member_id|rating": "score or annotator",
        },
        takes={
            "rating": "how far the attack got, 0 to 4",
            "red_team_member_id": "annotator",
            "model_type|num_params": "model",
        },
        parse=parse,
    ),
)
