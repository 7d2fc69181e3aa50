"""OpenAssistant's conversation trees with ranked replies (Köpf et al. 2023)."""

from collections.abc import Iterator, Mapping
from typing import Any

from training.formats.messages import Message
from training.formats.records import Record, RecordJudgement
from training.formats.shape import Shape, record_of
from training.formats.values import Values, decode, parse_identity, parse_split, parse_text, shorten


def parse_tree(number: int, values: Values) -> Iterator[Record]:
    """A record for each message of a person in the tree: the replies of assistants, and their ranks."""
    root = decode(values["prompt"])
    if not isinstance(root, Mapping):
        raise ValueError(f'"prompt" is {shorten(root)}, not a message with replies.')
    waiting: list[tuple[Mapping[str, Any], list[Message]]] = [(root, [])]
    while waiting:
        message, before = waiting.pop()
        text = parse_text("text", message.get("text"))
        is_person = message.get("role") == "prompter"
        turns: list[Message] = [*before, {"role": "user" if is_person else "assistant", "content": text}]
        replies = [each for each in message.get("replies") or [] if not each.get("deleted")]
        if is_person:
            yield _record(number, values, message, turns, replies)
        waiting += [(each, turns) for each in reversed(replies)]


def _record(
    number: int,
    values: Values,
    message: Mapping[str, Any],
    turns: list[Message],
    replies: list[Mapping[str, Any]],
) -> Record:
    ranked = [each for each in replies if each.get("rank") is not None]
    shown = ranked if len(ranked) > 1 else replies
    ranks = [each["rank"] for each in ranked] if len(ranked) > 1 else []
    if not all(isinstance(rank, int) for rank in ranks):
        raise ValueError('"rank" of a reply is not a whole number.')
    levels = sorted(set(ranks))
    judgement = RecordJudgement(kind="rank", ranks=tuple(1 + levels.index(rank) for rank in ranks))
    identity = parse_identity("message_id", message.get("message_id"))
    return record_of(
        number,
        values,
        prompt=turns,
        samples={
            f"replies {position}": [{"role": "assistant", "content": parse_text("text", each.get("text"))}]
            for position, each in enumerate(shown, start=1)
        },
        generators=[parse_identity("model_name", each.get("model_name")) for each in shown],
        judgements=[judgement] if ranks else [],
        group=identity,
        source_id=identity,
        split=parse_split(values.get("split")),
    )


SHAPES = (
    Shape(
        format="oasst",
        title="a conversation tree with ranked replies",
        needs={"message_tree_id": "id", "prompt": "prompts, samples and ranks"},
        without="parent_id",
        parse=parse_tree,
    ),
    Shape(
        format="oasst",
        title="single messages",
        needs={"message_id": "id", "parent_id|message_tree_id": "tree", "role": "role", "text": "text"},
        refusal="these are single messages of conversation trees: give the file of trees (…trees.jsonl).",
    ),
)
