"""Conversations in files as others publish them; skipped where the files are not there."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from training.formats.messages import Message, render_messages
from training.formats.prompt_completions import find_prompt, parse_prompt_and_completions

DATA = Path(__file__).parents[3] / "shared" / "data"
SKY: Message = {"role": "user", "content": "What color is the sky?"}
KIND: Message = {"role": "system", "content": "Be kind."}


def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = content.decode()
    found: list[dict[str, Any]] = (
        json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    )
    return found


def pair(row: dict[str, Any]) -> tuple[tuple[Message, ...] | None, list[str]]:
    name, prompt = find_prompt(row)
    completions = {column: row[column] for column in ("chosen", "rejected")}
    parsed = parse_prompt_and_completions(prompt, completions, name=name, row=row)
    return parsed.prompt.messages, parsed.completions


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("formats/trl_pref_explicit_conv.jsonl", (SKY,)),
        ("formats/trl_pref_implicit_conv.jsonl", (SKY,)),
        ("formats/ultrafeedback_binarized.jsonl", (SKY,)),
        ("formats/distilabel.jsonl", (SKY,)),
        ("formats/system_prompt.jsonl", (KIND, SKY)),
    ],
)
def test_published_pairs_are_conversations(name: str, asked: tuple[Message, ...]) -> None:
    assert pair(rows(name)[0]) == (asked, [" It is blue.", " It is green."])


@pytest.mark.parametrize("name", ["dpo_en_demo", "dpo_zh_demo"])
def test_sharegpt_pairs_have_their_prompt_apart(name: str) -> None:
    for row in rows(f"preferences/formats/{name}.json"):
        messages, completions = pair(row)
        assert messages is not None
        assert messages[-1]["role"] == "user"
        assert completions == [f" {row[column]['value']}" for column in ("chosen", "rejected")]


def test_pictures_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r'"prompt": message 1 \(user\) has a part of the type "image"'):
        pair(rows("formats/trl_vision.jsonl")[0])


@pytest.mark.parametrize("name", ["harmless", "helpful"])
def test_dialogues_are_conversations_with_the_very_text(name: str) -> None:
    for row in rows(f"preferences/hh-rlhf/{name}-base_test.jsonl.gz")[:500]:
        parsed = parse_prompt_and_completions(None, row)
        assert parsed.prompt.messages
        assert render_messages(parsed.prompt.messages) == parsed.prompt.text
        for text, completion in zip((row["chosen"], row["rejected"]), parsed.completions, strict=True):
            assert (
                text == parsed.prompt.text + completion or not text.removeprefix(parsed.prompt.text).strip()
            )
