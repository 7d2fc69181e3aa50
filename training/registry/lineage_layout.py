"""A lineage as a picture: rows from the beginnings down to the newest, drawn on the server as SVG.

The usual way to draw such graphs (Sugiyama, Tagawa and Toda 1981): a row for each length of the longest way
to a node, a place kept free in every row that a line crosses, and within a row the order that sorting by the
neighbours' middle settles on.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from training.registry.lineage import Lineage, Node

BOX_WIDTH, BOX_HEIGHT = 176, 48
COLUMN_WIDTH, ROW_HEIGHT = 196, 92
LANE_WIDTH = 36
"""What a line takes of a row that it crosses."""
MARGIN = 16
SWEEPS = 6
MAX_LABEL_LENGTH = 21
"""Of a name, so many fit into a box."""


@dataclass(frozen=True)
class Box:
    """A node with its place."""

    node: Node
    x: float
    y: float
    leads_to_production: bool

    @property
    def width(self) -> int:
        return BOX_WIDTH

    @property
    def height(self) -> int:
        return BOX_HEIGHT

    @property
    def middle(self) -> float:
        return round(self.x + BOX_WIDTH / 2, 1)

    @property
    def label(self) -> str:
        """The name, or as much of it as fits."""
        name = self.node.name
        return name if len(name) <= MAX_LABEL_LENGTH else f"{name[: MAX_LABEL_LENGTH - 1]}…"


@dataclass(frozen=True)
class Line:
    """An edge as the `d` of a path."""

    path: str
    kind: str
    leads_to_production: bool


@dataclass(frozen=True)
class Layout:
    """Boxes and lines, all coordinates in the view box."""

    boxes: list[Box]
    lines: list[Line]
    width: float
    height: float


def layout(lineage: Lineage) -> Layout:
    """Lay the graph out."""
    rows = assign_rows(lineage)
    lanes, chains = add_lanes(lineage, rows)
    order = order_rows(lanes, chains)
    places, width = assign_positions(order, lineage.nodes)
    way = lineage.production_ancestors
    boxes = [
        Box(node, round(places[key] - BOX_WIDTH / 2, 1), MARGIN + rows[key] * ROW_HEIGHT, key in way)
        for key, node in lineage.nodes.items()
    ]
    lines = [
        Line(
            svg_path([(places[key], lanes[key]) for key in chain]), edge.kind,
            edge.origin in way and edge.result in way,
        )
        for edge, chain in zip(lineage.edges, chains, strict=True)
    ]  # fmt: skip
    height = 2 * MARGIN + max(rows.values(), default=0) * ROW_HEIGHT + BOX_HEIGHT
    # What is on the way to production is drawn last: over the others.
    return Layout(boxes, sorted(lines, key=lambda line: line.leads_to_production), width, height)


def assign_rows(lineage: Lineage) -> dict[str, int]:
    """The row of each node: below all that it comes from; what is no version stands right above what first
    learned from it."""
    before, after = defaultdict(list), defaultdict(list)
    for edge in lineage.edges:
        before[edge.result].append(edge.origin)
        after[edge.origin].append(edge.result)
    rows: dict[str, int] = {}

    # Versions come in the order in which they were made, so that what a node comes from has its row already.
    made = [key for key, node in lineage.nodes.items() if not node.version]
    made += sorted((key for key, node in lineage.nodes.items() if node.version), key=lambda key: int(key[1:]))
    for key in made:
        rows[key] = max((rows[origin] + 1 for origin in before[key]), default=0)
    for key, node in lineage.nodes.items():
        if not node.version and after[key]:
            rows[key] = min(rows[result] for result in after[key]) - 1
    return rows


def add_lanes(lineage: Lineage, rows: Mapping[str, int]) -> tuple[dict[str, int], list[list[str]]]:
    """The rows of all nodes and of a place in each row that an edge crosses; and each edge as the chain of
    its places, ends included. Edges of one node share their places."""
    lanes, chains = dict(rows), []
    for edge in lineage.edges:
        chain = [edge.origin]
        for row in range(rows[edge.origin] + 1, rows[edge.result]):
            place = f"{edge.origin} in row {row}"
            lanes[place] = row
            chain.append(place)
        chains.append([*chain, edge.result])
    return lanes, chains


def order_rows(lanes: Mapping[str, int], chains: Iterable[list[str]]) -> list[list[str]]:
    """The places of each row from left to right, few lines crossing."""
    above, below = defaultdict(set), defaultdict(set)
    for chain in chains:
        for upper, lower in pairwise(chain):
            above[lower].add(upper)
            below[upper].add(lower)
    order: list[list[str]] = [[] for _ in range(max(lanes.values(), default=-1) + 1)]
    for key, row in lanes.items():
        order[row].append(key)
    for sweep in range(SWEEPS):
        downwards = sweep % 2 == 0
        neighbours = above if downwards else below
        spots: dict[str, float] = {}
        for places in order if downwards else order[::-1]:
            middles = {
                key: fmean(known) if (known := [spots[near] for near in neighbours[key] if near in spots])
                else index / max(len(places) - 1, 1)
                for index, key in enumerate(places)
            }  # fmt: skip
            places.sort(key=middles.__getitem__)
            spots |= {key: (index + 0.5) / len(places) for index, key in enumerate(places)}
    return order


def assign_positions(order: list[list[str]], nodes: Mapping[str, Node]) -> tuple[dict[str, float], float]:
    """The middle of each place from the left, rows centred; and the width of the whole."""
    widths = [[COLUMN_WIDTH if key in nodes else LANE_WIDTH for key in row] for row in order]
    widest = max((sum(row) for row in widths), default=COLUMN_WIDTH)
    places = {}
    for row, sizes in zip(order, widths, strict=True):
        left = MARGIN + (widest - sum(sizes)) / 2
        for key, size in zip(row, sizes, strict=True):
            places[key] = round(left + size / 2, 1)
            left += size
    return places, widest + 2 * MARGIN


def svg_path(points: list[tuple[float, int]]) -> str:
    """A curve from the lower side of the first box to the upper side of the last, straight through lanes."""
    (x, row), *others = points
    y = MARGIN + row * ROW_HEIGHT + BOX_HEIGHT
    path = [f"M{x:g} {y:g}"]
    for x_next, row_next in others:
        top = MARGIN + row_next * ROW_HEIGHT
        half = (y + top) / 2
        path.append(f"C{x:g} {half:g} {x_next:g} {half:g} {x_next:g} {top:g}")
        x, y = x_next, top + BOX_HEIGHT
        if (x_next, row_next) != others[-1]:
            path.append(f"V{y:g}")
    return " ".join(path)
