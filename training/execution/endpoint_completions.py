"""Completions of an endpoint for an evaluation, kept in the run's folder until the run has ended.

They cost money and time: a later attempt of the run reads what is there, and asks only for the rest.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from labeling.models import Prompt
from labeling.tasks import SampleText
from training.endpoints.batch import Tally, complete_prompts
from training.endpoints.errors import EndpointError
from training.execution.attempt import Attempt, Stopped
from training.execution.json_safe import json_safe
from training.gpt.config import SamplingConfig
from training.models import Endpoint, Run


def complete_with_endpoint(
    run: Run,
    attempt: Attempt,
    endpoint: Endpoint,
    prompts: Sequence[Prompt],
    sampling: SamplingConfig,
    *,
    samples: int,
    notes: list[str],
) -> dict[int, list[SampleText]]:
    """`samples` completions of each prompt, by the prompt's id; `notes` get why some were left out.

    Raises EndpointError if none can be had, or if requests failed that may succeed later.
    """
    file = run.folder / f"completions-{endpoint.name}.jsonl"
    kept = read_completions(file)
    tally, step = Tally(), run.saved_step or 0
    outcomes = complete_prompts(
        endpoint,
        [prompt for prompt in prompts if prompt.pk not in kept],
        sampling,
        count=samples,
        should_stop=attempt.should_stop,
    )
    with closing(outcomes), file.open("a", encoding="utf-8") as journal:
        for outcome in outcomes:
            tally.add(outcome)
            if not outcome.completions:
                continue
            rows = [[json_safe(each.text), json_safe(each.parameters)] for each in outcome.completions]
            kept[outcome.prompt.pk] = [SampleText(text, parameters) for text, parameters in rows]
            # After a new line: the line before may have been cut short.
            journal.write("\n" + json.dumps([outcome.prompt.pk, rows]))
            journal.flush()
            step += 1
            if not run.record_saved_step(step):
                raise Stopped
            attempt.report(f"sampling {endpoint.name}: {len(kept)} of {len(prompts)} prompts")
    attempt.raise_if_stopped()
    run.saved_step = step or None
    tally.raise_if_failed()
    if not kept:
        raise EndpointError(tally.last)
    notes += tally.notes
    return kept


def read_completions(file: Path) -> dict[int, list[SampleText]]:
    """The completions in the file, by the prompt's id; none if there is no file."""
    found: dict[int, list[SampleText]] = {}
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for line in filter(None, lines):
        try:
            prompt, rows = json.loads(line)
        except ValueError:
            continue  # cut short when the process was killed
        found[prompt] = [SampleText(text, parameters) for text, parameters in rows]
    return found
