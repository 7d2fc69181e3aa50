"""How gradients move weights: AdamW, and Muon for the matrices inside the blocks."""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from training.gpt.config import PretrainConfig
from training.gpt.distributed import part_like, whole
from training.gpt.model import GPT, Attention, FeedForward


def build_optimizers(
    model: GPT, config: PretrainConfig, *, precision: torch.dtype = torch.float32
) -> list[torch.optim.Optimizer]:
    """The optimisers that share out the weights of ``model``; each group has its ``peak`` learning rate.

    Matrices decay; gains and biases do not. ``precision`` is Muon's for its orthogonalisation.
    """
    optimizers: list[torch.optim.Optimizer] = []
    taken: set[Tensor] = set()
    if config.optimizer == "muon":
        groups = _matrices(model)
        taken = {weight for group in groups for weight in group["params"]}
        optimizers.append(
            Muon(
                groups, lr=config.matrix_learning_rate, weight_decay=config.weight_decay, precision=precision
            )
        )
    embeddings: list[Tensor] = []
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, weight in model.named_parameters():
        if weight not in taken:
            is_embedding = name.split(".")[0] in {"embedding", "position_embedding", "head"}
            (embeddings if is_embedding else matrices if weight.dim() > 1 else others).append(weight)
    embedding_rate = config.embedding_learning_rate if taken else config.learning_rate
    adamw_groups = [
        {"params": embeddings, "weight_decay": config.weight_decay, "lr": embedding_rate},
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizers.append(
        torch.optim.AdamW(
            [group for group in adamw_groups if group["params"]],
            lr=config.learning_rate,
            betas=(0.9, config.beta2),
            fused=True,
        )
    )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def _matrices(model: GPT) -> list[dict[str, Any]]:
    """The matrices of the blocks, grouped by the rows of the parts that stand in them one above the other."""
    groups: defaultdict[tuple[int, ...], list[Tensor]] = defaultdict(list)
    for module in model.blocks.modules():
        if isinstance(module, Attention):
            groups[tuple(heads * module.head_width for heads in module.split)].append(module.qkv.weight)
            groups[(module.out.weight.shape[0],)].append(module.out.weight)
        elif isinstance(module, FeedForward):
            rows, wide = module.down.weight.shape[1], module.up.weight.shape[0]
            groups[(rows,) * (wide // rows)].append(module.up.weight)
            groups[(module.down.weight.shape[0],)].append(module.down.weight)
    return [{"params": weights, "parts": parts} for parts, weights in groups.items()]


class Muon(torch.optim.Optimizer):
    """Momentum whose steps are orthogonalised: every direction of a matrix moves alike (Jordan et al. 2024).

    The steps of matrices that one layer stacks for speed (queries, keys and values; gate and up) are
    orthogonalised part by part: a group's ``parts`` are their numbers of rows. A step is scaled by
    sqrt(rows / columns) where a part is tall. Equal shapes are computed together, in ``precision``; bf16 is
    enough, where it is fast.

    PyTorch's own Muon always works in bf16, slow on many CPUs, one matrix after the other, and on whole
    matrices.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.precision = precision

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        assert closure is None
        moves: list[tuple[dict[str, Any], Tensor, Tensor]] = []
        parts: defaultdict[torch.Size, list[Tensor]] = defaultdict(list)
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                kept = self.state[weight]
                if not kept:
                    kept["momentum"] = torch.zeros_like(weight)
                momentum = kept["momentum"]
                momentum.mul_(group["momentum"]).add_(weight.grad)
                # Nesterov's: a look ahead.
                move = whole(weight.grad.add(momentum, alpha=group["momentum"])).contiguous()
                moves.append((group, weight, move))
                for part in torch.split(move, group["parts"]):
                    wide = part if part.shape[0] <= part.shape[1] else part.mT
                    parts[wide.shape].append(wide)
        for views in parts.values():
            turned = orthogonalised(torch.stack(views).to(self.precision)).to(views[0].dtype)
            for view, part in zip(views, turned.unbind(), strict=True):
                view.copy_(part)
        for group, weight, move in moves:
            for part in torch.split(move, group["parts"]):
                part.mul_(math.sqrt(max(1.0, part.shape[0] / part.shape[1])))
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(part_like(move, weight), alpha=-group["lr"])


def orthogonalised(matrices: Tensor, *, rounds: int = 5) -> Tensor:
    """``matrices`` [N, rows, columns], rows <= columns, with singular values of about 1 (0.7 to 1.2).

    The quintic Newton-Schulz iteration of Jordan et al. (2024), whose coefficients are chosen for the
    steepest rise at 0 and not for a fixed point at 1.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x: Tensor = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x
