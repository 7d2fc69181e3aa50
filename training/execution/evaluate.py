"""Measure a policy: perplexity on a corpus, win rate over another version."""

from pathlib import Path
from typing import Any

from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.corpora import part_for
from training.execution.finetune import EXAMPLES, texts
from training.execution.outcome import Outcome
from training.execution.versions import load_policy, load_taste, load_writer
from training.gpt.config import EvaluationConfig, HardwareConfig, SamplingConfig
from training.gpt.devices import choose_device, choose_precision
from training.gpt.evaluation import evaluate
from training.gpt.generate import complete
from training.models import ModelVersion, Run
from training.rlhf.win_rate import win_rate


def execute(run: Run, attempt: Attempt, folder: Path) -> Outcome:  # noqa: ARG001
    """Whatever of the two was asked for."""
    metrics: dict[str, Any] = {}
    if run.parameters["source"]:
        metrics |= on_corpus(run, attempt)
    if run.parameters["against"]:
        metrics |= against(run, attempt)
    return Outcome(metrics=metrics)


def on_corpus(run: Run, attempt: Attempt) -> dict[str, Any]:
    """Loss, perplexity, bits per byte and accuracy on a split of a corpus, or on all of it."""
    assert run.policy is not None
    hardware = config_of(HardwareConfig, run)
    device = choose_device(hardware.device)
    model, tokenizer = load_policy(run.policy)
    split = part_for(run, attempt, tokenizer, part=run.parameters["split"])
    attempt.check()
    attempt.say(f"{split.documents} documents")
    figures = evaluate(
        model.to(device),
        split,
        stride=config_of(EvaluationConfig, run).stride,
        eos_id=tokenizer.eos_id,
        precision=choose_precision(hardware.precision, device),
        should_stop=attempt.should_stop,
    )
    return {**figures, "documents": split.documents}


def against(run: Run, attempt: Attempt) -> dict[str, Any]:
    """How often the policy's completion of a held-out prompt beats the other version's."""
    assert run.policy is not None
    assert run.project is not None
    rival = ModelVersion.objects.get(name=run.parameters["against"])
    prompts = texts(run.project, "heldout")[: run.parameters["prompts"]]
    judge = load_taste(run.parameters["judge"])
    sampling = config_of(SamplingConfig, run)
    completions = []
    for number, version in enumerate((run.policy, rival)):
        attempt.check()
        attempt.say(f"{version.name} writes", progress=number / 3)
        model, tokenizer = load_writer(version, config_of(HardwareConfig, run))
        written = complete(model, tokenizer, prompts, sampling, should_stop=attempt.should_stop)
        completions.append([first.text for (first,) in written])
    attempt.check()
    attempt.say(f"{run.parameters['judge']} judges", progress=2 / 3)
    ours, theirs = completions
    result = win_rate(judge, prompts=prompts, completions_a=ours, completions_b=theirs)
    scores = [judge(prompts[:EXAMPLES], side[:EXAMPLES]) for side in completions]
    return {
        "win_rate": result.rate,
        "win_rate_low": result.interval[0],
        "win_rate_high": result.interval[1],
        "score": result.mean_a,
        "score_against": result.mean_b,
        "prompts": result.count,
        "examples": [
            {"prompt": prompt, "completion": a, "against": b, "score": score_a, "score_against": score_b}
            for prompt, a, b, score_a, score_b in zip(
                prompts[:EXAMPLES], ours, theirs, scores[0], scores[1], strict=False
            )
        ],
    }
