"""Chatbot Arena: conversations with two models, and who won; also Kaggle's tables (Zheng et al. 2023)."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from training.formats.records import Record
from training.formats.shape import Shape, annotator_of, preferred, record_of
from training.formats.values import (
    Values,
    decode,
    parse_flag,
    parse_identity,
    parse_list,
    parse_text,
    shorten,
)

WINNERS = {"model_a": 0, "a": 0, "model_b": 1, "b": 1, "tie": None}
BOTH_BAD = {"tie (bothbad)", "bothbad", "both_bad", "tie_bothbad"}


def parse_conversations(number: int, values: Values) -> Iterator[Record]:
    """The two conversations part at the first answer that differs."""
    winner = parse_text("winner", values["winner"]).strip().lower()
    if winner not in WINNERS and winner not in BOTH_BAD:
        raise ValueError(f'"winner" is {shorten(winner)}: write model_a, model_b, tie or both_bad.')
    yield _record(
        number,
        values,
        [decode(values[name]) for name in ("conversation_a", "conversation_b")],
        WINNERS.get(winner),
        all_bad=winner in BOTH_BAD,
    )


def parse_kaggle(number: int, values: Values) -> Iterator[Record]:
    """Prompts and responses are lists of turns, and the winner has a column of its own."""
    prompts = parse_list("prompt", values["prompt"])
    conversations = []
    for name in ("response_a", "response_b"):
        turns: list[dict[str, Any]] = []
        for asked, answer in zip_longest(prompts, parse_list(name, values[name])):
            turns.append({"role": "user", "content": asked or ""})
            turns.append({"role": "assistant", "content": answer or ""})
        conversations.append(turns)
    won = [
        parse_flag(f"winner_{name}", values.get(f"winner_{name}")) for name in ("model_a", "model_b", "tie")
    ]
    if sum(won) != 1:
        raise ValueError('"winner_tie" and the other winners: exactly one of the three must be 1.')
    yield _record(number, values, conversations, (0, 1, None)[won.index(True)])


def _record(
    number: int, values: Values, conversations: list[Any], side: int | None, *, all_bad: bool = False
) -> Record:
    return record_of(
        number,
        values,
        prompt=None,
        samples=dict(zip(("conversation_a", "conversation_b"), conversations, strict=True)),
        generators=[parse_identity(name, values.get(name)) for name in ("model_a", "model_b")],
        judgements=[preferred(side, annotator=annotator_of(values), all_bad=all_bad)],
    )


MODELS = {"model_[ab]": "model"}
SHAPES = (
    Shape(
        format="arena",
        title="two conversations and the winner",
        needs={"conversation_a": "sample", "conversation_b": "sample", "winner": "which one is better"},
        takes=MODELS,
        parse=parse_conversations,
    ),
    Shape(
        format="arena",
        title="Kaggle's table of two conversations",
        needs={
            "prompt": "prompt",
            "response_a": "sample",
            "response_b": "sample",
            "winner_model_a": "which one is better",
            "winner_model_b": "which one is better",
        },
        takes={**MODELS, "winner_tie": "tie"},
        parse=parse_kaggle,
    ),
)
