"""A graph as SVG: laid out in layers from its start to its end. Pure functions; ids stay the same from look to look.

Coordinates are in SVG's user units, a pixel each at full size.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEIGHT, GAP_X, GAP_Y, MARGIN = 36, 28, 46, 16
LETTER, LEAST_WIDTH, LONGEST_NAME = 7.4, 84, 28
SWEEPS = 4  # how often nodes are moved below what leads to them


@dataclass(frozen=True)
class Node:
    """A box. `x` and `y` are its upper left corner."""

    name: str
    title: str
    x: float
    y: float
    width: float
    is_end: bool  # the graph's start or end

    @property
    def height(self) -> int:
        """All boxes are of one height."""
        return HEIGHT

    @property
    def middle(self) -> tuple[float, float]:
        """Where its name stands."""
        return self.x + self.width / 2, self.y + HEIGHT / 2


@dataclass(frozen=True)
class Edge:
    """A curve from box to box; a conditional one is taken only sometimes."""

    source: str
    target: str
    path: str
    conditional: bool


@dataclass(frozen=True)
class Drawing:
    """All of it."""

    nodes: list[Node]
    edges: list[Edge]
    width: float
    height: float


def draw(document: Mapping[str, Any]) -> Drawing:
    """From `{"nodes": [{"id"}], "edges": [{"source", "target", "conditional"?}]}`, as the API answers it."""
    names = [str(node["id"]) for node in document.get("nodes", ())]
    known = set(names)
    edges = [edge for edge in document.get("edges", ()) if edge["source"] in known and edge["target"] in known]
    layers = _layers(names, [(edge["source"], edge["target"]) for edge in edges])
    nodes, width = _placed(layers)
    height = MARGIN * 2 + len(layers) * HEIGHT + max(len(layers) - 1, 0) * GAP_Y
    lines = [_line(nodes, edge, width) for edge in edges]
    aside = any(_goes_back(nodes, edge) for edge in edges)
    return Drawing(list(nodes.values()), lines, width + (GAP_X * 2 if aside else 0), height)


def _layers(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Each node below all that lead to it; edges that close a circle do not count."""
    forward = _without_circles(names, edges)
    depth = dict.fromkeys(names, 0)
    waiting = {name: sum(1 for _, target in forward if target == name) for name in names}
    ready = deque(name for name in names if waiting[name] == 0)
    after = defaultdict(list)
    for source, target in forward:
        after[source].append(target)
    while ready:
        name = ready.popleft()
        for target in after[name]:
            depth[target] = max(depth[target], depth[name] + 1)
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in names:
        layers[depth[name]].append(name)
    _untangle(layers, forward)
    return layers


def _without_circles(names: Iterable[str], edges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    after = defaultdict(list)
    for source, target in edges:
        after[source].append(target)
    kept, done, path = [], set[str](), set[str]()
    for root in names:
        stack = [(root, iter(after[root]))] if root not in done else []
        path.update(root for _ in stack)
        while stack:
            name, targets = stack[-1]
            following = next(targets, None)
            if following is None:
                stack.pop()
                path.discard(name)
                done.add(name)
            elif following not in path:
                kept.append((name, following))
                if following not in done:
                    path.add(following)
                    stack.append((following, iter(after[following])))
    return kept


def _untangle(layers: list[list[str]], edges: Sequence[tuple[str, str]]) -> None:
    """Order each layer by where the nodes that lead to it stand."""
    before = defaultdict(list)
    for source, target in edges:
        before[target].append(source)
    for _ in range(SWEEPS):
        place = {name: index for layer in layers for index, name in enumerate(layer)}
        for layer in layers[1:]:
            layer.sort(key=lambda name: sum(place[one] for one in before[name]) / max(len(before[name]), 1))


def _placed(layers: list[list[str]]) -> tuple[dict[str, Node], float]:
    widths = {name: max(LEAST_WIDTH, len(_title(name)) * LETTER + 26) for layer in layers for name in layer}
    whole = max((sum(widths[n] for n in layer) + GAP_X * (len(layer) - 1) for layer in layers), default=0) + 2 * MARGIN
    nodes: dict[str, Node] = {}
    for number, layer in enumerate(layers):
        x = (whole - sum(widths[name] for name in layer) - GAP_X * (len(layer) - 1)) / 2
        for name in layer:
            y = MARGIN + number * (HEIGHT + GAP_Y)
            nodes[name] = Node(
                name, _title(name), round(x, 1), y, round(widths[name], 1), name in ("__start__", "__end__")
            )
            x += widths[name] + GAP_X
    return nodes, round(whole, 1)


def _title(name: str) -> str:
    shown = {"__start__": "start", "__end__": "end"}.get(name, name)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"


def _goes_back(nodes: Mapping[str, Node], edge: Mapping[str, Any]) -> bool:
    return nodes[edge["target"]].y <= nodes[edge["source"]].y


def _line(nodes: Mapping[str, Node], edge: Mapping[str, Any], width: float) -> Edge:
    source, target = nodes[edge["source"]], nodes[edge["target"]]
    if _goes_back(nodes, edge):
        # Around the right side of everything.
        right, apart = width + GAP_X, HEIGHT / 4 if source is target else 0
        y1, y2 = source.middle[1] + apart, target.middle[1] - apart
        x1, x2 = source.x + source.width, target.x + target.width
        path = f"M {x1} {y1} C {right} {y1 + apart} {right} {y2 - apart} {x2} {y2}"
    else:
        x1, y1, x2, y2 = source.middle[0], source.y + HEIGHT, target.middle[0], target.y
        bend = (y2 - y1) / 2
        path = f"M {x1} {y1} C {x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"
    return Edge(edge["source"], edge["target"], path, bool(edge.get("conditional")))
