"""TRL's types of data sets, with the further columns of Hone's own exports.

Preferences with or without a prompt, also as conversations; unpaired preferences; prompts with completions;
prompts alone; messages; texts. Scores, ties, margins, groups and annotators are kept where a row has them.
"""

from collections.abc import Iterator
from typing import Any

from training.formats.column_names import (
    CHOSEN,
    COMPLETIONS,
    MODELS,
    MODELS_CHOSEN,
    MODELS_REJECTED,
    PROMPTS,
    REJECTED,
    SCORES_CHOSEN,
    SCORES_REJECTED,
)
from training.formats.messages import parse_messages
from training.formats.prompt_completions import (
    CONVERSATION_COLUMNS,
    SYSTEM_COLUMNS,
    ParsedCompletions,
    ParsedPrompt,
    find_conversation,
    find_prompt,
    is_missing,
    parse_prompt,
    parse_prompt_and_completions,
)
from training.formats.records import Record, RecordJudgement, RecordSample
from training.formats.shape import Shape, about, annotator_of
from training.formats.values import (
    Values,
    decode,
    first_of,
    parse_flag,
    parse_identity,
    parse_margin,
    parse_number,
    parse_text,
    present,
    shorten,
)


def prompt_of(values: Values) -> tuple[str, Any]:
    """The name and value of a row's prompt; the value is None if it has none."""
    name, prompt = first_of(values, *PROMPTS)
    if prompt is None:
        name, prompt = find_prompt(values)
    elif name == "instruction" and isinstance(prompt, str) and isinstance(more := values.get("input"), str):
        prompt = f"{prompt}\n\n{more}" if more else prompt
    return name, prompt


def judged(values: Values) -> dict[str, Any]:
    """The fields of a judgement that a row in Hone's own form may have."""
    found: dict[str, Any] = {"annotator": annotator_of(values)}
    if choice := values.get("choice"):
        found["choice"] = parse_text("choice", choice)
    return found


def control_fields(values: Values) -> dict[str, Any]:
    """The expected answer in a row for a gold or training task."""
    answers = [name for name in ("gold_answer", "training_answer") if values.get(name) not in (None, "")]
    if len(answers) > 1:
        raise ValueError('"gold_answer" and "training_answer" are both there: a row can have only one.')
    if not answers:
        return {}
    return {
        "gold": values[answers[0]],
        "is_training": answers == ["training_answer"],
        "explanation": parse_text("explanation", values.get("explanation") or ""),
    }


CONTROL = {
    "gold_answer": "expected answer of a gold task",
    "training_answer": "expected answer of a training task",
    "explanation": "explanation",
}
PROMPT = {
    "|".join(PROMPTS): "prompt",
    "|".join(SYSTEM_COLUMNS): "system message",
    "|".join(CONVERSATION_COLUMNS): "messages",
}


# -- Preferences ------------------------------------------------------------------------------------------


def parse_preference(number: int, values: Values) -> Iterator[Record]:
    """A chosen and a rejected completion, or two that tie."""
    better, chosen = present(values, *CHOSEN)
    worse, rejected = present(values, *REJECTED)
    if chosen == rejected == "":
        raise ValueError(f'"{better}" is empty, and so is “{worse}”: write the texts, or leave the row out.')
    parsed = _parse_pair(values, {better: decode_parts(chosen), worse: decode_parts(rejected)})
    tie = parse_flag("tie", values.get("tie"))
    scores = _pair_scores(values)
    if scores is not None and scores[0] == scores[1]:
        tie = True
    writers = [
        parse_identity(*first_of(values, *names, *MODELS)) for names in (MODELS_CHOSEN, MODELS_REJECTED)
    ]
    yield Record(
        row=number,
        prompt=parsed.prompt,
        samples=tuple(
            RecordSample(text=text, generator=writer)
            for text, writer in zip(parsed.completions, writers, strict=True)
        ),
        judgements=(
            RecordJudgement(
                kind="pair",
                ranks=(1, 1) if tie else (1, 2),
                scores=scores,
                margin=parse_margin(values.get("margin")),
                criteria=_pair_criteria(values.get("criteria")),
                **judged(values),
            ),
        ),
        **about(values),
        **control_fields(values),
    )


def decode_parts(value: Any) -> Any:
    """A conversation in a cell of a table, as JSON or Python writes it; other texts stay texts."""
    if isinstance(value, str) and value.lstrip().startswith(("[{", "{'", '{"')):
        found = decode(value)
        return found if isinstance(found, list) or (isinstance(found, dict) and "role" in found) else value
    return value


def _parse_pair(values: Values, completions: dict[str, Any]) -> ParsedCompletions:
    name, prompt = prompt_of(values)
    parsed = parse_prompt_and_completions(decode_parts(prompt), completions, name=name, row=values)
    if parsed.prompt.text or prompt is not None:
        return parsed
    return _split_at_difference(parsed.completions)


def _split_at_difference(texts: list[str]) -> ParsedCompletions:
    """Plain texts without a prompt: what they share, up to a space, is their prompt, as TRL takes it."""
    first, second = texts
    end = next(
        (at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(map(len, texts))
    )
    while end > 0 and not (first[end : end + 1].isspace() and second[end : end + 1].isspace()):
        end -= 1
    if not first[:end].strip() or not first[end:].strip() or not second[end:].strip():
        return ParsedCompletions(ParsedPrompt(""), texts)
    return ParsedCompletions(ParsedPrompt(first[:end]), [first[end:], second[end:]])


def _pair_criteria(value: Any) -> tuple[dict[str, float], dict[str, float]] | None:
    """How much better the chosen one is by each criterion, and the rejected one, which is the opposite."""
    criteria = parse_criteria(value)
    return (criteria, {name: -better for name, better in criteria.items()}) if criteria else None


def _pair_scores(values: Values) -> tuple[float, float] | None:
    names = first_of(values, *SCORES_CHOSEN), first_of(values, *SCORES_REJECTED)
    if any(value is None for _, value in names):
        return None
    chosen, rejected = (parse_number(name, value) for name, value in names)
    return chosen, rejected


# -- Single completions -----------------------------------------------------------------------------------


def parse_completion(number: int, values: Values) -> Iterator[Record]:
    """One completion of a prompt, with a label, a score, or neither."""
    name, completion = present(values, *COMPLETIONS)
    asked, prompt = prompt_of(values)
    if completion is None:
        name, completion = find_conversation(values)
        prompt, is_whole = None, True
    else:
        is_whole = False
    if completion is None or completion == []:
        raise ValueError(f'"{name}" is empty: write the text there, or leave the row out.')
    parsed = parse_prompt_and_completions(
        decode_parts(prompt), {name: decode_parts(completion)}, name=asked, row=values
    )
    yield Record(
        row=number,
        prompt=parsed.prompt,
        samples=(
            RecordSample(text=parsed.completions[0], generator=parse_identity(*first_of(values, *MODELS))),
        ),
        judgements=tuple(_judgements(values)),
        weight=parse_weight(values.get("weight")),
        all_turns=is_whole or values.get("all_turns") is True,
        **about(values),
        **control_fields(values),
    )


def parse_weight(value: Any) -> float:
    """How much a demonstration counts; null is 1."""
    try:
        weight = 1.0 if value is None else parse_number("weight", value)
    except ValueError:
        weight = 0.0
    if not weight > 0:
        raise ValueError(f'"weight" is {shorten(value)}, not a number above 0: write one, or leave it out.')
    return weight


def _judgements(values: Values) -> Iterator[RecordJudgement]:
    label_name, label = first_of(values, "label", "kto_tag")
    score_name, score = first_of(values, "score", "rating", "reward")
    if label is not None and score is None:
        try:
            good = parse_flag(label_name, label)
        except ValueError:
            raise ValueError(
                f'"{label_name}" is {shorten(label)}: write true for good and false for bad.'
            ) from None
        yield RecordJudgement(kind="label", scores=(float(good),), scale=(0.0, 1.0), **judged(values))
    elif score is not None:
        number = parse_number(score_name, score)
        criteria = parse_criteria(values.get("criteria"))
        given = [number, *criteria.values()]
        yield RecordJudgement(
            kind="score",
            scores=(number,),
            scale=parse_scale(values.get("scale"))
            or ((0.0, 1.0) if all(0 <= each <= 1 for each in given) else None),
            criteria=(criteria,) if criteria else None,
            **judged(values),
        )


def parse_criteria(value: Any) -> dict[str, float]:
    """Scores by the names of criteria."""
    if is_missing(value):
        return {}
    value = decode(value)
    if not isinstance(value, dict):
        raise ValueError('"criteria" is not an object: write {"name": score}, or leave it out.')
    return {name: parse_number(name, score) for name, score in value.items() if score is not None}


def parse_scale(value: Any) -> tuple[float, float] | None:
    """The lowest and the highest score, from a list of the two."""
    value = decode(value)
    if not isinstance(value, list) or len(value) != 2:
        return None
    low, high = (parse_number("scale", each) for each in value)
    return (low, high) if low < high else None


def parse_conversation(number: int, values: Values) -> Iterator[Record]:
    """A whole conversation: its last turn, the assistant's, is a completion; one without it is a prompt."""
    name, value = find_conversation(values)
    if value is None:
        raise ValueError(f'"{name}" is empty: write the messages, or leave the row out.')
    try:
        messages = parse_messages(decode_parts(value))
    except ValueError as error:
        raise ValueError(f'"{name}": {error}') from None
    if messages[-1]["role"] != "assistant":
        yield Record(
            row=number,
            prompt=parse_prompt(messages, name=name, row=values),
            **about(values),
            **control_fields(values),
        )
        return
    yield from parse_completion(number, {**values, name: messages})


def parse_prompt_only(number: int, values: Values) -> Iterator[Record]:
    """A prompt without completions."""
    name, prompt = prompt_of(values)
    if prompt is None:
        raise ValueError(f'"{name}" is empty: write the prompt, or leave the row out.')
    parsed = parse_prompt(decode_parts(prompt), name=name, row=values)
    if not parsed.text.strip():
        raise ValueError(f'"{name}" is empty: write the prompt, or leave the row out.')
    yield Record(row=number, prompt=parsed, **about(values), **control_fields(values))


def parse_text_only(number: int, values: Values) -> Iterator[Record]:
    """A text: a prompt for people, or a whole text for language modelling."""
    text = parse_text("text", values["text"])
    if not text.strip():
        raise ValueError('"text" is empty: write it, or leave the row out.')
    yield Record(row=number, prompt=parse_prompt(text, name="text"), is_text=True, **about(values))


PAIR = {
    "|".join(CHOSEN): "better sample",
    "|".join(REJECTED): "worse sample",
}
PAIR_MORE = {
    "tie": "tie",
    "margin": "margin",
    "criteria": "how much better by criterion",
    "choice": "why the task was chosen",
    "|".join(SCORES_CHOSEN): "score of the better sample",
    "|".join(SCORES_REJECTED): "score of the worse sample",
    "|".join((*MODELS_CHOSEN, *MODELS_REJECTED, *MODELS)): "model",
    **CONTROL,
}
SINGLE = {
    "|".join(COMPLETIONS): "sample",
    "|".join(MODELS): "model",
    "weight": "weight",
    "all_turns": "whether all turns are learned",
    "choice": "why the task was chosen",
    "criteria": "scores by criterion",
    "scale": "scale of the scores",
    **CONTROL,
}
ANY_CONVERSATION = "|".join(CONVERSATION_COLUMNS)
ANY_PROMPT = "|".join(PROMPTS)

SHAPES = (
    Shape(
        format="trl",
        title="single messages",
        needs={"role|from": "role", "content|value": "text"},
        without=f"{ANY_PROMPT}|{ANY_CONVERSATION}|chosen|rejected|completion|data",
        refusal='each row is one message: write a conversation in one row, as {"messages": [...]}.',
    ),
    Shape(
        format="trl",
        title="tokenized rows",
        needs={"(prompt_|chosen_|rejected_|completion_)?(ids|input_ids)": "token ids"},
        refusal="these are ids of tokens, not texts: give the data set before it was tokenized.",
    ),
    Shape(
        format="trl",
        title="rows with images",
        needs={"images?|pixel_values|videos?|audios?": "images or sounds"},
        without="annotations|data",
        refusal=(
            "rows with images or sounds cannot be used, only texts: "
            "remove the column, and the rows that need it."
        ),
    ),
    Shape(
        format="trl",
        title="stepwise supervision",
        needs={"prompt": "prompt", "completions": "steps", "labels": "labels of steps"},
        refusal=(
            "labels of single steps (stepwise supervision) cannot be used: "
            "give whole completions, each with one label."
        ),
    ),
    Shape(
        format="hh",
        title="two dialogues with Human: and Assistant: turns",
        needs=PAIR,
        takes={**PAIR_MORE, "|".join(SYSTEM_COLUMNS): "system message"},
        without=f"{ANY_PROMPT}|{ANY_CONVERSATION}",
        parse=parse_preference,
        test=lambda values: str(first_of(values, *CHOSEN)[1]).lstrip().startswith(("Human:", "Assistant:")),
    ),
    Shape(
        format="trl",
        title="preference",
        needs=PAIR,
        takes={**PROMPT, **PAIR_MORE},
        parse=parse_preference,
    ),
    Shape(
        format="trl",
        title="unpaired preference",
        needs={"|".join((*COMPLETIONS, *CONVERSATION_COLUMNS)): "sample", "label|kto_tag": "good or bad"},
        takes={**PROMPT, **SINGLE},
        parse=parse_completion,
    ),
    Shape(
        format="trl",
        title="scored completion",
        needs={"|".join((*COMPLETIONS, *CONVERSATION_COLUMNS)): "sample", "score|rating|reward": "score"},
        takes={**PROMPT, **SINGLE},
        parse=parse_completion,
    ),
    Shape(
        format="trl",
        title="prompt and completion",
        needs={f"{ANY_PROMPT}|{ANY_CONVERSATION}": "prompt", "completion": "sample"},
        takes={**PROMPT, **SINGLE},
        parse=parse_completion,
    ),
    Shape(
        format="trl",
        title="completion",
        needs={"completion": "sample"},
        takes={**PROMPT, **SINGLE},
        parse=parse_completion,
    ),
)
"""Shapes of judged or completed prompts, before which the formats of other tools are tried."""

PLAIN_SHAPES = (
    Shape(
        format="trl",
        title="messages",
        needs={ANY_CONVERSATION: "messages"},
        takes={**PROMPT, **SINGLE},
        parse=parse_conversation,
    ),
    Shape(
        format="trl",
        title="prompt",
        needs={ANY_PROMPT: "prompt"},
        takes={**PROMPT, **CONTROL},
        without="|".join((*CHOSEN, *REJECTED)),
        parse=parse_prompt_only,
    ),
    Shape(format="trl", title="text", needs={"text": "prompt, or text to learn"}, parse=parse_text_only),
)
"""Shapes of prompts alone, conversations and texts, tried last."""
