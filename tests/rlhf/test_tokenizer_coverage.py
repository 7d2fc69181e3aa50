"""A reward model may have another tokenizer than the policy; text that it cannot read is reported."""

import pytest

from tests.rlhf.letter_feedback import taught
from tests.rlhf.tiny_policy import LETTERS, tiny_policy
from training.gpt.config import TokenizerConfig
from training.gpt.errors import InputError
from training.gpt.tokenizer import Tokenizer
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.reward_model import RewardModel
from training.rlhf.reward.tokenizer_coverage import tokenizer_coverage


def make() -> RewardModel:
    """It knows the letters a to h."""
    return RewardModel.from_policy(*tiny_policy(), seed=0)


def test_shares_are_counted_over_prompts_and_completions() -> None:
    found = tokenizer_coverage(make(), ["ab", "x", "a" * 30], ["cd", "yz", "bb"])
    assert found.unknown == pytest.approx(3 / (4 + 3 + 32))
    assert (found.truncated, found.texts) == (1, 3)


def test_what_is_read_in_full_is_not_worth_a_word() -> None:
    assert tokenizer_coverage(make(), ["abc", ""], ["h", "a" * 30]).warnings("the prompts") == []


def test_a_share_that_is_not_known_and_one_that_is_cut_are_named() -> None:
    unknown, truncated = tokenizer_coverage(make(), ["abcdefxyz", "a" * 40], ["", ""]).warnings("the prompts")
    assert "does not know 6% of the tokens of the prompts" in unknown
    assert truncated.startswith("1 of 2 of the prompts are longer than the reward model's context")


def test_a_text_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"^reward: its tokenizer does not know 75% of the tokens of the prompts;"
    ):
        tokenizer_coverage(make(), ["xyz"], ["a"]).warnings("the prompts")
    given = [Comparison(f"p{number}", "zzz", "yy") for number in range(8)]
    with pytest.raises(
        InputError, match=r"^policy: its tokenizer does not know \d+% of the tokens of the texts"
    ):
        taught(given, heldout=0.0)


def test_a_note_of_what_cannot_be_read_comes_with_the_reward_model() -> None:
    given = [Comparison(f"{letter}", "aaab", "hhhz") for letter in LETTERS]
    (note,) = taught(given, heldout=0.0, epochs=1).metrics["notes"]
    assert "does not know 10% of the tokens of the texts judged" in note


def test_a_vocabulary_of_bytes_knows_everything() -> None:
    policy, _ = tiny_policy()
    config = TokenizerConfig(tokenizer="bpe", vocab_size=300)
    judge = RewardModel(policy, Tokenizer.train([LETTERS] * 2, config))
    assert tokenizer_coverage(judge, ["äöü"], ["漢字"]).unknown == 0
