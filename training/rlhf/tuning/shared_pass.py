"""One pass for reward and reference: a reward model with a frozen trunk reads as the reference does."""

import torch
from torch import Tensor

from training.gpt.devices import autocast
from training.gpt.model import GPT
from training.rlhf.reward.judge import Judge
from training.rlhf.reward.reward_model import RewardModel
from training.rlhf.tuning.rollouts import Rollouts, logprobs_and_ends


def has_trunk(judge: Judge | None, reference: GPT) -> RewardModel | None:
    """The judge, if it is heads on the very weights of `reference`."""
    if not isinstance(judge, RewardModel) or judge.trunk.config != reference.config:
        return None
    weights = judge.trunk.state_dict()
    same = all(torch.equal(weight, weights[name]) for name, weight in reference.state_dict().items())
    return judge if same else None


@torch.no_grad()
def read_and_score(
    judge: RewardModel,
    reference: GPT,
    rollouts: Rollouts,
    *,
    temperature: float,
    use: str,
    pieces: int,
    precision: torch.dtype,
) -> tuple[Tensor, list[float]]:
    """What the reference says of each token, 0 after the end [N, L], and the completions' rewards [N]."""
    mask, texts = rollouts.generation.mask, judge.encode(*rollouts.texts)
    expected = torch.zeros(mask.shape, device=mask.device)
    ends = []
    size = len(texts) // pieces
    for first in range(0, len(texts), size):
        rows = slice(first, first + size)
        with autocast(mask.device, precision):
            said, states = logprobs_and_ends(
                reference,
                rollouts.prompts[rows],
                rollouts.completions[rows],
                texts[rows],
                temperature=temperature,
            )
        expected[rows, : said.shape[1]] = said
        ends.append(states.float())
    scores: list[float] = judge.combined(judge.read(torch.cat(ends)), use=use).tolist()
    return expected, scores
