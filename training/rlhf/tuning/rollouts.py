"""Rollouts: completions sampled from the policy, and the log-probabilities of their tokens.

N sequences (prompt and completion), L tokens in the longest completion, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.gpt.config import SamplingConfig
from training.gpt.devices import autocast
from training.gpt.generation.decoding import Generation
from training.gpt.generation.generate import generate
from training.gpt.generation.prompts import encode_prompts
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.rlhf.reward.reward_model import BaseRewardModel, RewardModel


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """P prompts with K completions each, N = P x K sequences, as ids and as text."""

    prompts: list[list[int]]  # N, the samples of one prompt together
    completions: list[list[int]]  # N, including the end of text
    generation: Generation  # [N, L], with the log-probabilities of sampling
    texts: tuple[list[str], list[str]]  # N prompts and N completions, for the scorer


def sample(
    policy: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    sampling: SamplingConfig,
    *,
    samples: int,
    generator: torch.Generator | None,
) -> Rollouts:
    """Complete each prompt `samples` times; each prompt is read once, and finished rows leave the batch.

    The tensors can be used in autograd. Raises InputError for a prompt that leaves no room in the context.
    """
    ids = encode_prompts(policy, tokenizer, prompts)
    written = generate(
        policy,
        ids,
        sampling,
        eos_id=tokenizer.eos_ids,
        pad_id=tokenizer.pad_id,
        samples_per_prompt=samples,
        generator=generator,
    )
    generation = Generation(
        tokens=written.tokens.clone(),
        mask=written.mask.clone(),
        logprobs=written.logprobs.clone(),
        ended=written.ended.clone(),
    )
    repeated = [row for row in ids for _ in range(samples)]
    completions = generation.completions()
    asked = [prompt for prompt in prompts for _ in range(samples)]
    texts = [
        tokenizer.completion(prompt, row, new)
        for prompt, row, new in zip(asked, repeated, completions, strict=True)
    ]
    return Rollouts(
        prompts=repeated,
        completions=completions,
        generation=generation,
        texts=(asked, texts),
    )


def concatenate_rollouts(pieces: Sequence[Rollouts]) -> Rollouts:
    """Several batches of rollouts as one, padded on the right with id 0 outside the mask."""
    length = max(piece.generation.mask.shape[1] for piece in pieces)

    def stacked(tensors: Sequence[Tensor], pad: float) -> Tensor:
        return torch.cat(
            [torch.nn.functional.pad(each, (0, length - each.shape[1]), value=pad) for each in tensors]
        )

    if len(pieces) == 1:
        return pieces[0]
    return Rollouts(
        prompts=[prompt for piece in pieces for prompt in piece.prompts],
        completions=[completion for piece in pieces for completion in piece.completions],
        generation=Generation(
            tokens=stacked([piece.generation.tokens for piece in pieces], 0),
            mask=stacked([piece.generation.mask for piece in pieces], False),
            logprobs=stacked([piece.generation.logprobs for piece in pieces], 0.0),
            ended=torch.cat([piece.generation.ended for piece in pieces]),
        ),
        texts=(
            [prompt for piece in pieces for prompt in piece.texts[0]],
            [completion for piece in pieces for completion in piece.texts[1]],
        ),
    )


def completion_mask(completions: Sequence[Sequence[int]], *, device: torch.device | str = "cpu") -> Tensor:
    """True at the tokens of a completion, including the end of text. [N, L] bool"""
    lengths = torch.tensor([len(new) for new in completions], device=device)
    return torch.arange(int(lengths.max()), device=device) < lengths[:, None]


def sequence_logprobs(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    *,
    temperature: float,
) -> Tensor:
    """Log-probability of each token of each completion, 0 after its end. [N, L], in nats.

    The temperature must be that of sampling. Gradients flow, unless under `no_grad`. The output layer, which
    is most of a small model's work, runs only where a token of a completion is predicted.
    """
    return _logprobs(model, _states(model, prompts, completions), completions, temperature=temperature)


def logprobs_and_ends(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    texts: Sequence[Sequence[int]],
    *,
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """`sequence_logprobs` [N, L], and the final state at the end of each of `texts` [N, D], in one pass.

    A reward model encodes its texts itself. If the tokens are those of the policy, as nearly always, only the
    end of each text is computed in addition.
    """
    rows = [[*prompt, *new][:-1] for prompt, new in zip(prompts, completions, strict=True)]
    first = [len(prompt) - 1 for prompt in prompts]
    states = model.packed_hidden([*rows, *texts], first=[*first, *(len(text) - 1 for text in texts)])
    written, ends = torch.split(states, [len(states) - len(texts), len(texts)])
    return _logprobs(model, written, completions, temperature=temperature), ends


def _logprobs(
    model: GPT, states: Tensor, completions: Sequence[Sequence[int]], *, temperature: float
) -> Tensor:
    """Log-probabilities [N, L] of completions of M tokens, chosen from `states` [M, D]."""
    mask = completion_mask(completions, device=model.device)
    logits = model.logits(states).float()  # [M, V]
    if temperature != 1:
        logits = logits / temperature
    targets = torch.tensor([token for new in completions for token in new], device=model.device)
    logprobs = -torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    return logprobs.new_zeros(mask.shape).masked_scatter(mask, logprobs)


def completion_states(
    model: GPT, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> Tensor:
    """The final state from which each token of each completion is predicted, 0 after its end. [N, L, D]

    The input of a value head: the text before the token. Gradients flow.
    """
    mask = completion_mask(completions, device=model.device)
    states = _states(model, prompts, completions)
    return states.new_zeros(*mask.shape, states.shape[-1]).masked_scatter(mask[..., None], states)


def _states(model: GPT, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> Tensor:
    """Final states before each token of each completion, one row after the other. [M, D]"""
    rows = [[*prompt, *new][:-1] for prompt, new in zip(prompts, completions, strict=True)]
    return model.packed_hidden(rows, first=[len(prompt) - 1 for prompt in prompts])


def reward_model_on_trunk(reward_model: BaseRewardModel | None, reference: GPT) -> RewardModel | None:
    """The reward model, if its trunk has exactly the weights of `reference`; else None."""
    if not isinstance(reward_model, RewardModel) or reward_model.trunk.config != reference.config:
        return None
    weights = reward_model.trunk.state_dict()
    same = all(torch.equal(weight, weights[name]) for name, weight in reference.state_dict().items())
    return reward_model if same else None


@torch.no_grad()
def reference_logprobs_and_rewards(
    reward_model: RewardModel,
    reference: GPT,
    rollouts: Rollouts,
    *,
    temperature: float,
    aggregation: str,
    accumulate: int,
    precision: torch.dtype,
) -> tuple[Tensor, list[float]]:
    """The reference's log-probability of each token, 0 after the end [N, L], and the completions' rewards
    [N], in one forward pass: for a reward model with the reference's trunk."""
    mask, texts = rollouts.generation.mask, reward_model.encode(*rollouts.texts)
    reference_logprobs = torch.zeros(mask.shape, device=mask.device)
    end_states = []
    size = len(texts) // accumulate
    for first in range(0, len(texts), size):
        rows = slice(first, first + size)
        with autocast(mask.device, precision):
            logprobs, states = logprobs_and_ends(
                reference,
                rollouts.prompts[rows],
                rollouts.completions[rows],
                texts[rows],
                temperature=temperature,
            )
        reference_logprobs[rows, : logprobs.shape[1]] = logprobs
        end_states.append(states.float())
    rewards = reward_model.rewards_of_states(torch.cat(end_states))
    scores: list[float] = reward_model.aggregate_normalised(rewards, aggregation=aggregation).tolist()
    return reference_logprobs, scores
