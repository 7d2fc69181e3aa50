"""The value network of PPO: what the text so far is expected to bring, at each token of a completion."""

import copy
from collections.abc import Sequence

from torch import Tensor, nn

from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.rlhf.reward.reward_model import BaseRewardModel, Ensemble, RewardModel
from training.rlhf.tuning.rollouts import completion_states


class ValueNetwork(nn.Module):
    """A transformer of its own with a scalar head that begins at 0.

    It begins from the reward model's trunk, which has already learned what texts are worth (Stiennon et al.
    2020, appendix G.1), and shares nothing with the policy. So the coefficient that weighs the value's loss
    against the policy's has nothing to weigh here: each network has an optimiser and a learning rate of its
    own, and Adam divides the scale of a loss away.
    """

    def __init__(self, trunk: GPT) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(trunk).requires_grad_(requires_grad=True).eval()
        if not trunk.config.tied:
            self.trunk.head.requires_grad_(requires_grad=False)  # it is not in use
        self.head = nn.Linear(trunk.config.width, 1, device=trunk.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> Tensor:
        """The value of the text before each token of each completion; after its end, of nothing. [N, L]

        N prompts and completions as ids of the policy's tokenizer, which must be the trunk's too.
        """
        values: Tensor = self.head(completion_states(self.trunk, prompts, completions)).squeeze(-1)
        return values.float()


def initial_value_trunk(judge: BaseRewardModel | None, *, policy: GPT, tokenizer: Tokenizer) -> GPT:
    """Where a value network begins: at the reward model (of several, the first), else at the policy.

    Raises InputError for a reward model that reads other ids than the policy writes.
    """
    if judge is None:
        return policy
    if judge.tokenizer.fingerprint != tokenizer.fingerprint:
        raise InputError(
            "reward: it reads with another tokenizer than the policy, so that ppo's value network cannot"
            " begin from it; train a reward model from this policy, or choose another estimator"
        )
    model = next(iter(judge)) if isinstance(judge, Ensemble) else judge
    assert isinstance(model, RewardModel)
    return model.trunk
