"""Why a run other than a tuning stopped; tunings tell more, in `training.reports.tuning_report`."""

from training.models import Run

WORDS = {
    "steps": "It made all the steps that it was given.",
    "tokens": "It read all the tokens that it was given.",
    "minutes": "Its time was up.",
    "patience": "It got no better on what it does not learn from, so it was ended early.",
}


def ending(run: Run) -> str:
    """Why it stopped and what was kept, in a sentence or two; empty where there is nothing to say."""
    if run.metrics.get("tuning"):
        return ""
    said = WORDS.get(run.metrics.get("stopped", ""), "")
    best = run.metrics.get("best_step")
    if said and best:
        said += f" The version of step {best:,} was the best and was kept."
    return said
