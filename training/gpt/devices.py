"""Where to compute, and in which number format."""

import ctypes
import functools
import sys
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


@functools.cache
def keep_heap() -> None:
    """Tell glibc to keep freed memory: training frees and takes the same amounts at every step.

    Whether it pays depends on the machine: no difference could be measured on a Cascade Lake core. Elsewhere
    than on glibc it does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    trim_threshold, mmap_max = -1, -4  # <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl has no mallopt
        return
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
