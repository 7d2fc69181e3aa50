"""Generate samples for a project's prompts with a policy or an endpoint, and open tasks with them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from labeling.models import Prompt
from labeling.prompts import prompts_with_fewest_tasks
from labeling.tasks import create_tasks
from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.json_safe import json_safe
from training.execution.result import RunResult
from training.gpt.config import HardwareConfig, SamplingConfig
from training.models import Run

EXTRA_SAMPLES = 2
"""Extra samples per task, so that it rarely shows the same text twice."""

PROMPTS_AT_ONCE = 32


def execute(run: Run, attempt: Attempt, folder: Path) -> RunResult:  # noqa: ARG001
    """Open one task for each of the prompts with the fewest tasks, in random order."""
    # Each way imports what it needs: an endpoint needs no torch, a policy no HTTP client.
    if run.endpoint is not None:
        from training.execution import endpoint_samples

        return endpoint_samples.execute(run, attempt)
    return sample_policy(run, attempt)


def sample_policy(run: Run, attempt: Attempt) -> RunResult:
    """Generate all samples with a policy, then open the tasks."""
    from training.execution.model_loading import load_for_generation
    from training.gpt.generation.generate import complete
    from training.gpt.generation.prompts import sift_prompts

    project, policy = run.project, run.policy
    assert project is not None
    assert policy is not None
    assert policy.generator is not None
    generator = policy.generator
    attempt.report("loading the policy")
    model, tokenizer = load_for_generation(
        policy, config_of(HardwareConfig, run), chat=run.parameters.get("chat", False)
    )
    sifted = sift_prompts(
        tokenizer,
        prompts_with_fewest_tasks(project),
        context=model.config.context,
        count=run.parameters["tasks"],
        text=lambda prompt: prompt.for_models,
    )
    prompts = sifted.kept
    sampling = config_of(SamplingConfig, run)
    completions: dict[Prompt, list[str]] = {}
    for first in range(0, len(prompts), PROMPTS_AT_ONCE):
        attempt.raise_if_stopped()
        some = prompts[first : first + PROMPTS_AT_ONCE]
        written = complete(
            model,
            tokenizer,
            [prompt.for_models for prompt in some],
            with_seed_offset(sampling, first),
            samples_per_prompt=project.samples_per_task + EXTRA_SAMPLES,
            should_stop=attempt.should_stop,
        )
        attempt.raise_if_stopped()
        for prompt, own in zip(some, written, strict=True):
            completions[prompt] = distinct_texts([each.text for each in own], count=project.samples_per_task)
        done = len(completions)
        attempt.report(f"{done} of {len(prompts)} prompts", progress=done / len(prompts))
    return RunResult(
        metrics={
            "tasks": len(completions),
            "samples": sum(map(len, completions.values())),
            "notes": sifted.notes,
        },
        record=lambda: create_tasks(
            project=project,
            generator=generator,
            completions=completions,
            parameters=dataclasses.asdict(sampling),
        ),
    )


def with_seed_offset(sampling: SamplingConfig, offset: int) -> SamplingConfig:
    """The sampling config with a different seed for each batch; a negative seed stays."""
    return dataclasses.replace(sampling, seed=sampling.seed + offset) if sampling.seed >= 0 else sampling


def distinct_texts(texts: Sequence[str], *, count: int) -> list[str]:
    """`count` of the texts in order, with repeats only if there are too few distinct ones."""
    texts = json_safe(texts)
    distinct = list(dict.fromkeys(texts))
    repeats = iter(texts)
    while len(distinct) < count:
        distinct.append(next(repeats))
    return distinct[:count]
