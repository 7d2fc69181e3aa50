"""Tune a policy against a reward model."""

from pathlib import Path

from labeling.models import Project
from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.outcome import NewVersion, Outcome
from training.execution.versions import load_policy, load_reward
from training.gpt.checkpoint import save_checkpoint
from training.models import ModelVersion, Run
from training.rlhf.config import FinetuneConfig
from training.rlhf.policy_gradient import finetune

EXAMPLES = 5


def execute(run: Run, attempt: Attempt, folder: Path) -> Outcome:
    """The policy gradient with its control loop; the best version inside the KL budget is the one kept."""
    project, version, reward = run.project, run.policy, run.reward
    assert project is not None
    assert version is not None
    assert reward is not None
    attempt.say("loading the policy and the reward model")
    policy, tokenizer = load_policy(version)
    scorer = load_reward(reward)
    attempt.check()
    result = finetune(
        policy=policy,
        tokenizer=tokenizer,
        scorer=scorer.score,
        prompts=texts(project, "train"),
        heldout_prompts=texts(project, "heldout"),
        config=config_of(FinetuneConfig, run),
        on_step=attempt.on_step,
        should_stop=attempt.should_stop,
    )
    attempt.check()
    save_checkpoint(folder / "model", result.policy, tokenizer)
    return Outcome(
        metrics={
            **result.metrics,
            "stopped": result.stopped,
            "notes": result.notes,
            "examples": [
                {"prompt": prompt, "completion": after, "against": before}
                for prompt, after, before in zip(
                    result.heldout_prompts[:EXAMPLES],
                    result.after.completions,
                    result.before.completions,
                    strict=False,
                )
            ],
        },
        version=NewVersion(folder=folder / "model", kind=ModelVersion.Kind.POLICY, parent=version),
    )


def texts(project: Project, split: str) -> list[str]:
    """The project's prompts of one split, in the order they were added."""
    return list(project.prompts.filter(split=split).order_by("pk").values_list("text", flat=True))
