"""Preferences that people gave elsewhere, read and learned; skipped where the files are not there."""

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch

from training.formats.messages import ASSISTANT_TURN
from training.gpt.config import ModelConfig, TokenizerConfig
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.rlhf.config import RewardConfig
from training.rlhf.feedback.preference_files import read_preferences
from training.rlhf.feedback.preferences import Comparison, ranking_to_comparisons, split_by_prompt
from training.rlhf.feedback.rankings import rebuild_rankings
from training.rlhf.reward.trainer import train_reward_model

DATA = Path(__file__).parents[3] / "shared" / "data" / "preferences"


def shared(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there")
    return DATA / name


def questions() -> list[Comparison]:
    """Four answers to each of 500 questions, compared pair by pair: 1 the first is better, 2 the second."""
    pairs = []
    for number, row in enumerate(json.loads(shared("qa-feedback/dev_feedback.json").read_text())):
        answers = [row[f"prediction {each}"] for each in (1, 2, 3, 4)]
        for (first, second), given in zip(combinations(answers, 2), row["preference"], strict=True):
            better, worse = (second, first) if given == 2 else (first, second)
            if better != worse:
                pairs.append(
                    Comparison(row["question"], f" {better}", f" {worse}", tie=not given, group=str(number))
                )
    return pairs


def threads() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Every message of the trees with the ranked replies to it."""
    trees = map(json.loads, shared("oasst/en_100_tree.jsonl").read_text().splitlines())
    waiting = [tree["prompt"] for tree in trees]
    while waiting:
        message = waiting.pop()
        waiting += message["replies"]
        ranked = [reply for reply in message["replies"] if reply.get("rank") is not None]
        if len(ranked) > 1:
            yield message["text"], ranked


@pytest.mark.parametrize(("name", "lines"), [("harmless", 2312), ("helpful", 2354)])
def test_dialogues_are_read_and_split_by_prompt(name: str, lines: int) -> None:
    pairs, ratings = read_preferences(shared(f"hh-rlhf/{name}-base_test.jsonl.gz"))
    assert (len(pairs), ratings) == (lines, [])
    assert all(pair.prompt.endswith(ASSISTANT_TURN) for pair in pairs)
    train, heldout = split_by_prompt(pairs, heldout=0.2, seed=0)
    assert {pair.prompt for pair in train}.isdisjoint(pair.prompt for pair in heldout)
    assert 0.15 < len(heldout) / lines < 0.25


def test_answers_compared_pair_by_pair_are_rankings_where_people_were_consistent() -> None:
    rankings, rest = rebuild_rankings(questions())
    # 478 of the 500 gave an order without contradictions, a few of them of answers that are alike.
    assert 440 < len(rankings) <= 478
    assert all(1 <= len(set(ranking.ranks)) <= 4 for ranking in rankings)
    assert rest


def test_ranked_replies_come_back_as_the_rankings_they_were() -> None:
    given, expected = [], []
    for number, (prompt, replies) in enumerate(threads()):
        texts, ranks = [reply["text"] for reply in replies], [1 + reply["rank"] for reply in replies]
        if len(set(texts)) == len(texts) > 2:
            given += ranking_to_comparisons(prompt=prompt, completions=texts, ranks=ranks, group=str(number))
            expected.append([text for _, text in sorted(zip(ranks, texts, strict=True))])
    rankings, rest = rebuild_rankings(given)
    assert not rest
    assert len(expected) > 50
    found = [
        [text for _, text in sorted(zip(each.ranks, each.completions, strict=True))] for each in rankings
    ]
    assert found == expected


def test_a_reward_model_learns_from_the_rankings_of_questions() -> None:
    pairs = questions()[:900]
    texts = [pair.prompt + pair.chosen for pair in pairs]
    tokenizer = Tokenizer.train(texts, TokenizerConfig(vocab_size=512))
    config = ModelConfig(vocab_size=512, context=192, layers=1, heads=2, width=32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trunk = GPT(config).eval()
    result = train_reward_model(
        trunk=trunk,
        tokenizer=tokenizer,
        comparisons=pairs,
        config=RewardConfig(loss="ranking", epochs=1, learning_rate=3e-3, evaluate_every=10),
    )
    assert result.metrics["comparisons"] == 900
    assert result.interval[0] < result.accuracy < result.interval[1]
    # Longer answers were liked: any sound training finds that much in them.
    assert result.accuracy > 0.5
