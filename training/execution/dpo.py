"""Tune a policy directly on comparisons (DPO)."""

from pathlib import Path
from typing import Any

from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.model_loading import load_policy_of
from training.execution.result import RunResult
from training.execution.train_reward import load_feedback
from training.execution.tuning import evaluation_scorers, prompt_texts, training_snapshot, tuning_result
from training.gpt.config import HardwareConfig
from training.gpt.distributed import process_group
from training.gpt.tokenizer import Tokenizer
from training.models import Run
from training.rlhf.config import DpoConfig, EarlyStoppingConfig
from training.rlhf.tuning.dpo import dpo
from training.rlhf.tuning.heldout_evaluation import TuningResult


def execute(run: Run, attempt: Attempt, folder: Path) -> RunResult:
    """Tune, and keep the best checkpoint by the same evaluation as the policy gradient."""
    result, tokenizer, count = tune(run, attempt, folder)
    attempt.raise_if_stopped()
    return tuning_result(run, result, tokenizer, folder, comparisons=count)


def execute_as_helper(run: Run, attempt: Attempt, folder: Path) -> None:
    """Take part in the tuning in a helper process."""
    tune(run, attempt, folder)


def tune(run: Run, attempt: Attempt, folder: Path) -> tuple[TuningResult, Tokenizer, int]:
    """The result of the tuning, the policy's tokenizer, and the number of comparisons."""
    assert run.project is not None
    assert run.policy is not None
    attempt.report("collecting the comparisons")
    with process_group() as group:
        if not run.parameters["preferences"]:
            training_snapshot(run, group)
        comparisons, _ = load_feedback(run, attempt.report)
        attempt.report(f"{len(comparisons)} comparisons; loading the policy")
        policy, tokenizer = load_policy_of(run)
        attempt.raise_if_stopped()
        judges: dict[str, Any] = vars(evaluation_scorers(run))
        result = dpo(
            policy=policy,
            tokenizer=tokenizer,
            comparisons=comparisons,
            heldout_prompts=prompt_texts(run.project, "heldout"),
            config=config_of(DpoConfig, run),
            early_stopping=config_of(EarlyStoppingConfig, run),
            hardware=config_of(HardwareConfig, run),
            folder=folder / "last",
            callbacks=attempt.callbacks,
            **judges,
        )
        return result, tokenizer, len(comparisons)
