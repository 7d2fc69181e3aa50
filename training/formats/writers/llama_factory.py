"""LLaMA-Factory: Alpaca rows for plain prompts, ShareGPT rows for conversations, and `dataset_info.json`.

Its guide "Data preparation" describes both, with the rankings of preference training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from training.formats.messages import Message, completion_content

_SPEAKERS = {"user": "human", "assistant": "gpt", "tool": "observation"}


def alpaca_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison or a demonstration of a plain prompt. Completions follow the prompt exactly."""
    completions = (
        {"chosen": row["chosen"], "rejected": row["rejected"]}
        if "chosen" in row
        else {"output": row["completion"]}
    )
    return {"instruction": row["prompt"], "input": "", **completions}


def sharegpt_row(row: Mapping[str, Any], messages: Sequence[Message]) -> dict[str, Any]:
    """A comparison or a demonstration of a conversation; its system message stands apart."""
    system = messages[0]["content"] if messages and messages[0]["role"] == "system" else ""
    turns = [_turn(each["role"], each["content"]) for each in messages if each["role"] != "system"]
    if "chosen" not in row:
        return {"conversations": [*turns, _answer(row["completion"])], "system": system}
    return {
        "conversations": turns,
        "chosen": _answer(row["chosen"]),
        "rejected": _answer(row["rejected"]),
        "system": system,
    }


def dataset_info(files: Mapping[str, str], *, ranking: bool, conversational: bool) -> dict[str, Any]:
    """What `dataset_info.json` says of files, by the name of the data set."""
    if conversational:
        columns = {"messages": "conversations", "system": "system"}
    else:
        columns = {"prompt": "instruction", "query": "input"} | ({} if ranking else {"response": "output"})
    columns |= {"chosen": "chosen", "rejected": "rejected"} if ranking else {}
    return {
        name: {
            "file_name": file,
            "formatting": "sharegpt" if conversational else "alpaca",
            **({"ranking": True} if ranking else {}),
            "columns": columns,
        }
        for name, file in files.items()
    }


def _turn(role: str, content: str) -> dict[str, str]:
    return {"from": _SPEAKERS[role], "value": content}


def _answer(text: str) -> dict[str, str]:
    return _turn("assistant", completion_content(text))
