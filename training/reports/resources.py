"""Memory, processor and GPU use of a run's process."""

from dataclasses import dataclass
from typing import Any

from training.models import Run
from training.reports.number_format import format_bytes


@dataclass(frozen=True)
class ResourceUse:
    """The use of one resource: its name, the amount as text, and the share of the machine's total."""

    name: str
    text: str
    share: float | None = None


def resources(run: Run) -> list[ResourceUse]:
    """The values of the last heartbeat, with peaks; empty if there are none."""
    found = run.resources
    rows = []
    if "memory" in found:
        rows.append(memory_use("Memory", found, "memory", "peak_memory", "machine_memory"))
    if "cpu" in found:
        cpu, cores = found["cpu"], found.get("cores")
        share = min(cpu / cores, 1.0) if cores else None
        rows.append(
            ResourceUse("Processor", f"{cpu:.1f} of {cores} cores" if cores else f"{cpu:.1f} cores", share)
        )
    if "threads" in found:
        rows.append(ResourceUse("Threads", str(found["threads"])))
    if "gpu_memory" in found:
        device = found.get("device") or "GPU"
        rows.append(memory_use(device, found, "gpu_memory", "gpu_peak_memory", "gpu_machine_memory"))
    return rows


def memory_use(name: str, found: dict[str, Any], now: str, peak: str, total_key: str) -> ResourceUse:
    """Memory in use, at its peak, and in total. Arguments are keys of `found`."""
    text, total = format_bytes(found[now]), found.get(total_key)
    if found.get(peak):
        text += f", peak {format_bytes(found[peak])}"
    if total:
        text += f" of {format_bytes(total)}"
    return ResourceUse(name, text, min(found[now] / total, 1.0) if total else None)
