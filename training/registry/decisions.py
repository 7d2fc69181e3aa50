"""Decisions about stages: promote, roll back, archive and restore versions.

Decisions of a project are serialised by a lock on its row. A version is put into production only after the
hash of its files was checked.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.models import User
from django.db import transaction

from labeling.models import Project
from training import artifacts
from training.models import Decision, Gate, ModelVersion
from training.registry import gates

PRODUCTION, ARCHIVED = ModelVersion.Stage.PRODUCTION, ModelVersion.Stage.ARCHIVED
POLICY, REWARD = ModelVersion.Kind.POLICY, ModelVersion.Kind.REWARD


class NotAllowed(Exception):  # noqa: N818 -- a refusal, in one line for the person who asked
    """A decision cannot be made; the message says why and what to do."""


def promote(
    version: ModelVersion, *, project: Project, by: User | None, reason: str, without_gate: bool = False
) -> Decision:
    """Put a version into production in a project, replacing the one that is there.

    If a policy is in production, another one needs a met gate against it, or `without_gate` and a reason. A
    version of no project becomes one of this project. Raises NotAllowed.
    """
    with _locked(project, version):
        _require_same_project(version, project)
        if version.stage == PRODUCTION:
            raise NotAllowed(f"{version} is in production already.")
        if version.stage == ARCHIVED:
            raise NotAllowed(f"{version} is archived: restore it first.")
        current = ModelVersion.objects.production(project, ModelVersion.Kind(version.kind))
        gate, is_met = _gate_and_result(version, project)
        if not is_met and not without_gate:
            raise NotAllowed(_gate_refusal(version, gate, current))
        if not is_met or version.kind == REWARD:
            reason = _require_reason(reason, f"promote {version}")
        _require_files(version)
        _put_into_production(version, project, in_place_of=current)
        return Decision.objects.create(
            action=Decision.Action.PROMOTE,
            version=version,
            project=project,
            replaced=current,
            gate=gate,
            gate_was_met=is_met,
            reason=reason.strip() or _default_reason(gate),
            by=by,
        )


def roll_back(
    project: Project, *, by: User | None, reason: str, kind: ModelVersion.Kind = POLICY
) -> Decision:
    """Put the version back into production that was there before the current one.

    The hash of its stored files is checked. Raises NotAllowed.
    """
    with _locked(project):
        current = ModelVersion.objects.production(project, kind)
        if current is None:
            raise NotAllowed(f"Nothing is in production in “{project}”, so there is nothing to roll back.")
        earlier = previous_production(project, kind)
        if earlier is None:
            raise NotAllowed(f"{current} is the first version in production in “{project}”.")
        if earlier.stage == ARCHIVED:
            raise NotAllowed(f"{earlier}, which was in production before, is archived: restore it first.")
        reason = _require_reason(reason, f"roll back to {earlier}")
        _require_files(earlier)
        _put_into_production(earlier, project, in_place_of=current)
        return Decision.objects.create(
            action=Decision.Action.ROLL_BACK,
            version=earlier,
            project=project,
            replaced=current,
            reason=reason,
            by=by,
        )


def archive(version: ModelVersion, *, by: User | None, reason: str) -> Decision:
    """Archive a version: it is kept, but no longer offered for use. Raises NotAllowed."""
    with _locked(version.project, version):
        if version.stage == PRODUCTION:
            raise NotAllowed(f"{version} is in production: promote another or roll back first.")
        if version.stage == ARCHIVED:
            raise NotAllowed(f"{version} is archived already.")
        if version.gates.filter(outcome=Gate.Outcome.OPEN).exists():
            raise NotAllowed(f"People are comparing {version}: withdraw its gate first.")
        reason = _require_reason(reason, f"archive {version}")
        _set_stage(version, ARCHIVED)
        return _record_decision(Decision.Action.ARCHIVE, version, by=by, reason=reason)


def restore(version: ModelVersion, *, by: User | None, reason: str) -> Decision:
    """Restore a version from the archive: it is a candidate again. Raises NotAllowed."""
    with _locked(version.project, version):
        if version.stage != ARCHIVED:
            raise NotAllowed(f"{version} is not archived.")
        reason = _require_reason(reason, f"restore {version}")
        _set_stage(version, ModelVersion.Stage.CANDIDATE)
        return _record_decision(Decision.Action.RESTORE, version, by=by, reason=reason)


def previous_production(project: Project, kind: ModelVersion.Kind = POLICY) -> ModelVersion | None:
    """The version that a rollback would restore; None if there is none. Each goes one step further back."""
    moves = Decision.objects.filter(
        project=project,
        version__kind=kind,
        action__in=(Decision.Action.PROMOTE, Decision.Action.ROLL_BACK),
    )
    history: list[int] = []
    for action, version in moves.order_by("pk").values_list("action", "version"):
        if action == Decision.Action.PROMOTE:
            history.append(version)
        else:
            history.pop()
    return ModelVersion.objects.get(pk=history[-2]) if len(history) > 1 else None


@contextmanager
def _locked(project: Project | None, version: ModelVersion | None = None) -> Iterator[None]:
    """Lock the rows that a decision is about, and refresh the version."""
    with transaction.atomic():
        if project is not None:
            Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        if version is not None:
            version.refresh_from_db(
                from_queryset=ModelVersion.objects.select_for_update(of=("self",), no_key=True)
            )
        yield


def _require_same_project(version: ModelVersion, project: Project) -> None:
    if version.project is not None and version.project != project:
        raise NotAllowed(
            f"{version} belongs to “{version.project}”: only versions of “{project}” can be promoted there."
        )


def _require_files(version: ModelVersion) -> None:
    try:
        artifacts.verify(version)
    except artifacts.ArtifactError as error:
        text = str(error)
        raise NotAllowed(f"{text[0].upper()}{text[1:]}") from None


def _require_reason(reason: str, what: str) -> str:
    if not reason.strip():
        raise NotAllowed(f"Give a reason to {what}: it is stored with the decision.")
    return reason.strip()


def _gate_and_result(version: ModelVersion, project: Project) -> tuple[Gate | None, bool]:
    """The version's gate, and whether it is met. Reward models need none."""
    if version.kind == REWARD:
        return None, True
    return gates.gate_for(version, project), gates.is_met(version, project)


def _gate_refusal(version: ModelVersion, gate: Gate | None, current: ModelVersion | None) -> str:
    otherwise = "or promote it without a gate, and give a reason."
    if gate is None:
        return f"People have not compared {version} with {current} yet: open its gate, {otherwise}"
    if gate.outcome == Gate.Outcome.OPEN:
        return f"People are still comparing {version} with {current}: wait for its gate, {otherwise}"
    outcome = gate.get_outcome_display().partition(": ")[2]
    return f"The gate of {version} is not met: {outcome}. Promote another version, {otherwise}"


def _default_reason(gate: Gate | None) -> str:
    return "Its gate is met." if gate else "Nothing was in production."


def _put_into_production(
    version: ModelVersion, project: Project, *, in_place_of: ModelVersion | None
) -> None:
    if in_place_of is not None:
        _set_stage(in_place_of, ModelVersion.Stage.CANDIDATE)
    version.project = project
    _set_stage(version, PRODUCTION)


def _set_stage(version: ModelVersion, stage: ModelVersion.Stage) -> None:
    version.stage = stage
    version.save(update_fields=["stage", "project"])


def _record_decision(
    action: Decision.Action, version: ModelVersion, *, by: User | None, reason: str
) -> Decision:
    return Decision.objects.create(
        action=action, version=version, project=version.project, reason=reason, by=by
    )
