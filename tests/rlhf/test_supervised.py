"""Supervised fine-tuning, and what it shares with DPO: resuming, pieces, processes' shares."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.rlhf.tiny_offline import Curve, tuned
from tests.rlhf.tiny_policy import tiny_policy
from training.gpt.errors import InputError
from training.rlhf.config import DpoConfig, SupervisedConfig
from training.rlhf.feedback.demonstrations import (
    Demonstration,
    demonstrations_from_rankings,
    read_demonstrations,
)
from training.rlhf.feedback.preferences import Comparison, ranking_to_comparisons
from training.rlhf.tuning.offline import completion_logprobs
from training.rlhf.tuning.supervised import DemonstrationDataset, supervised

KINDS = ("dpo", "supervised")


def measured(curve: Curve) -> list[tuple[int, dict[str, float]]]:
    return [(step, {n: v for n, v in metrics.items() if n != "step_time"}) for step, metrics in curve]


def test_it_learns_to_write_as_the_best_ranked_samples() -> None:
    curve: Curve = []
    found = tuned("supervised", epochs=6, curve=curve)
    assert found.after.reward > found.before.reward + 0.25
    assert curve[-1][1]["heldout/likelihood"] > curve[0][1]["heldout/likelihood"] + 0.3


def test_the_loss_is_the_mean_over_the_tokens_of_completions() -> None:
    policy, tokenizer = tiny_policy()
    texts = [Demonstration("ab", "cde"), Demonstration("", "f", weight=0.5)]
    dataset = DemonstrationDataset(texts, tokenizer, context=32)
    assert dataset.weights == [4.0, 1.0]  # with the end of text: 4 tokens, and 2 of weight 1/2
    sums = completion_logprobs(policy, dataset.texts)
    figures = dataset.loss_and_metrics([0, 1], sums[:, None], sums[:, None])
    slow = []
    for each in texts:
        prompt, new = tokenizer.prompt(each.prompt), [*tokenizer.encode(each.completion), tokenizer.eos_id]
        logits = policy(torch.tensor([prompt + new]))[0].log_softmax(-1)
        slow.append(-sum(logits[len(prompt) + k - 1, token].item() for k, token in enumerate(new)) / len(new))
    assert figures["loss"].tolist() == pytest.approx(slow, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop_at", [0, 3, 6])
def test_it_goes_on_where_it_was_stopped_bit_for_bit(kind: str, stop_at: int, tmp_path: Path) -> None:
    whole: Curve = []
    uninterrupted = tuned(kind, curve=whole, folder=tmp_path / "whole")
    first: Curve = []
    half = tmp_path / "half"
    tuned(kind, curve=first, folder=half, stop_at=stop_at)
    assert first[-1][0] == stop_at
    second: Curve = []
    found = tuned(kind, curve=second, folder=half)
    assert measured(first + second) == measured(whole)
    assert found.after == uninterrupted.after
    for name, tensor in uninterrupted.policy.state_dict().items():
        assert torch.equal(tensor, found.policy.state_dict()[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_change_nothing_but_rounding(kind: str) -> None:
    whole: Curve = []
    pieces: Curve = []
    tuned(kind, curve=whole)
    tuned(kind, curve=pieces, accumulate=4)
    for (_, one), (_, other) in zip(whole[:4], pieces[:4], strict=True):
        assert other["loss" if "loss" in one else "heldout/kl"] == pytest.approx(
            one["loss" if "loss" in one else "heldout/kl"], abs=1e-4
        )


def test_a_state_of_other_data_is_refused(tmp_path: Path) -> None:
    tuned("dpo", folder=tmp_path, stop_at=2)
    with pytest.raises(InputError, match=r"began with beta 0\.15, not 0\.5"):
        tuned("dpo", folder=tmp_path, beta=0.5)


@pytest.mark.parametrize("options", [{"batch_size": 10, "accumulate": 4}])
def test_a_batch_that_cannot_be_cut_is_refused(options: dict[str, Any]) -> None:
    for kind in (DpoConfig, SupervisedConfig):
        with pytest.raises(InputError, match=r"^accumulate: 4 does not divide"):
            kind(**options)


def test_no_demonstration_is_refused() -> None:
    policy, tokenizer = tiny_policy()
    with pytest.raises(InputError, match=r"^demonstrations: there is none"):
        supervised(
            policy=policy,
            tokenizer=tokenizer,
            demonstrations=[],
            heldout_prompts=["a"],
            config=SupervisedConfig(),
        )


def test_the_best_of_a_ranking_is_what_nothing_was_preferred_to() -> None:
    ranked = ranking_to_comparisons(
        prompt="p", completions=["x", "y", "z", "w"], ranks=[1, 2, 1, 3], group="1", annotator="ann"
    )
    alone = [Comparison("q", "good", "bad"), Comparison("q", "worse", "good")]
    tied = [Comparison("r", "one", "two", tie=True, group="2")]
    assert demonstrations_from_rankings([*ranked, *alone, *tied]) == [
        Demonstration("p", "x", 0.5),
        Demonstration("p", "z", 0.5),
        Demonstration("q", "good"),
        Demonstration("q", "worse"),
    ]


def test_two_annotators_of_one_task_each_name_their_best() -> None:
    pairs = [
        Comparison("p", "x", "y", group="1", annotator="ann"),
        Comparison("p", "y", "x", group="1", annotator="bob"),
    ]
    assert [each.completion for each in demonstrations_from_rankings(pairs)] == ["x", "y"]


def test_demonstrations_are_read_from_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "d.jsonl"
    rows = [{"prompt": "a", "completion": " b", "weight": 2}, {"completion": "c"}]
    file.write_text("\n\n".join(map(json.dumps, rows)))
    assert read_demonstrations(file) == [Demonstration("a", " b", 2.0), Demonstration("", "c")]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[1]", "neither an object nor a text"),
        ('{"prompt": "a"}', "no completion to learn"),
        ('{"completion": ""}', "“completion” is empty"),
        ('{"completion": 3}', "“completion” is not a string"),
        ('{"completion": "a", "weight": 0}', "“weight” is 0, not a number above 0"),
        ('{"completion": "a", "weight": true}', "“weight” is true, not a number above 0"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    file = tmp_path / "d.jsonl"
    file.write_text(f'{{"completion": "fine"}}\n{line}\n')
    with pytest.raises(InputError, match=f"row 2: .*{complaint}"):
        read_demonstrations(file)


def test_a_missing_or_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.jsonl: No such file"):
        read_demonstrations(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no demonstration in it"):
        read_demonstrations(tmp_path / "empty.jsonl")
