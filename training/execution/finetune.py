"""Tune a policy against a reward model (policy gradient)."""

from pathlib import Path

from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.model_loading import check_reads_alike, load_policy_of, load_reward, load_scorer
from training.execution.result import RunResult
from training.execution.tuning import prompt_texts, tuning_result
from training.gpt.config import HardwareConfig
from training.gpt.tokenizer import Tokenizer
from training.models import Run
from training.rlhf.config import EarlyStoppingConfig, FinetuneConfig
from training.rlhf.tuning.heldout_evaluation import TuningResult
from training.rlhf.tuning.policy_gradient import finetune


def execute(run: Run, attempt: Attempt, folder: Path) -> RunResult:
    """Tune, and keep the best checkpoint within the KL budget."""
    result, tokenizer = tune(run, attempt, folder)
    attempt.raise_if_stopped()
    return tuning_result(run, result, tokenizer, folder)


def execute_as_helper(run: Run, attempt: Attempt, folder: Path) -> None:
    """Take part in the tuning in a helper process."""
    tune(run, attempt, folder)


def tune(run: Run, attempt: Attempt, folder: Path) -> tuple[TuningResult, Tokenizer]:
    """The result of the tuning, and the policy's tokenizer. The state to resume from is saved in `folder`."""
    project, version, reward = run.project, run.policy, run.reward
    assert project is not None
    assert version is not None
    assert reward is not None
    attempt.report("loading the policy and the reward model")
    policy, tokenizer = load_policy_of(run)
    gold = run.parameters.get("gold")
    scorer = load_reward(reward)
    prompts = prompt_texts(project, "train")
    check_reads_alike(tokenizer, scorer.tokenizer, prompts, reward=reward.name)
    attempt.raise_if_stopped()
    result = finetune(
        policy=policy,
        tokenizer=tokenizer,
        scorer=scorer,
        gold=load_scorer(gold) if gold else None,
        prompts=prompts,
        heldout_prompts=prompt_texts(project, "heldout"),
        config=config_of(FinetuneConfig, run),
        early_stopping=config_of(EarlyStoppingConfig, run),
        hardware=config_of(HardwareConfig, run),
        folder=folder / "last",
        callbacks=attempt.callbacks,
    )
    return result, tokenizer
