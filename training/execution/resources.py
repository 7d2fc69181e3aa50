"""Resource usage of a process: memory, processor and GPU, as the run's page shows it."""

import contextlib
import os
import resource
import sys
from pathlib import Path
from typing import Any

import psutil


class Usage:
    """Reads the usage of this process; processor time is measured since the previous reading."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._machine = {"machine_memory": machine_memory(), "cores": cores()}
        self._peak = 0

    def read(self) -> dict[str, Any]:
        """`memory`, `peak_memory` and `machine_memory` in bytes, `cpu` in cores (1.5: one and a half of
        `cores` were busy), and `threads`; with a GPU also its name as `device`, and `gpu_memory`,
        `gpu_peak_memory` and `gpu_machine_memory` in bytes."""
        with self._process.oneshot():
            memory, threads = self._process.memory_info().rss, self._process.num_threads()
        self._peak = max(self._peak, memory, peak_memory())
        return {
            "memory": memory,
            "peak_memory": self._peak,
            "cpu": round(self._process.cpu_percent() / 100, 2),
            "threads": threads,
            **self._machine,
            **gpu(),
        }


def peak_memory() -> int:
    """The peak memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def machine_memory() -> int:
    """The memory of the machine in bytes, or the limit of its container."""
    total: int = psutil.virtual_memory().total
    for path in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int((Path("/sys/fs/cgroup") / path).read_text()))
    return total


def cores() -> int:
    """The number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpu() -> dict[str, Any]:
    """PyTorch's use of the GPU; empty if this process uses none."""
    if "torch" not in sys.modules:  # not loaded for this: a run without a model of its own needs none
        return {}
    import torch  # waits while another thread is importing it

    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return {}
    device = torch.cuda.current_device()
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "gpu_memory": torch.cuda.memory_reserved(device),
        "gpu_peak_memory": torch.cuda.max_memory_reserved(device),
        "gpu_machine_memory": properties.total_memory,
    }
