"""The layout of a lineage as an SVG drawing, in rows from the oldest down to the newest.

The layered layout of Sugiyama, Tagawa and Toda (1981): the row of a node is the length of the longest path to
it, each row that an edge crosses reserves a lane for it, and the order within a row is found by barycentre
sweeps.
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
"""The width of a lane for an edge that crosses a row."""
MARGIN = 16
SWEEPS = 6
MAX_LABEL_LENGTH = 21
"""Letters of a name that fit into a box."""


@dataclass(frozen=True)
class Box:
    """A node with its position."""

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
        """The name, truncated to fit."""
        name = self.node.name
        return name if len(name) <= MAX_LABEL_LENGTH else f"{name[: MAX_LABEL_LENGTH - 1]}…"


@dataclass(frozen=True)
class Line:
    """An edge as an SVG path."""

    path: str
    kind: str
    leads_to_production: bool


@dataclass(frozen=True)
class Layout:
    """Boxes and lines in the coordinates of the view box."""

    boxes: list[Box]
    lines: list[Line]
    width: float
    height: float


def layout(lineage: Lineage) -> Layout:
    """Compute the layout of a graph."""
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
    # Lines that lead to production are drawn last, on top.
    return Layout(boxes, sorted(lines, key=lambda line: line.leads_to_production), width, height)


def assign_rows(lineage: Lineage) -> dict[str, int]:
    """The row of each node: below all its origins. Data is placed right above the first version trained on
    it."""
    before, after = defaultdict(list), defaultdict(list)
    for edge in lineage.edges:
        before[edge.result].append(edge.origin)
        after[edge.origin].append(edge.result)
    rows: dict[str, int] = {}

    # In order of creation, so that the origins of a version have their rows already.
    made = [key for key, node in lineage.nodes.items() if not node.version]
    made += sorted((key for key, node in lineage.nodes.items() if node.version), key=lambda key: int(key[1:]))
    for key in made:
        rows[key] = max((rows[origin] + 1 for origin in before[key]), default=0)
    for key, node in lineage.nodes.items():
        if not node.version and after[key]:
            rows[key] = min(rows[result] for result in after[key]) - 1
    return rows


def add_lanes(lineage: Lineage, rows: Mapping[str, int]) -> tuple[dict[str, int], list[list[str]]]:
    """The rows of all nodes and lanes, and the chain of nodes and lanes of each edge. Edges from the same
    node share lanes."""
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
    """The nodes and lanes of each row from left to right, ordered to reduce crossings."""
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
    """The horizontal centre of each node and lane, with rows centred, and the total width."""
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
    """A curve from the bottom of the first box to the top of the last, vertical within lanes."""
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
