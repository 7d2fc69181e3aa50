"""Settings of the C library's memory allocator for training on a CPU."""

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)


@cache
def keep_freed_memory() -> None:
    """Let the C library keep the memory of freed CPU tensors for those of the next step.

    By default, glibc returns the memory of every large tensor to the kernel and gets zeroed pages for the
    next one: a fifth of the time of a small model's training step. Does nothing without glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)  # never
