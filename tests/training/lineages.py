"""Versions and runs as rows alone, without files: for tests of what came from what."""

from typing import Any

from labeling.models import PreferenceSnapshot, Project
from training.models import ModelVersion, Run


def made(
    name: str,
    *,
    kind: str = Run.Kind.PRETRAIN,
    project: Project | None = None,
    policy: ModelVersion | None = None,
    reward: ModelVersion | None = None,
    snapshot: PreferenceSnapshot | None = None,
    **fields: Any,
) -> ModelVersion:
    """A version, and the run that made it from these."""
    run = Run.objects.create(
        kind=kind,
        status=Run.Status.SUCCEEDED,
        project=project,
        policy=policy,
        reward=reward,
        snapshot=snapshot,
        metrics=fields.get("metrics", {}),
    )
    is_reward = kind == Run.Kind.TRAIN_REWARD
    return ModelVersion.objects.publish(
        name=name,
        kind=ModelVersion.Kind.REWARD if is_reward else ModelVersion.Kind.POLICY,
        run=run,
        parent=policy,
        project=project,
        artifact=name,
        artifact_hash="0" * 64,
        **fields,
    )


def tuned(project: Project, snapshot: PreferenceSnapshot) -> tuple[ModelVersion, ModelVersion, ModelVersion]:
    """The loop once around: a base, a reward model from a snapshot, and a policy tuned against it."""
    base = made("base")
    reward = made("taste", kind=Run.Kind.TRAIN_REWARD, project=project, policy=base, snapshot=snapshot)
    policy = made("better", kind=Run.Kind.FINETUNE, project=project, policy=base, reward=reward)
    return base, reward, policy
