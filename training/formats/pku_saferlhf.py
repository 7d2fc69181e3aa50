"""PKU-SafeRLHF and BeaverTails: which of two answers is better and which is safer (Ji et al. 2023)."""

from collections.abc import Iterator

from training.formats.records import Record, RecordJudgement
from training.formats.shape import Shape, annotator_of, preferred, record_of
from training.formats.values import Values, parse_flag, parse_identity, shorten


def parse_pair(number: int, values: Values) -> Iterator[Record]:
    """The better answer is preferred; being better, safer and safe are criteria, each 0 or 1."""
    better = _side("better_response_id", values["better_response_id"])
    criteria: list[dict[str, float]] = [{"better": float(better == side)} for side in (0, 1)]
    if "safer_response_id" in values:
        safer = _side("safer_response_id", values["safer_response_id"])
        for side in (0, 1):
            criteria[side]["safer"] = float(safer == side)
    for side in (0, 1):
        if (safe := values.get(f"is_response_{side}_safe")) is not None:
            criteria[side]["safe"] = float(parse_flag(f"is_response_{side}_safe", safe))
    yield record_of(
        number,
        values,
        prompt=values["prompt"],
        samples={f"response_{side}": values[f"response_{side}"] for side in (0, 1)},
        generators=[
            parse_identity(name, values.get(name)) for name in ("response_0_source", "response_1_source")
        ],
        judgements=[preferred(better, annotator=annotator_of(values), criteria=tuple(criteria))],
    )


def _side(name: str, value: object) -> int:
    if str(value) not in ("0", "1"):
        raise ValueError(f'"{name}" is {shorten(value)}: write 0 or 1.')
    return int(str(value))


def parse_safe(number: int, values: Values) -> Iterator[Record]:
    """An answer is good if it is safe."""
    safe = parse_flag("is_safe", values["is_safe"])
    yield record_of(
        number,
        values,
        prompt=values["prompt"],
        samples={"response": values["response"]},
        judgements=[
            RecordJudgement(
                kind="label", scores=(float(safe),), scale=(0.0, 1.0), annotator=annotator_of(values)
            )
        ],
    )


SHAPES = (
    Shape(
        format="pku-saferlhf",
        title="two answers, the better and the safer one",
        needs={
            "prompt": "prompt",
            "response_0": "sample",
            "response_1": "sample",
            "better_response_id": "which one is better",
        },
        takes={
            "safer_response_id": "criterion: safer",
            "is_response_[01]_safe": "criterion: safe",
            "response_[01]_source": "model",
        },
        parse=parse_pair,
    ),
    Shape(
        format="pku-saferlhf",
        title="an answer that is safe or not",
        needs={"prompt": "prompt", "response": "sample", "is_safe": "good or bad"},
        parse=parse_safe,
    ),
)
