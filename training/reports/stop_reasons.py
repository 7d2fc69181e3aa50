"""The stop reason of runs other than tunings, whose own is in `training.reports.tuning_report`."""

from training.models import Run

SENTENCES = {
    "steps": "Step limit reached.",
    "tokens": "Token limit reached.",
    "minutes": "Time limit reached.",
    "patience": "Stopped early: no improvement on held-out data.",
}


def stop_reason(run: Run) -> str:
    """Why it stopped, and which checkpoint was kept; empty if there is nothing to say."""
    if run.metrics.get("tuning"):
        return ""
    text = SENTENCES.get(run.metrics.get("stopped", ""), "")
    best = run.metrics.get("best_step")
    if text and best:
        text += f" The best checkpoint, of step {best:,}, was kept."
    return text
