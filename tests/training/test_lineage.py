"""Where versions come from: the graph, and its picture."""

import gzip

import pytest
from django.test import Client
from django.urls import reverse

from labeling.models import Membership, PreferenceSnapshot, Project
from tests.training.factories import admin, annotator, make_project
from tests.training.lineage_factories import make_tuned_versions, make_version
from training.models import ModelVersion, Run
from training.registry.lineage import Lineage, lineage
from training.registry.lineage_layout import BOX_HEIGHT, BOX_WIDTH, Box, Layout, layout

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make_project()


@pytest.fixture
def snapshot(project: Project) -> PreferenceSnapshot:
    return project.snapshots.create(hash="f" * 64, count=412, content=gzip.compress(b""))


def edges(graph: Lineage) -> set[tuple[str, str, str]]:
    names = {key: node.name for key, node in graph.nodes.items()}
    return {(names[edge.origin], names[edge.result], edge.kind) for edge in graph.edges}


def box(drawn: Layout, name: str) -> Box:
    return next(box for box in drawn.boxes if box.node.name == name)


def test_it_leads_from_corpus_and_answers_to_the_policy(
    project: Project, snapshot: PreferenceSnapshot
) -> None:
    base, _, _ = make_tuned_versions(project, snapshot)
    Run.objects.filter(version=base).update(parameters={"source": "/corpora/tales.txt"})
    assert edges(lineage(admin())) == {
        ("tales.txt", "base", "text"),
        ("base", "taste", "weights"),
        ("412 comparisons", "taste", "answers"),
        ("base", "better", "weights"),
        ("taste", "better", "reward"),
    }


def test_the_way_to_production_leaves_out_what_had_no_hand_in_it(
    project: Project, snapshot: PreferenceSnapshot
) -> None:
    base, reward, better = make_tuned_versions(project, snapshot)
    make_version("other", kind=Run.Kind.FINETUNE, project=project, policy=base, reward=reward)
    ModelVersion.objects.filter(pk=better.pk).update(stage="production")
    graph = lineage(admin())
    way = {graph.nodes[key].name for key in graph.production_ancestors}
    assert way == {"base", "taste", "better", "412 comparisons"}
    drawn = layout(graph)
    assert box(drawn, "better").leads_to_production
    assert not box(drawn, "other").leads_to_production


def test_what_comes_of_something_stands_below_it_and_no_boxes_touch(
    project: Project, snapshot: PreferenceSnapshot
) -> None:
    policy = make_version("base")
    for number in range(6):
        reward = make_version(
            f"taste-{number}", kind=Run.Kind.TRAIN_REWARD, project=project, policy=policy, snapshot=snapshot
        )
        make_version(f"branch-{number}", kind=Run.Kind.DPO, project=project, policy=policy, snapshot=snapshot)
        policy = make_version(
            f"tuned-{number}", kind=Run.Kind.FINETUNE, project=project, policy=policy, reward=reward
        )
    graph = lineage(admin())
    drawn = layout(graph)
    places = {each.node.key: each for each in drawn.boxes}
    for edge in graph.edges:
        assert places[edge.origin].y + BOX_HEIGHT < places[edge.result].y
    for one in drawn.boxes:
        assert one.x >= 0
        assert one.x + BOX_WIDTH <= drawn.width
        for other in drawn.boxes:
            if one is not other and one.y == other.y:
                assert abs(one.x - other.x) > BOX_WIDTH


def test_one_projects_picture_has_what_its_versions_come_from_and_nothing_else(
    project: Project, snapshot: PreferenceSnapshot
) -> None:
    make_tuned_versions(project, snapshot)
    make_version("elsewhere", project=make_project("digits"))
    names = {node.name for node in lineage(admin(), project).nodes.values()}
    assert names == {"base", "taste", "better", "412 comparisons"}


def test_of_many_versions_the_newest_are_drawn_with_all_that_they_come_from(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.registry.lineage.MAX_VERSIONS", 3)
    base = make_version("base", project=project)
    for number in range(5):
        make_version(f"branch-{number}", kind=Run.Kind.DPO, project=project, policy=base)
    graph = lineage(admin(), project)
    assert {node.name for node in graph.nodes.values()} == {"base", "branch-2", "branch-3", "branch-4"}
    assert graph.omitted == 2


def test_the_page_shows_only_projects_one_may_look_into(
    client: Client, project: Project, snapshot: PreferenceSnapshot
) -> None:
    make_tuned_versions(project, snapshot)
    Project.objects.filter(pk=project.pk).update(everybody=False)
    make_version("elsewhere", project=make_project("digits"))
    client.force_login(admin())
    page = client.get(reverse("training:lineage")).content.decode()
    assert "elsewhere" in page
    assert "better" not in page
    assert client.get(reverse("training:lineage"), {"project": "letters"}).status_code == 404
    ann = annotator()
    client.force_login(ann)
    assert client.get(reverse("training:lineage")).status_code == 403
    project.memberships.create(person=ann, role=Membership.Role.REVIEWER)
    page = client.get(reverse("training:lineage"), {"project": "letters"}).content.decode()
    assert reverse("training:version", args=["better"]) in page
    assert reverse("training:snapshot", args=[snapshot.pk]) in page
