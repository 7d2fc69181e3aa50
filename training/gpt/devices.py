"""The device to compute on, and the number format."""

from contextlib import AbstractContextManager

import torch

from training.gpt.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu`` or ``cuda``; auto takes a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda is not available on this machine; choose cpu or auto")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The format to multiply matrices in; auto takes bf16 where the hardware multiplies it, else fp32."""
    if name == "auto":
        name = "bf16" if _fast_bf16(device) else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """The context for forward passes in ``dtype``; weights and sums stay fp32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def _fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def choose_compile(name: str, device: torch.device) -> bool:
    """Whether to compile a model before training it; auto compiles on a GPU, where launching kernels is
    slow."""
    return name == "on" or (name == "auto" and device.type == "cuda")
