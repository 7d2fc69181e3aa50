"""Rollouts: completions that the policy writes, and what a model thinks of each of their tokens.

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
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.rlhf.reward.reward_model import BaseRewardModel, RewardModel


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """P prompts with K completions each, N = P x K sequences, as ids and as text."""

    prompts: list[list[int]]  # N, the samples of one prompt together
    completions: list[list[int]]  # N, the end of text inside
    generation: Generation  # [N, L]; its log-probabilities are those of the policy that wrote it
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
    """Complete each prompt `samples` times; each is read once, and rows that have ended leave the batch.

    The tensors are ordinary ones, which autograd may keep. Raises InputError for a prompt that leaves no room
    in the context.
    """
    ids = [tokenizer.prompt(prompt) for prompt in prompts]
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
    texts = [tokenizer.continuation(row, new) for row, new in zip(repeated, completions, strict=True)]
    return Rollouts(
        prompts=repeated,
        completions=completions,
        generation=generation,
        texts=([prompt for prompt in prompts for _ in range(samples)], texts),
    )


def joined(pieces: Sequence[Rollouts]) -> Rollouts:
    """Several batches of rollouts as one, padded at the right with id 0, which no mask lets in."""
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
    """Which places hold a token of a completion, the end of text included. [N, L] bool"""
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

    The distribution is the model's at this temperature: the one of sampling, or the two do not compare.
    Gradients flow, unless the caller says `no_grad`. The output layer, which is most of a small model's work,
    runs on the places that predict a token of a completion and on no other.
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

    A reward model reads its texts as tokens of its own making. Where they are those of the policy, as nearly
    always, only the end of each is read in addition.
    """
    rows = [[*prompt, *new][:-1] for prompt, new in zip(prompts, completions, strict=True)]
    first = [len(prompt) - 1 for prompt in prompts]
    states = model.states([*rows, *texts], first=[*first, *(len(text) - 1 for text in texts)])
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
    """The final state from which each token of each completion was chosen, 0 after its end. [N, L, D]

    What a value head reads: it knows the text up to, and without, the token of its place. Gradients flow.
    """
    mask = completion_mask(completions, device=model.device)
    states = _states(model, prompts, completions)
    return states.new_zeros(*mask.shape, states.shape[-1]).masked_scatter(mask[..., None], states)


def _states(model: GPT, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> Tensor:
    """Final states at the place before each token of each completion, one row after the other. [M, D]"""
    rows = [[*prompt, *new][:-1] for prompt, new in zip(prompts, completions, strict=True)]
    return model.states(rows, first=[len(prompt) - 1 for prompt in prompts])


def shared_trunk(judge: BaseRewardModel | None, reference: GPT) -> RewardModel | None:
    """The judge, if it is heads on the very weights of `reference`."""
    if not isinstance(judge, RewardModel) or judge.trunk.config != reference.config:
        return None
    weights = judge.trunk.state_dict()
    same = all(torch.equal(weight, weights[name]) for name, weight in reference.state_dict().items())
    return judge if same else None


@torch.no_grad()
def reference_logprobs_and_rewards(
    judge: RewardModel,
    reference: GPT,
    rollouts: Rollouts,
    *,
    temperature: float,
    aggregation: str,
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
    scores: list[float] = judge.aggregate_normalised(
        judge.rewards_of_states(torch.cat(ends)), aggregation=aggregation
    ).tolist()
    return expected, scores
