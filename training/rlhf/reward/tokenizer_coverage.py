"""How much of a text a reward model can read, given its tokenizer and its context length.

A reward model may be used with a policy that has another tokenizer. It then fails silently: all unknown
characters become the same token, and texts that differ only in them get the same reward.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from training.gpt.errors import InputError
from training.rlhf.reward.reward_model import BaseRewardModel

MAX_UNKNOWN = 0.5  # fraction of the tokens above which the reward model is refused
WARN_ABOVE = 0.02  # fraction from which on a warning is given


@dataclass(frozen=True, kw_only=True)
class TokenizerCoverage:
    """What a reward model cannot read of some texts."""

    unknown: float  # of the tokens
    truncated: int  # texts longer than the context
    texts: int

    def warnings(self, name: str, *, option: str = "reward") -> list[str]:
        """Warnings, one sentence each. Raises InputError if most tokens are unknown.

        `name` says what the texts are, such as "the prompts"; `option` is the option that gave the tokenizer.
        """
        if self.unknown > MAX_UNKNOWN:
            raise InputError(
                f"{option}: its tokenizer does not know {self.unknown:.0%} of the tokens of {name}; "
                "train the reward model from a policy with a suitable tokenizer"
            )
        warnings = []
        if self.unknown >= WARN_ABOVE:
            warnings.append(
                f"The reward model's tokenizer does not know {self.unknown:.0%} of the tokens of {name}: "
                "texts that differ only in them get the same reward."
            )
        if self.truncated:
            warnings.append(
                f"{self.truncated} of {self.texts} of {name} are longer than the reward model's context; it "
                "reads only their end."
            )
        return warnings


def tokenizer_coverage(
    reward_model: BaseRewardModel, prompts: Sequence[str], completions: Sequence[str]
) -> TokenizerCoverage:
    """What a reward model cannot read of these texts, prompt and completion together."""
    rows = reward_model.tokenizer.encode_texts(prompts, completions)
    unknown = reward_model.tokenizer.unknown_id
    tokens = sum(len(row) - 2 for row in rows)  # without those that begin and end a text
    missed = sum(row.count(unknown) for row in rows) if unknown is not None else 0
    truncated = sum(len(row) > reward_model.context for row in rows)
    return TokenizerCoverage(unknown=missed / max(1, tokens), truncated=truncated, texts=len(rows))
