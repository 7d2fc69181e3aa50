"""Shared by all tunings of a policy: scorers for evaluation, the training snapshot, and the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeling.models import PreferenceSnapshot, Project
from training.execution.model_loading import load_reward, load_scorer
from training.execution.result import NewVersion, RunResult
from training.execution.train_reward import freeze_snapshot
from training.formats.conversation import as_prompt
from training.gpt.checkpoint import save_checkpoint
from training.gpt.devices import choose_device
from training.gpt.distributed import ProcessGroup
from training.gpt.tokenizer import Tokenizer
from training.models import ModelVersion, Run
from training.rlhf.reward_functions import Scorer
from training.rlhf.tuning.early_stopping import measure_changes
from training.rlhf.tuning.heldout_evaluation import TuningResult

MAX_EXAMPLES = 8


@dataclass(frozen=True, kw_only=True)
class EvaluationScorers:
    """The scorers that evaluate held-out completions during DPO and supervised fine-tuning."""

    scorer: Scorer | None
    gold: Scorer | None
    disagreement: Scorer | None


def evaluation_scorers(run: Run) -> EvaluationScorers:
    """The scorers of the run's reward model and gold scorer, if given."""
    gold = run.parameters.get("gold")
    reward = load_reward(run.reward).to(choose_device(run.parameters["device"])) if run.reward else None
    return EvaluationScorers(
        scorer=reward.scorer() if reward else None,
        gold=load_scorer(gold) if gold else None,
        disagreement=reward.disagreement if reward and reward.members > 1 else None,
    )


def training_snapshot(run: Run, group: ProcessGroup) -> PreferenceSnapshot:
    """The snapshot that the run is trained on: the one it names, or a new one of the answers so far.

    The first process freezes it, and the others read it.
    """

    def choose() -> bool:
        if run.snapshot is None and run.parameters.get("snapshot"):
            assert run.project is not None
            run.snapshot = run.project.snapshots.get(hash=run.parameters["snapshot"])
            run.save(update_fields=["snapshot"])
        return freeze_snapshot(run)

    if group.broadcast_bool(choose):
        run.refresh_from_db(fields=["snapshot"])
    assert run.snapshot is not None
    return run.snapshot


def prompt_texts(project: Project, split: str) -> list[str]:
    """The project's prompts of one split as models read them, in the order they were added."""
    rows = project.prompts.filter(split=split).order_by("pk").values_list("text", "messages")
    return [as_prompt(text, messages) for text, messages in rows]


def tuning_result(
    run: Run, result: TuningResult, tokenizer: Tokenizer, folder: Path, **metrics: Any
) -> RunResult:
    """Save the best policy, and build the run's result with the metrics common to all tunings."""
    save_checkpoint(folder / "model", result.policy, tokenizer)
    return RunResult(
        metrics={
            **result.metrics,
            **metrics,
            "stopped": result.stop_reason,
            "notes": result.notes,
            "tuning": {
                "chosen_by": result.after.selection_measure,
                "prompts": len(result.heldout_prompts),
                "changes": measure_changes(result.before, result.after),
            },
            "examples": examples(result),
        },
        version=NewVersion(folder=folder / "model", kind=ModelVersion.Kind.POLICY, parent=run.policy),
        snapshot=run.snapshot,
    )


def examples(result: TuningResult) -> list[dict[str, Any]]:
    """Completions of held-out prompts before and after the tuning, with their scores."""
    before, after = result.before, result.after
    judge = next((name for name in ("gold", "reward") if name in after.per_prompt), None)
    unscored: Sequence[float | None] = [None] * len(after.completions)
    rows = zip(
        result.heldout_prompts,
        after.completions,
        before.completions,
        after.per_prompt[judge] if judge else unscored,
        before.per_prompt[judge] if judge else unscored,
        strict=True,
    )
    return [
        {"prompt": prompt, "completion": ours, "against": theirs, "score": score, "score_against": against}
        for prompt, ours, theirs, score, against in list(rows)[:MAX_EXAMPLES]
    ]
