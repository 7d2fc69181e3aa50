"""The value network of PPO: the expected return at each token of a completion."""

import copy
from collections.abc import Sequence

from torch import Tensor, nn

from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.rlhf.reward.reward_model import BaseRewardModel, Ensemble, RewardModel
from training.rlhf.tuning.rollouts import completion_states


class ValueNetwork(nn.Module):
    """A separate transformer with a scalar head that is initially 0.

    It is initialised from the reward model's trunk (Stiennon et al. 2020, appendix G.1), and shares nothing
    with the policy: each has its own optimizer and learning rate, so no coefficient of the value loss is
    needed.
    """

    def __init__(self, trunk: GPT) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(trunk).requires_grad_(requires_grad=True).eval()
        if not trunk.config.tied:
            self.trunk.head.requires_grad_(requires_grad=False)  # not used
        self.head = nn.Linear(trunk.config.width, 1, device=trunk.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> Tensor:
        """The value of the text before each token of each completion; undefined after its end. [N, L]

        N prompts and completions as ids of the policy's tokenizer, which must be the trunk's too.
        """
        values: Tensor = self.head(completion_states(self.trunk, prompts, completions)).squeeze(-1)
        return values.float()


def initial_value_trunk(reward_model: BaseRewardModel | None, *, policy: GPT, tokenizer: Tokenizer) -> GPT:
    """The trunk of the reward model (of an ensemble, the first), or the policy without one.

    Raises InputError for a reward model with another tokenizer than the policy.
    """
    if reward_model is None:
        return policy
    if reward_model.tokenizer.fingerprint != tokenizer.fingerprint:
        raise InputError(
            "reward: its tokenizer is not the policy's, so ppo's value network cannot be initialised from it;"
            " train a reward model from this policy, or choose another estimator"
        )
    model = next(iter(reward_model)) if isinstance(reward_model, Ensemble) else reward_model
    assert isinstance(model, RewardModel)
    return model.trunk
