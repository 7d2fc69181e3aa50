"""Optimizers: AdamW, and Muon for the matrices inside the blocks."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from training.gpt.config import PretrainConfig
from training.gpt.distributed import full_tensor, shard_like
from training.gpt.model import GPT, Attention, FeedForward


def build_optimizers(
    model: GPT, config: PretrainConfig, *, precision: torch.dtype = torch.float32
) -> list[torch.optim.Optimizer]:
    """The optimizers that together hold all weights of ``model``; Muon computes in ``precision``."""
    optimizers: list[torch.optim.Optimizer] = []
    muon_weights: set[Tensor] = set()
    if config.optimizer == "muon":
        groups = _muon_groups(model)
        muon_weights = {weight for group in groups for weight in group["params"]}
        muon = Muon(
            groups, lr=config.matrix_learning_rate, weight_decay=config.weight_decay, precision=precision
        )
        _keep_initial_rates(muon)
        optimizers.append(muon)
    embeddings: list[Tensor] = []
    others: list[Tensor] = []
    for name, weight in model.named_parameters():
        if weight not in muon_weights:
            is_embedding = name.split(".")[0] in {"embedding", "position_embedding", "head"}
            (embeddings if is_embedding else others).append(weight)
    embedding_rate = config.embedding_learning_rate if muon_weights else config.learning_rate
    embedding_group = {"params": embeddings, "weight_decay": config.weight_decay, "lr": embedding_rate}
    adamw = build_adamw(
        others,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        betas=(0.9, config.beta2),
        extra_groups=[embedding_group],
    )
    return [*optimizers, adamw]


def build_adamw(
    parameters: Iterable[Tensor],
    *,
    learning_rate: float,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    extra_groups: Sequence[dict[str, Any]] = (),
) -> torch.optim.AdamW:
    """Fused AdamW for those ``parameters`` that are trained; matrices decay, gains and biases do not.

    Without ``weight_decay`` this is Adam. ``extra_groups`` have options of their own.
    """
    trained = [weight for weight in parameters if weight.requires_grad]
    groups = [
        *extra_groups,
        {"params": [weight for weight in trained if weight.dim() > 1], "weight_decay": weight_decay},
        {"params": [weight for weight in trained if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=learning_rate, betas=betas, eps=eps, fused=True
    )
    _keep_initial_rates(optimizer)
    return optimizer


def scale_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to ``factor`` times the one that it was built with."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def _keep_initial_rates(optimizer: torch.optim.Optimizer) -> None:
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]


def _muon_groups(model: GPT) -> list[dict[str, Any]]:
    """The matrices of the blocks, grouped by the row counts of the matrices stacked in them."""
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
    """Momentum with orthogonalised updates: every direction of a matrix moves alike (Jordan et al. 2024).

    The updates of matrices that one layer stacks for speed (queries, keys and values; gate and up) are
    orthogonalised part by part: a group's ``parts`` are their row counts. An update is scaled by sqrt(rows /
    columns) where a part is tall. Equal shapes are computed together, in ``precision``; bf16 is enough where
    it is fast.

    PyTorch's own Muon always works in bf16, which is slow on many CPUs, on one matrix after the other, and on
    whole stacked matrices.
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
        """Update every matrix that has a gradient."""
        assert closure is None
        updates: list[tuple[dict[str, Any], Tensor, Tensor]] = []
        parts: defaultdict[torch.Size, list[Tensor]] = defaultdict(list)
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"]
                momentum.mul_(group["momentum"]).add_(weight.grad)
                # Nesterov momentum.
                update = full_tensor(weight.grad.add(momentum, alpha=group["momentum"])).contiguous()
                updates.append((group, weight, update))
                for part in torch.split(update, group["parts"]):
                    wide = part if part.shape[0] <= part.shape[1] else part.mT
                    parts[wide.shape].append(wide)
        for views in parts.values():
            results = orthogonalise(torch.stack(views).to(self.precision)).to(views[0].dtype)
            for view, result in zip(views, results.unbind(), strict=True):
                view.copy_(result)
        for group, weight, update in updates:
            for part in torch.split(update, group["parts"]):
                part.mul_(math.sqrt(max(1.0, part.shape[0] / part.shape[1])))
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(shard_like(update, weight), alpha=-group["lr"])


def orthogonalise(matrices: Tensor, *, rounds: int = 5) -> Tensor:
    """``matrices`` [N, rows, columns], rows <= columns, with all singular values moved close to 1 (0.7 to
    1.2).

    The quintic Newton-Schulz iteration of Jordan et al. (2024); its coefficients give the steepest slope at
    0, not a fixed point at 1.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x: Tensor = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x
