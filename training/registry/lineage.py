"""The lineage of versions as a graph: corpora, snapshots, and the versions made from them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import F

from labeling.models import Project
from training.models import ModelVersion
from training.models.versions import ModelVersionQuerySet

MAX_VERSIONS = 80
"""The number of newest versions to draw; all their ancestors are drawn as well."""

WEIGHTS, REWARD, ANSWERS, TEXT = "weights", "reward", "answers", "text"
"""Kinds of edges: a policy's weights, a reward model's scores, people's answers, a corpus's text."""


@dataclass(frozen=True)
class Node:
    """A version, or data that one was trained on."""

    key: str
    kind: str
    """policy, reward, snapshot or corpus."""
    name: str
    detail: str = ""
    stage: str = ""
    version: int = 0
    snapshot: int = 0
    was_promoted: bool = False

    @property
    def description(self) -> str:
        """The second line of its box."""
        if not self.stage:
            return self.detail
        model = "reward model" if self.kind == "reward" else "policy"
        if self.stage == "candidate" and self.was_promoted:
            return f"{model}, was in production"
        return f"{model}, {'in production' if self.stage == 'production' else self.stage}"


@dataclass(frozen=True)
class Edge:
    """A dependency: `result` was made from `origin`."""

    origin: str
    result: str
    kind: str


@dataclass
class Lineage:
    """A directed acyclic graph; edges lead from origins to results."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    omitted: int = 0
    """The number of older versions that are not drawn."""

    def ancestors(self, keys: Iterable[str]) -> set[str]:
        """These nodes and all they were made from."""
        before: dict[str, list[str]] = defaultdict(list)
        for edge in self.edges:
            before[edge.result].append(edge.origin)
        found, waiting = set(), list(keys)
        while waiting:
            key = waiting.pop()
            if key not in found:
                found.add(key)
                waiting += before[key]
        return found

    @property
    def production_ancestors(self) -> set[str]:
        """The versions in production and all they were made from."""
        return self.ancestors(key for key, node in self.nodes.items() if node.stage == "production")

    def subgraph(self, keys: set[str]) -> "Lineage":
        """The part of the graph with only these nodes."""
        nodes = {key: node for key, node in self.nodes.items() if key in keys}
        edges = [edge for edge in self.edges if edge.origin in nodes and edge.result in nodes]
        versions = sum(1 for node in self.nodes.values() if node.version)
        drawn = sum(1 for node in nodes.values() if node.version)
        return Lineage(nodes, edges, versions - drawn)


def lineage(user: User | AnonymousUser, project: Project | None = None) -> Lineage:
    """The lineage of the versions the user may view: of one project with their ancestors, or of all. One
    query."""
    rows = version_rows(ModelVersion.objects.visible_to(user))
    graph = build_graph(rows)
    selected = [row for row in rows if project is None or row["project_id"] == project.pk]
    newest = [f"v{row['pk']}" for row in selected[-MAX_VERSIONS:]]
    part = graph.subgraph(graph.ancestors(newest))
    part.omitted = sum(f"v{row['pk']}" not in part.nodes for row in selected)
    return part


def version_rows(versions: ModelVersionQuerySet) -> list[dict[str, Any]]:
    """The columns of versions that the graph needs, oldest first."""
    run = "run__parameters"
    return list(
        versions.with_history().order_by("pk").values(  # type: ignore[misc]  # knows no annotations
            "pk", "name", "kind", "stage", "project_id", "parent_id", "was_promoted",
            reward_id=F("run__reward_id"), snapshot_id=F("run__snapshot_id"),
            comparisons=F("run__snapshot__count"), demonstrations=F("run__snapshot__demonstration_count"),
            run_kind=F("run__kind"), source=F(f"{run}__source"), preferences=F(f"{run}__preferences"),
            origin=F("metrics__origin"),
        )
    )  # fmt: skip


def build_graph(rows: list[dict[str, Any]]) -> Lineage:
    """The graph of these versions. Origins that are not among them are left out."""
    graph = Lineage()
    there = {row["pk"] for row in rows}
    for row in rows:
        key = f"v{row['pk']}"
        graph.nodes[key] = Node(
            key,
            row["kind"],
            row["name"],
            stage=row["stage"],
            version=row["pk"],
            was_promoted=row["was_promoted"],
        )
        if row["parent_id"] in there:
            graph.edges.append(Edge(f"v{row['parent_id']}", key, WEIGHTS))
        # Other kinds of runs use a reward model only for evaluation.
        if row["reward_id"] in there and row["run_kind"] == "finetune":
            graph.edges.append(Edge(f"v{row['reward_id']}", key, REWARD))
        for node, what in data_sources(row):
            graph.nodes.setdefault(node.key, node)
            graph.edges.append(Edge(node.key, key, what))
    return graph


def data_sources(row: dict[str, Any]) -> Iterable[tuple[Node, str]]:
    """The data that a version was trained on, with the kind of edge."""
    if row["snapshot_id"]:
        count, unit = row["comparisons"], "comparison"
        if not count and row["demonstrations"]:
            count, unit = row["demonstrations"], "demonstration"
        name = f"{count:,} {unit}{'' if count == 1 else 's'}"
        key = f"s{row['snapshot_id']}"
        yield Node(key, "snapshot", name, "people’s answers", snapshot=row["snapshot_id"]), ANSWERS
    elif row["preferences"]:
        yield Node(f"f{row['preferences']}", "snapshot", PurePath(row["preferences"]).name, "a file"), ANSWERS
    if row["run_kind"] == "pretrain" and row["source"]:
        name = ", ".join(PurePath(part).name for part in row["source"].split(","))
        yield Node(f"c{row['source']}", "corpus", name, "corpus"), TEXT
    if row["run_kind"] is None and row["origin"]:
        yield Node(f"o{row['origin']}", "corpus", PurePath(row["origin"]).name, "imported"), TEXT
