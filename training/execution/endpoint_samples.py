"""Generate samples with an endpoint. Each prompt's samples are stored as they come, in one transaction.

A later attempt of the run finds what is stored by the run's number, and asks only for the rest: nothing is
lost or written twice, however an attempt ended.
"""

from contextlib import closing
from functools import partial

from django.db import transaction
from django.db.models import QuerySet

from labeling.models import Project, Sample
from labeling.prompts import prompts_with_fewest_tasks
from labeling.tasks import SampleText, create_tasks
from training.endpoints.batch import Outcome, Tally, complete_prompts
from training.endpoints.errors import EndpointError
from training.execution.attempt import Attempt, Stopped
from training.execution.configs import config_of
from training.execution.database_retries import retry_while_database_is_away
from training.execution.json_safe import json_safe
from training.execution.result import RunResult
from training.gpt.config import SamplingConfig
from training.models import Endpoint, Run


def execute(run: Run, attempt: Attempt) -> RunResult:
    """Open one task for each of the prompts with the fewest tasks, as soon as its samples are there."""
    project, endpoint = run.project, run.endpoint
    assert project is not None
    assert endpoint is not None
    written = set(samples_of(run).values_list("prompt", flat=True))
    before, wanted = len(written), run.parameters["tasks"]
    prompts = prompts_with_fewest_tasks(project, count=wanted - before, without=written)
    total, tally = before + len(prompts), Tally()
    attempt.report(f"{before} of {total} prompts", progress=before / total if total else 0)
    outcomes = complete_prompts(
        endpoint,
        prompts,
        config_of(SamplingConfig, run),
        count=project.samples_per_task,
        should_stop=attempt.should_stop,
    )
    with closing(outcomes):
        for outcome in outcomes:
            if outcome.completions:
                written.add(outcome.prompt.pk)
                retry_while_database_is_away(
                    partial(store, run, project, endpoint, outcome, step=len(written))
                )
            tally.add(outcome)
            without = f", {tally.count} without samples" if tally.count else ""
            attempt.report(f"{len(written)} of {total} prompts{without}", progress=len(written) / total)
    attempt.raise_if_stopped()
    tally.raise_if_failed()
    if not written:
        raise EndpointError(tally.last)
    return RunResult(metrics=count_samples(run) | {"notes": tally.notes})


def store(run: Run, project: Project, endpoint: Endpoint, outcome: Outcome, *, step: int) -> None:
    """Store a prompt's samples as a task, if the attempt is still current; else raises Stopped."""
    with transaction.atomic():
        # First, so that another attempt waits for this row before it looks for what is stored.
        if not run.record_saved_step(step):
            raise Stopped
        if samples_of(run).filter(prompt=outcome.prompt).exists():
            return  # the database went away after it had stored them
        create_tasks(
            project=project,
            generator=endpoint.generator,
            completions={
                outcome.prompt: [
                    SampleText(json_safe(each.text), json_safe(each.parameters))
                    for each in outcome.completions
                ]
            },
            parameters={"run": run.pk},
        )


def samples_of(run: Run) -> QuerySet[Sample]:
    """The samples that this run has stored."""
    assert run.endpoint is not None
    return Sample.objects.filter(
        generator=run.endpoint.generator_id, prompt__project=run.project_id, parameters__run=run.pk
    )


def count_samples(run: Run) -> dict[str, int]:
    """The tasks and samples of the run, and the tokens that they cost, as far as the server told."""
    found = {"samples": 0, "prompt_tokens": 0, "completion_tokens": 0, "cut_off": 0}
    prompts = set()
    for prompt, parameters in samples_of(run).values_list("prompt", "parameters").iterator():
        prompts.add(prompt)
        found["samples"] += 1
        found["prompt_tokens"] += parameters.get("prompt_tokens", 0)
        found["completion_tokens"] += parameters.get("completion_tokens", 0)
        found["cut_off"] += parameters.get("finish_reason") == "length"
    return {"tasks": len(prompts), **found}
