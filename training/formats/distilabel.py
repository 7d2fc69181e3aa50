"""distilabel: generations of models for an instruction, with ratings from 1 to 5."""

from collections.abc import Iterator

from training.formats.records import Record, RecordJudgement
from training.formats.shape import Shape, record_of
from training.formats.trl import decode_parts
from training.formats.values import Values, first_of, parse_identity, parse_list, parse_number

SCALE = (1.0, 5.0)


def parse(number: int, values: Values) -> Iterator[Record]:
    """The generations, in their order; a rating that failed is left out."""
    name, prompt = first_of(values, "instruction", "prompt", "input")
    generations = parse_list("generations", values["generations"])
    ratings_name, ratings = first_of(values, "ratings", "rating", "scores")
    judgements = []
    if ratings is not None:
        scores = tuple(
            None if each is None else parse_number(ratings_name, each)
            for each in parse_list(ratings_name, ratings)
        )
        if len(scores) != len(generations):
            raise ValueError(
                f'"{ratings_name}" has {len(scores)} entries for {len(generations)} generations: '
                "one is needed for each."
            )
        labeller = parse_identity(*first_of(values, "ratings_model", "model_name", "labelling_model"))
        judgements = [
            RecordJudgement(kind="score", scores=scores, scale=SCALE, annotator=labeller or "distilabel")
        ]
    models_name, models = first_of(values, "generation_models", "generation_model", "models")
    writers = (
        [parse_identity(models_name, each) for each in parse_list(models_name, models)] if models else []
    )
    kept = [position for position, each in enumerate(generations) if each is not None]
    yield record_of(
        number,
        values,
        name=name,
        prompt=decode_parts(prompt),
        samples={f"generations {position + 1}": generations[position] for position in kept},
        generators=[writers[position] if position < len(writers) else "" for position in kept],
        judgements=[_of(each, kept) for each in judgements],
    )


def _of(judgement: RecordJudgement, kept: list[int]) -> RecordJudgement:
    assert judgement.scores is not None
    return RecordJudgement(
        kind="score",
        scores=tuple(judgement.scores[position] for position in kept),
        scale=judgement.scale,
        annotator=judgement.annotator,
    )


SHAPES = (
    Shape(
        format="distilabel",
        title="generations with ratings",
        needs={"instruction|prompt|input": "prompt", "generations": "samples"},
        takes={
            "ratings?|scores": "scores, from 1 to 5",
            "generation_models?|models": "models",
            "ratings_model|model_name|labelling_model": "annotator",
        },
        parse=parse,
    ),
)
