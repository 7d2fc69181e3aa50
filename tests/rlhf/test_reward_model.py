import math
from pathlib import Path

import pytest
import torch

from tests.rlhf.tiny_policy import tiny_policy
from training.gpt.checkpoint import save_checkpoint
from training.gpt.errors import InputError
from training.rlhf.reward.reward_model import RewardModel, load_reward_model

TEXTS = ["", "a", "abc", "hgfedcba", "abcdefgh" * 2]


def make(seed: int = 0) -> RewardModel:
    return RewardModel.from_policy(*tiny_policy(), seed=seed).eval()


def test_it_reads_the_last_real_token_whatever_the_pad_id_is() -> None:
    model = make()
    end = model.tokenizer.eos_id
    rows = model.encode([""] * len(TEXTS), TEXTS)
    assert all(row[0] == end and row[-1] == end for row in rows)
    alone = torch.stack([model([row])[0] for row in rows])
    # Even the end-of-text itself, the choice that has spoilt many a reward model.
    for pad in (model.tokenizer.pad_id, end, 3):
        model.tokenizer.pad_id = pad
        torch.testing.assert_close(model(rows), alone, atol=1e-5, rtol=1e-4)


def test_the_end_is_put_behind_a_text_that_has_none() -> None:
    model = make()
    assert model.encode(["ab"], ["cd"]) == model.encode([""], ["abcd"])
    assert model.encode([""], [""])[0] == [model.tokenizer.eos_id] * 2


def test_a_long_text_loses_its_beginning_and_keeps_its_end() -> None:
    model = make()
    (row,) = model.encode(["abcdefgh" * 10], ["hh"])
    assert len(row) == model.trunk.config.context
    assert row[0] == model.tokenizer.bos_id
    assert row[-3:] == model.encode([""], ["hh"])[0][1:]


def test_a_completion_beyond_the_context_loses_its_end_but_keeps_the_token_that_ends_a_text() -> None:
    model = make()
    (row,) = model.encode(["ab"], ["c" + "h" * 80])
    assert len(row) == model.trunk.config.context
    assert row[:3] == model.encode([""], ["ch"])[0][:3]
    assert row[-1] == model.tokenizer.eos_id


def test_scores_do_not_depend_on_order_or_batch_size() -> None:
    model = make()
    scores = model.score([""] * 5, TEXTS)
    assert model.score([""] * 5, TEXTS[::-1], batch_size=2)[::-1] == pytest.approx(scores, abs=1e-5)


def test_the_head_begins_small_and_without_bias() -> None:
    weights = torch.stack([make(seed).head.weight for seed in range(50)])
    assert weights.std().item() == pytest.approx(1 / math.sqrt(33), rel=0.05)
    assert make().head.bias.item() == 0.0


def test_normalised_rewards_have_mean_0_and_deviation_1() -> None:
    model = make()
    for _ in range(2):  # a second time changes nothing
        model.normalise([""] * 5, TEXTS)
        scores = torch.tensor(model.score([""] * 5, TEXTS))
        assert scores.mean().item() == pytest.approx(0.0, abs=1e-5)
        assert scores.std(correction=0).item() == pytest.approx(1.0, abs=1e-4)


def test_normalising_on_equal_rewards_leaves_finite_scores() -> None:
    model = make()
    model.normalise([""] * 4, ["abc"] * 4)
    assert all(math.isfinite(score) for score in model.score([""] * 5, TEXTS))


def test_a_saved_model_scores_the_same(tmp_path: Path) -> None:
    model = make()
    model.normalise([""] * 5, TEXTS)
    model.save(tmp_path)
    assert load_reward_model(tmp_path).score([""] * 5, TEXTS) == model.score([""] * 5, TEXTS)
    assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}


def test_a_policy_is_no_reward_model(tmp_path: Path) -> None:
    policy, tokenizer = tiny_policy()
    save_checkpoint(tmp_path, policy, tokenizer)
    with pytest.raises(InputError, match=r"reward_head\.safetensors: no such file; this is a policy"):
        load_reward_model(tmp_path)


def test_a_broken_head_is_named(tmp_path: Path) -> None:
    make().save(tmp_path)
    (tmp_path / "reward_head.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"reward_head\.safetensors: does not fit"):
        load_reward_model(tmp_path)
