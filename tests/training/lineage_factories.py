"""Factories for versions and runs without files, for tests of provenance and lineage."""

from typing import Any

from labeling.models import PreferenceSnapshot, Project
from training.models import ModelVersion, Run


def make_version(
    name: str,
    *,
    kind: str = Run.Kind.PRETRAIN,
    project: Project | None = None,
    policy: ModelVersion | None = None,
    reward: ModelVersion | None = None,
    snapshot: PreferenceSnapshot | None = None,
    **fields: Any,
) -> ModelVersion:
    """Create a version, and the run that made it from the given rows."""
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


def make_tuned_versions(
    project: Project, snapshot: PreferenceSnapshot
) -> tuple[ModelVersion, ModelVersion, ModelVersion]:
    """A base policy, a reward model trained on a snapshot, and a policy tuned against it."""
    base = make_version("base")
    reward = make_version(
        "taste", kind=Run.Kind.TRAIN_REWARD, project=project, policy=base, snapshot=snapshot
    )
    policy = make_version("better", kind=Run.Kind.FINETUNE, project=project, policy=base, reward=reward)
    return base, reward, policy
