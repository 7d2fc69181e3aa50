"""Fine-tune a policy on demonstrations: people's texts or favourites, a file, or its own best completions."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.model_loading import load_policy_of
from training.execution.result import RunResult
from training.execution.train_reward import from_row, load_feedback, training_rows
from training.execution.tuning import (
    EvaluationScorers,
    evaluation_scorers,
    prompt_texts,
    training_snapshot,
    tuning_result,
)
from training.gpt.config import HardwareConfig, SamplingConfig
from training.gpt.devices import choose_device
from training.gpt.distributed import ProcessGroup, process_group
from training.gpt.errors import InputError
from training.gpt.generation.generate import complete
from training.gpt.generation.prompts import sift_prompts
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.models import Run
from training.rlhf.config import SupervisedConfig, SupervisedEarlyStoppingConfig
from training.rlhf.evaluation.best_of_n import choose_best
from training.rlhf.feedback.demonstrations import (
    Demonstration,
    demonstrations_and_notes,
    demonstrations_from_rankings,
    read_demonstrations,
)
from training.rlhf.feedback.preference_files import file_options
from training.rlhf.tuning.heldout_evaluation import TuningResult
from training.rlhf.tuning.supervised import supervised

PROMPTS_AT_ONCE = 32


def execute(run: Run, attempt: Attempt, folder: Path) -> RunResult:
    """Tune, and keep the best checkpoint by the same evaluation as the policy gradient."""
    result, tokenizer, count = tune(run, attempt, folder)
    attempt.raise_if_stopped()
    return tuning_result(run, result, tokenizer, folder, demonstrations=count)


def execute_as_helper(run: Run, attempt: Attempt, folder: Path) -> None:
    """Take part in the tuning in a helper process."""
    tune(run, attempt, folder)


def tune(run: Run, attempt: Attempt, folder: Path) -> tuple[TuningResult, Tokenizer, int]:
    """The result of the tuning, the policy's tokenizer, and the number of demonstrations."""
    assert run.project is not None
    assert run.policy is not None
    with process_group() as group:
        attempt.report("loading the policy")
        policy, tokenizer = load_policy_of(run)
        judges = evaluation_scorers(run)
        if run.parameters["demonstrations"]:
            demonstrations, notes = demonstrations_and_notes(
                run.parameters["demonstrations"], **file_options(run.parameters)
            )
            attempt.report(f"{run.parameters['demonstrations']}: {notes}")
        elif run.parameters["best_of"]:
            demonstrations = cached_demonstrations(
                folder / "demonstrations.jsonl",
                group=group,
                write=lambda: best_of_n_demonstrations(run, attempt, policy, tokenizer, judges),
            )
        else:
            demonstrations = people_demonstrations(run, group, attempt)
        attempt.raise_if_stopped()
        attempt.report(f"{len(demonstrations)} demonstrations")
        scorers: dict[str, Any] = vars(judges)
        result = supervised(
            policy=policy,
            tokenizer=tokenizer,
            demonstrations=demonstrations,
            heldout_prompts=prompt_texts(run.project, "heldout"),
            config=config_of(SupervisedConfig, run),
            early_stopping=config_of(SupervisedEarlyStoppingConfig, run),
            hardware=config_of(HardwareConfig, run),
            folder=folder / "last",
            callbacks=attempt.callbacks,
            **scorers,
        )
        return result, tokenizer, len(demonstrations)


def people_demonstrations(run: Run, group: ProcessGroup, attempt: Attempt) -> list[Demonstration]:
    """The texts people wrote in a project where they rewrite; else the completions they ranked best."""
    snapshot = training_snapshot(run, group)
    if snapshot.project.kind.is_comparative:
        found = demonstrations_from_rankings(load_feedback(run, attempt.report)[0])
        missing = "nobody preferred anything in"
    else:
        found = [from_row(Demonstration, row) for row in training_rows(snapshot.demonstrations())]
        missing = "nobody wrote an answer in"
    if not found:
        raise InputError(
            f"project: {missing} “{snapshot.project.slug}” yet; let people answer more of its tasks."
        )
    return found


def cached_demonstrations(
    path: Path, *, group: ProcessGroup, write: Callable[[], list[Demonstration]]
) -> list[Demonstration]:
    """The demonstrations that the first process generates, cached in a file, so that a resumed run uses the
    same ones."""

    def keep() -> bool:
        if not path.is_file():
            partial = path.with_suffix(".partial")
            lines = [json.dumps(asdict(each)) + "\n" for each in write()]
            partial.write_text("".join(lines), encoding="utf-8")
            partial.replace(path)
        return True

    group.broadcast_bool(keep)
    return read_demonstrations(path)


def best_of_n_demonstrations(
    run: Run, attempt: Attempt, policy: GPT, tokenizer: Tokenizer, judges: EvaluationScorers
) -> list[Demonstration]:
    """The best of several own completions of the policy for each training prompt."""
    assert run.project is not None
    assert judges.scorer is not None
    config = config_of(SupervisedConfig, run)
    sifted = sift_prompts(
        tokenizer,
        prompt_texts(run.project, "train"),
        context=policy.config.context,
        count=run.parameters["prompts"],
    )
    prompts = sifted.kept
    for note in sifted.notes:
        attempt.report(note)
    policy = policy.to(choose_device(run.parameters["device"]))
    found = []
    for first in range(0, len(prompts), PROMPTS_AT_ONCE):
        some = prompts[first : first + PROMPTS_AT_ONCE]
        attempt.report(f"sampling, prompt {first} of {len(prompts)}")
        texts = complete(
            policy,
            tokenizer,
            some,
            SamplingConfig(max_new_tokens=config.max_new_tokens, seed=config.seed + first),
            samples_per_prompt=run.parameters["best_of"],
            should_stop=attempt.should_stop,
        )
        attempt.raise_if_stopped()
        best = choose_best(judges.scorer, some, [[each.text for each in own] for own in texts])
        found += [Demonstration(prompt, text) for prompt, text in zip(some, best, strict=True) if text]
    return found
