"""OpenAI's fine-tuning files: preferences for its DPO, and chats for its supervised method."""

from collections.abc import Mapping
from typing import Any

from training.formats.messages import completion_content
from training.formats.writers.trl import prompt_messages


def openai_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison as a preference, or a demonstration as a chat; a plain prompt is the user's message."""
    messages = prompt_messages(row)
    if "chosen" not in row:
        return {"messages": [*messages, _answer(row["completion"])]}
    return {
        "input": {"messages": messages, "tools": [], "parallel_tool_calls": True},
        "preferred_output": [_answer(row["chosen"])],
        "non_preferred_output": [_answer(row["rejected"])],
    }


def _answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": completion_content(text)}
