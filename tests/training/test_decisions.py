"""Which version is in production: promoting, rolling back, archiving, and what is written down of it."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from pytest_django import Settings

from labeling.models import Project
from tests.training.factories import ObjectStore, admin, make_policy, make_project, make_reward
from training import artifacts
from training.artifacts import artifact_storage
from training.models import Decision, Gate, ModelVersion, Run
from training.registry import decisions
from training.registry.decisions import NotAllowed

pytestmark = pytest.mark.django_db

Stage = ModelVersion.Stage


@pytest.fixture
def project() -> Project:
    return make_project()


@pytest.fixture
def ada() -> User:
    return admin()


def promote_versions(project: Project, ada: User, *names: str) -> list[ModelVersion]:
    """Versions put into production one after the other."""
    versions = [make_policy(name, seed=seed) for seed, name in enumerate(names)]
    for version in versions:
        decisions.promote(version, project=project, by=ada, reason="A try.", without_gate=True)
    return versions


def make_closed_gate(gate_of: ModelVersion, against: ModelVersion, project: Project, outcome: str) -> Gate:
    return Gate.objects.create(
        project=project, candidate=gate_of, against=against, max_prompts=20, outcome=outcome,
        closed_at=timezone.now(),
    )  # fmt: skip


def stages() -> dict[str, str]:
    return dict(ModelVersion.objects.values_list("name", "stage"))


def tamper(version: ModelVersion) -> None:
    file = Path(artifact_storage().path(version.artifact)) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")


def test_the_first_version_needs_no_gate_and_becomes_the_projects(project: Project, ada: User) -> None:
    base = make_policy()
    decision = decisions.promote(base, project=project, by=ada, reason="")
    assert ModelVersion.objects.production(project) == base
    assert ModelVersion.objects.get().project == project
    assert (decision.by, decision.replaced, decision.reason) == (ada, None, "Nothing was in production.")


def test_the_next_one_waits_for_its_gate(project: Project, ada: User) -> None:
    (base,) = promote_versions(project, ada, "base")
    better = make_policy("better", seed=1)
    with pytest.raises(NotAllowed, match="People have not compared better with base yet"):
        decisions.promote(better, project=project, by=ada, reason="It is better.")
    make_closed_gate(better, base, project, Gate.Outcome.REFUSED)
    with pytest.raises(NotAllowed, match="people prefer the version in production"):
        decisions.promote(better, project=project, by=ada, reason="It is better.")
    gate = make_closed_gate(better, base, project, Gate.Outcome.MET)
    decision = decisions.promote(better, project=project, by=ada, reason="")
    assert stages() == {"base": Stage.CANDIDATE, "better": Stage.PRODUCTION}
    assert (decision.replaced, decision.gate, decision.gate_was_met) == (base, gate, True)


def test_without_its_gate_a_reason_is_asked_and_kept(project: Project, ada: User) -> None:
    promote_versions(project, ada, "base")
    better = make_policy("better", seed=1)
    with pytest.raises(NotAllowed, match="Give a reason"):
        decisions.promote(better, project=project, by=ada, reason="  ", without_gate=True)
    decision = decisions.promote(
        better, project=project, by=ada, reason="base leaks a name.", without_gate=True
    )
    assert not decision.gate_was_met
    assert decision.reason == "base leaks a name."


def test_rolling_back_restores_the_earlier_artifact(project: Project, ada: User) -> None:
    base, better = promote_versions(project, ada, "base", "better")
    with artifacts.local_folder(better) as folder:
        wrong = (folder / "model.safetensors").read_bytes()
    decision = decisions.roll_back(project, by=ada, reason="It repeats itself.")
    now = ModelVersion.objects.production(project)
    assert now == base
    assert (decision.version, decision.replaced, decision.reason) == (base, better, "It repeats itself.")
    with artifacts.local_folder(now) as folder:
        assert artifacts.folder_hash(folder) == base.artifact_hash
        assert (folder / "model.safetensors").read_bytes() != wrong
    assert better not in ModelVersion.objects.candidates(project)


def test_each_roll_back_goes_one_step_further(project: Project, ada: User) -> None:
    promote_versions(project, ada, "one", "two", "three")
    for expected in ("two", "one"):
        assert decisions.roll_back(project, by=ada, reason="Worse.").version.name == expected
    with pytest.raises(NotAllowed, match="one is the first version in production"):
        decisions.roll_back(project, by=ada, reason="Worse.")
    promote_versions(project, ada, "four")
    assert decisions.roll_back(project, by=ada, reason="Worse.").version.name == "one"


def test_nothing_in_production_is_nothing_to_roll_back(project: Project, ada: User) -> None:
    with pytest.raises(NotAllowed, match="Nothing is in production"):
        decisions.roll_back(project, by=ada, reason="Worse.")


def test_a_tampered_artifact_is_neither_promoted_nor_rolled_back_to(project: Project, ada: User) -> None:
    base, _ = promote_versions(project, ada, "base", "better")
    tamper(base)
    with pytest.raises(
        NotAllowed, match=r"The files of base .* their hash differs from the stored one\. Restore them"
    ):
        decisions.roll_back(project, by=ada, reason="Worse.")
    with pytest.raises(NotAllowed, match="their hash differs"):
        decisions.promote(base, project=project, by=ada, reason="Better.", without_gate=True)
    assert stages() == {"base": Stage.CANDIDATE, "better": Stage.PRODUCTION}
    assert Decision.objects.count() == 2


def test_an_added_or_a_missing_file_is_found(project: Project, ada: User) -> None:
    base = make_policy()
    folder = Path(artifact_storage().path(base.artifact))
    artifacts.verify(base)
    (folder / "more.json").write_text("{}")
    with pytest.raises(artifacts.ArtifactError, match="hash differs"):
        artifacts.verify(base)
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(NotAllowed, match="The files of base are missing"):
        decisions.promote(base, project=project, by=ada, reason="")


def test_files_in_an_object_store_are_checked_where_they_lie(settings: Settings) -> None:
    elsewhere = {"BACKEND": "tests.training.factories.ObjectStore"}
    settings.STORAGES = {**settings.STORAGES, "artifacts": elsewhere}
    base = make_policy()
    artifacts.verify(base)
    with artifacts.local_folder(base) as folder:
        assert artifacts.folder_hash(folder) == base.artifact_hash
    store = artifact_storage()
    assert isinstance(store, ObjectStore)
    store.files[f"{base.artifact}/config.json"] = b"{}"
    with pytest.raises(artifacts.ArtifactError, match="hash differs"):
        artifacts.verify(base)


def test_archived_versions_are_not_promoted_until_they_are_restored(project: Project, ada: User) -> None:
    promote_versions(project, ada, "base", "better")
    old = make_policy("old", seed=3)
    decisions.archive(old, by=ada, reason="Superseded.")
    with pytest.raises(NotAllowed, match="old is archived"):
        decisions.promote(old, project=project, by=ada, reason="Again.", without_gate=True)
    with pytest.raises(NotAllowed, match="archived already"):
        decisions.archive(old, by=ada, reason="Superseded.")
    decisions.restore(old, by=ada, reason="It is wanted after all.")
    with pytest.raises(NotAllowed, match="not archived"):
        decisions.restore(old, by=ada, reason="It is wanted after all.")
    decisions.promote(old, project=project, by=ada, reason="Again.", without_gate=True)
    assert stages()["old"] == Stage.PRODUCTION


def test_what_is_in_production_or_being_compared_is_not_archived(project: Project, ada: User) -> None:
    (base,) = promote_versions(project, ada, "base")
    with pytest.raises(NotAllowed, match="promote another or roll back first"):
        decisions.archive(base, by=ada, reason="Old.")
    rival = make_policy("rival", seed=1)
    Gate.objects.create(project=project, candidate=rival, against=base, max_prompts=20)
    with pytest.raises(NotAllowed, match="withdraw its gate"):
        decisions.archive(rival, by=ada, reason="Old.")


def test_an_archived_version_is_not_rolled_back_to(project: Project, ada: User) -> None:
    base, _ = promote_versions(project, ada, "base", "better")
    decisions.archive(base, by=ada, reason="Old.")
    with pytest.raises(NotAllowed, match="base, which was in production before, is archived"):
        decisions.roll_back(project, by=ada, reason="Worse.")


def test_a_version_of_another_project_is_refused(project: Project, ada: User) -> None:
    (base,) = promote_versions(project, ada, "base")
    other = make_project("digits")
    with pytest.raises(NotAllowed, match="base belongs to “Letters”"):
        decisions.promote(base, project=other, by=ada, reason="Here as well.")


def test_projects_and_kinds_do_not_disturb_each_other(project: Project, ada: User) -> None:
    other = make_project("digits")
    promote_versions(project, ada, "base")
    promote_versions(other, ada, "numbers")
    taste = make_reward()
    with pytest.raises(NotAllowed, match="Give a reason"):
        decisions.promote(taste, project=project, by=ada, reason="")
    decisions.promote(taste, project=project, by=ada, reason="Foretells people best.")
    assert ModelVersion.objects.filter(stage=Stage.PRODUCTION).count() == 3
    assert ModelVersion.objects.production(project, ModelVersion.Kind.REWARD) == taste


def test_the_database_refuses_a_second_version_in_production(project: Project, ada: User) -> None:
    promote_versions(project, ada, "base")
    rival = make_policy("rival", seed=1)
    with pytest.raises(DatabaseError, match="version_one_in_production"), transaction.atomic():
        ModelVersion.objects.filter(pk=rival.pk).update(project=project, stage=Stage.PRODUCTION)


def test_decisions_stay_as_they_were_made(project: Project, ada: User) -> None:
    promote_versions(project, ada, "base")
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        Decision.objects.update(reason="Something else.")
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        Decision.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    ada.delete()
    assert Decision.objects.get().by is None


def test_a_new_version_is_of_its_runs_project_or_of_its_parents(project: Project) -> None:
    base = make_policy()
    assert base.project is None
    run = Run.objects.create(kind=Run.Kind.FINETUNE, project=project, policy=base)

    def publish(name: str, **of: Any) -> ModelVersion:
        kind = ModelVersion.Kind.POLICY
        return ModelVersion.objects.publish(
            name=name, kind=kind, artifact=name, artifact_hash=base.artifact_hash, **of
        )

    child = publish("child", run=run, parent=base)
    grandchild = publish("grandchild", parent=child)
    assert (child.project, grandchild.project) == (project, project)
