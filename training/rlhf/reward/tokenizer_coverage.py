"""How much of a text a reward model can read: its tokenizer may not know the words, its context may be short.

A reward model reads text, so it may judge a policy with another tokenizer. What goes wrong then is silent:
characters it never saw are all one unknown token to it, and texts that differ in them are equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from training.gpt.errors import InputError
from training.rlhf.reward.reward_model import BaseRewardModel

MAX_UNKNOWN = 0.5  # share of the tokens beyond which a reward is no judgement of the text
WARN_ABOVE = 0.02  # share from which on a person is told


@dataclass(frozen=True, kw_only=True)
class TokenizerCoverage:
    """What a reward model misses of some texts, as shares."""

    unknown: float  # of the tokens, those that stand for anything its vocabulary lacks
    cut: float  # of the texts, those whose beginning is beyond its context

    def check(self, whose: str, *, option: str = "reward") -> list[str]:
        """What a person should know, a sentence each; InputError where the texts cannot be judged at all.

        `whose` says what the texts are: "the prompts"; `option` brought the tokenizer.
        """
        if self.unknown > MAX_UNKNOWN:
            raise InputError(
                f"{option}: its tokenizer does not know {self.unknown:.0%} of the tokens of {whose}; "
                "a reward model must begin from a policy that reads such text"
            )
        notes = []
        if self.unknown >= WARN_ABOVE:
            notes.append(
                f"The reward model's tokenizer does not know {self.unknown:.0%} of the tokens of {whose}: "
                "what differs in them alone is judged alike."
            )
        if self.cut >= WARN_ABOVE:
            notes.append(
                f"{self.cut:.0%} of {whose} are longer than the reward model's context, which reads their "
                "end alone."
            )
        return notes


def tokenizer_coverage(
    judge: BaseRewardModel, prompts: Sequence[str], completions: Sequence[str]
) -> TokenizerCoverage:
    """What a reward model misses of these texts, prompt and completion together."""
    texts = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
    rows = judge.tokenizer.encode_batch(texts)
    unknown = judge.tokenizer.unknown_id
    tokens = sum(map(len, rows))
    missed = sum(row.count(unknown) for row in rows) if unknown is not None else 0
    # The tokens that begin and end a text are read as well.
    cut = sum(len(row) + 2 > judge.context for row in rows)
    return TokenizerCoverage(unknown=missed / max(1, tokens), cut=cut / max(1, len(rows)))
