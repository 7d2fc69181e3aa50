"""LLaMA-Factory: alpaca and sharegpt rows, for supervised fine-tuning, preferences and KTO."""

from collections.abc import Iterator
from typing import Any

from training.formats.prompt_completions import SYSTEM_COLUMNS
from training.formats.records import Record
from training.formats.shape import Shape, preferred, record_of
from training.formats.trl import (
    ANY_CONVERSATION,
    PAIR,
    PAIR_MORE,
    parse_completion,
    parse_conversation,
    parse_preference,
    prompt_of,
)
from training.formats.values import Values, parse_list, parse_text


def parse_alpaca(number: int, values: Values) -> Iterator[Record]:
    """An instruction with its input and output, or (as before 2024) with a better and a worse output."""
    output = values.get("output")
    if isinstance(output, list):
        if len(output) != 2:
            raise ValueError(f'"output" has {len(output)} texts: a comparison has two, the better one first.')
        yield _record(number, values, {"output 1": output[0], "output 2": output[1]}, [preferred(0)])
        return
    if "chosen" in values or "rejected" in values:
        chosen, rejected = (parse_text(name, values.get(name)) for name in ("chosen", "rejected"))
        if not (chosen or rejected):
            raise ValueError('"chosen" is empty, and so is “rejected”: write the texts.')
        yield _record(number, values, {"chosen": chosen, "rejected": rejected}, [preferred(0)])
        return
    (record,) = parse_completion(number, {**values, "completion": parse_text("output", output)})
    yield _record(number, values, {"output": output}, record.judgements)


def _record(number: int, values: Values, samples: dict[str, Any], judgements: Any) -> Record:
    name, prompt = prompt_of(values)
    if history := values.get("history"):
        turns: list[dict[str, Any]] = []
        for asked, answer in parse_list("history", history):
            turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        prompt = [*turns, {"role": "user", "content": prompt}]
    return record_of(number, values, name=name, prompt=prompt, samples=samples, judgements=judgements)


SYSTEM = {"|".join(SYSTEM_COLUMNS): "system message"}
SHAPES = (
    Shape(
        format="llama-factory",
        title="alpaca: an instruction with an output, or with two",
        needs={"instruction": "prompt", "output": "sample, or the better and the worse one"},
        takes={**SYSTEM, "input": "prompt", "history": "earlier turns", "kto_tag|label": "good or bad"},
        without="messages|completions|generations",
        parse=parse_alpaca,
    ),
    Shape(
        format="llama-factory",
        title="alpaca: an instruction with a chosen and a rejected output",
        needs={"instruction": "prompt", "chosen": "better sample", "rejected": "worse sample"},
        takes={**SYSTEM, "input": "prompt", "history": "earlier turns"},
        without="messages|completions|generations|score_chosen|tie|margin",
        parse=parse_alpaca,
        test=lambda values: all(isinstance(values[name], str) for name in ("chosen", "rejected")),
    ),
    Shape(
        format="llama-factory",
        title="sharegpt: a conversation with a chosen and a rejected answer",
        needs={"conversations": "prompt", **PAIR},
        takes={**SYSTEM, **PAIR_MORE},
        without="prompt",
        parse=parse_preference,
    ),
    Shape(
        format="llama-factory",
        title="sharegpt: a conversation that is good or bad (KTO)",
        needs={ANY_CONVERSATION: "prompt and sample", "label|kto_tag": "good or bad"},
        takes={**SYSTEM, "annotator": "annotator"},
        without="prompt|completion|chosen|rejected|score",
        parse=parse_completion,
    ),
    Shape(
        format="llama-factory",
        title="sharegpt: a conversation",
        needs={"conversations": "prompt and sample"},
        takes=SYSTEM,
        without="prompt|completion|chosen|rejected|score|completions|responses|response|answer",
        parse=parse_conversation,
    ),
)
