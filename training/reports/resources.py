"""What a run's process used of its machine, as its page shows it."""

from dataclasses import dataclass
from typing import Any

from training.models import Run


@dataclass(frozen=True)
class Use:
    """One resource: what it is, how much of it was used, in words, and as a share of all there is."""

    name: str
    text: str
    share: float | None = None


def resources(run: Run) -> list[Use]:
    """What was read at the last heartbeat, and at most; nothing where nothing was read."""
    found = run.resources
    uses = []
    if "memory" in found:
        uses.append(memory("Memory", found, "memory", "peak_memory", "machine_memory"))
    if "cpu" in found:
        cpu, cores = found["cpu"], found.get("cores")
        share = min(cpu / cores, 1.0) if cores else None
        uses.append(Use("Processor", f"{cpu:.1f} of {cores} cores" if cores else f"{cpu:.1f} cores", share))
    if "threads" in found:
        uses.append(Use("Threads", str(found["threads"])))
    if "gpu_memory" in found:
        device = found.get("device") or "GPU"
        uses.append(memory(device, found, "gpu_memory", "gpu_peak_memory", "gpu_machine_memory"))
    return uses


def memory(name: str, found: dict[str, Any], now: str, most: str, machine: str) -> Use:
    """Memory of a kind: now, at most, and of how much."""
    text, total = size(found[now]), found.get(machine)
    if found.get(most):
        text += f", at most {size(found[most])}"
    if total:
        text += f" of {size(total)}"
    return Use(name, text, min(found[now] / total, 1.0) if total else None)


def size(count: float) -> str:
    """Bytes as people say them, a thousand bytes to a kB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
