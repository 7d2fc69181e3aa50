from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.gpt.tiny_models import LAYOUTS, tiny_model
from training.gpt.config import PretrainConfig
from training.gpt.optimizers import Muon, build_optimizers, orthogonalise


def groups(model: Any, **options: Any) -> list[dict[str, Any]]:
    optimizers = build_optimizers(model, PretrainConfig(**options))
    return [group for optimizer in optimizers for group in optimizer.param_groups]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_weight_has_one_optimiser_and_only_matrices_decay(optimizer: str, layout: str) -> None:
    model = tiny_model(**LAYOUTS[layout])
    found = groups(model, optimizer=optimizer, weight_decay=0.1)
    weights = [weight for group in found for weight in group["params"]]
    assert len(weights) == len(set(weights)) == len(list(model.parameters()))
    for group in found:
        assert {weight.dim() > 1 for weight in group["params"]} == {group["weight_decay"] == 0.1}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_muon_moves_the_matrices_of_the_blocks_alone(layout: str) -> None:
    model = tiny_model(**LAYOUTS[layout])
    muon, adamw = build_optimizers(model, PretrainConfig(optimizer="muon"))
    moved = {weight for group in muon.param_groups for weight in group["params"]}
    assert moved == {weight for weight in model.blocks.parameters() if weight.dim() > 1}
    assert isinstance(adamw, torch.optim.AdamW)


def test_each_kind_of_weight_has_its_own_peak() -> None:
    model = tiny_model()
    rates = {"learning_rate": 0.3, "embedding_learning_rate": 0.2, "matrix_learning_rate": 0.1}
    found = groups(model, optimizer="muon", **rates)
    peaks = {weight: group["initial_lr"] for group in found for weight in group["params"]}
    assert peaks[model.embedding.weight] == 0.2
    assert peaks[model.final_norm.weight] == 0.3
    assert {peaks[weight] for weight in model.blocks.parameters() if weight.dim() > 1} == {0.1}
    alike = groups(model, optimizer="adamw", learning_rate=0.3)
    assert {group["initial_lr"] for group in alike} == {0.3}


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_singular_values_come_near_1(precision: torch.dtype) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(5, 24, 40) * torch.tensor([1e-4, 1, 1, 1, 1e4])[:, None, None]
    turned = orthogonalise(matrices.to(precision)).float()
    values = torch.linalg.svdvals(turned)
    assert values.min() > 0.6
    assert values.max() < 1.3
    # The directions stay: the matrix of left times right singular vectors is the nearest orthogonal one.
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(turned.flatten(1), (left @ right).flatten(1)).min() > 0.95


def moved(weight: Tensor, gradients: list[Tensor], **group: Any) -> Tensor:
    """A matrix after Muon's steps."""
    parameter = nn.Parameter(weight.clone())
    muon = Muon([{"params": [parameter], "parts": (len(weight),), **group}], lr=0.1, weight_decay=0.1)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        muon.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48)])
def test_it_moves_as_pytorchs_own(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight, *gradients = torch.randn(4, *shape).unbind()
    parameter = nn.Parameter(weight.clone())
    reference = torch.optim.Muon([parameter], lr=0.1, weight_decay=0.1)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        reference.step()  # type: ignore[no-untyped-call]
    ours = moved(weight, gradients)
    assert (ours - weight).norm() > 0.5
    # PyTorch's works in bf16.
    assert (ours - parameter.detach()).norm() < 0.02 * (ours - weight).norm()


def test_stacked_parts_move_as_they_would_alone() -> None:
    torch.manual_seed(0)
    parts = [16, 8, 8]
    weight, *gradients = torch.randn(4, sum(parts), 12).unbind()
    together = moved(weight, gradients, parts=parts)
    alone = [
        moved(part, [torch.split(gradient, parts)[index] for gradient in gradients])
        for index, part in enumerate(torch.split(weight, parts))
    ]
    assert torch.allclose(together, torch.cat(alone), atol=1e-6)
    assert not torch.allclose(together, moved(weight, gradients), atol=1e-2)
