"""Evaluate a policy: perplexity on a corpus, win rate against another version."""

from pathlib import Path
from typing import Any

from training.execution import head_to_head
from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.corpora import tokenize_split
from training.execution.model_loading import load_policy_of
from training.execution.result import RunResult
from training.gpt.config import EvaluationConfig, HardwareConfig
from training.gpt.devices import choose_device, choose_precision
from training.gpt.evaluation import evaluate
from training.models import Run


def execute(run: Run, attempt: Attempt, folder: Path) -> RunResult:  # noqa: ARG001
    """Evaluate on the corpus and against the other version, as far as they are given."""
    metrics: dict[str, Any] = on_corpus(run, attempt) if run.parameters["source"] else {}
    if not run.parameters["against"]:
        return RunResult(metrics=metrics)
    outcome = head_to_head.execute(run, attempt)
    return RunResult(metrics=metrics | outcome.metrics, record=outcome.record)


def on_corpus(run: Run, attempt: Attempt) -> dict[str, Any]:
    """Loss, perplexity, bits per byte and accuracy on a split of a corpus, or on all of it."""
    assert run.policy is not None
    hardware = config_of(HardwareConfig, run)
    device = choose_device(hardware.device)
    model, tokenizer = load_policy_of(run)
    split = tokenize_split(run, attempt, tokenizer, part=run.parameters["split"])
    attempt.raise_if_stopped()
    attempt.report(f"{split.documents} documents")
    metrics = evaluate(
        model.to(device),
        split,
        stride=config_of(EvaluationConfig, run).stride,
        eos_id=tokenizer.eos_id,
        precision=choose_precision(hardware.precision, device),
        should_stop=attempt.should_stop,
    )
    return {**metrics, "documents": split.documents}
