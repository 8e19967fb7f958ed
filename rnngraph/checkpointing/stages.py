"""Which nodes of a gradient graph are computed a few steps at a time, and which at once.

A run has five stages. On the way THERE and on the way BACK an axis of time is walked along, a segment at a time; what
is done for a step needs rows of that step and states alone. BEFORE, BETWEEN and AFTER these two walks everything else
is done, for all steps at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from msgspec import Struct

from rnngraph.ir.graph import INPUT, LOOP, Graph, Node, Value, loop_of
from rnngraph.ops import TABLE
from rnngraph.ops.summation_order import descending, leading

BEFORE, THERE, BETWEEN, BACK, AFTER = range(5)
WALKS = (THERE, BACK)

CONST, IOTA, SPREAD, CONTRACT = (TABLE[name] for name in ("const", "iota", "spread", "contract"))
LAST, PLACE_LAST, LAST_WITHIN, PLACE_LAST_WITHIN = (
    TABLE[name] for name in ("last", "place_last", "last_within", "place_last_within")
)
ENDS = (LAST, PLACE_LAST, LAST_WITHIN, PLACE_LAST_WITHIN)
ANYWHERE = (INPUT, CONST, IOTA)
"""What every stage has at hand."""


class Way(NamedTuple):
    """The axis that is walked along, and whether the forward pass goes from its last step to its first."""

    axis: str
    reverse: bool = False


class Stages(Struct, frozen=True):
    """For each node at the top level of a graph the stage that computes it."""

    way: Way
    of: Mapping[Node, int]

    def long(self, value: Value) -> bool:
        return self.way.axis in value.type.axes

    def walked(self, stage: int) -> list[Node]:
        """The loops that a walk runs a segment at a time."""
        return [n for n, s in self.of.items() if s == stage and _runs_along(n, self.way.axis)]


def ways(graph: Graph) -> dict[Way, int]:
    """The ways there are to walk there and back; for each how many values its loops keep for a step."""
    found = {}
    for loop in (loop_of(n) for n in graph.nodes() if n.op is LOOP and not n.origin.backward):
        way = Way(loop.axis, loop.reverse)
        staged = stages(graph, way)
        back = any(_runs_along(n, way.axis) and n.origin.backward for n in staged.of)
        if staged.walked(THERE) and (staged.walked(BACK) or not back):
            kept = [v for n in staged.walked(THERE) for v in loop_of(n).stacks]
            found[way] = sum(prod(v.type.shape) for v in kept)
    return found


def stages(graph: Graph, way: Way) -> Stages:
    """The stages of a graph whose sums are in units (see `passes.summation_order`)."""
    nodes = graph.nodes()
    early, between = _at_once(nodes, way, False), _at_once(nodes, way, True)
    found: dict[Node, int] = {}
    for node in nodes:
        found[node] = BEFORE if node in early else _stage(node, way, found, node in between)
    return Stages(way, found)


def _stage(node: Node, way: Way, found: Mapping[Node, int], at_once: bool) -> int:
    if node.op in ANYWHERE:
        return BEFORE
    needs = max((_ready(v, way.axis, found) for v in node.inputs), default=BEFORE)
    if touches(node, way.axis) and not at_once:
        walk = BACK if node.origin.backward else THERE
        flat = max((_done(v, found) for v in node.inputs if way.axis not in v.type.axes), default=BEFORE)
        if walkable(node, way) and needs <= walk and flat < walk:
            return walk
    return needs + 1 if needs in WALKS else needs


def why_not(node: Node) -> str:
    """Why a loop that could not be walked could not."""
    return "this loop, or its backward pass, needs the whole of another sequence over the same axis first"


def touches(node: Node, axis: str) -> bool:
    """Whether a node has anything to do with the axis."""
    return _runs_along(node, axis) or any(axis in v.type.axes for v in (*node.inputs, *node.values))


def _runs_along(node: Node, axis: str) -> bool:
    return node.op is LOOP and loop_of(node).axis == axis


def _ready(value: Value, axis: str, found: Mapping[Node, int]) -> int:
    """The first stage in which a value can be read: rows of a walk in that walk, all else once it is over."""
    return found[value.node] if axis in value.type.axes else _done(value, found)


def _done(value: Value, found: Mapping[Node, int]) -> int:
    stage = found[value.node]
    return stage + 1 if stage in WALKS else stage


def walkable(node: Node, way: Way) -> bool:
    """Whether a node that touches the axis can be computed a segment at a time, in the order of its walk."""
    down = way.reverse != node.origin.backward
    if node.op is LOOP:
        loop = loop_of(node)
        return loop.axis == way.axis and loop.reverse == down
    if "units" in node.attrs:
        ordered = way.axis in node.types[0].axes or descending(node) == down
        return ordered and leading(tuple(v.type for v in node.inputs)) == way.axis
    if node.op in ENDS:
        return bool(node.attrs["axis"] == way.axis) and all(v.op is INPUT for v in node.inputs[1:])
    if node.op is SPREAD:
        return True
    if any(way.axis == given or (isinstance(given, tuple) and way.axis in given) for given in node.attrs.values()):
        return False
    given = [way.axis in v.type.axes for v in node.inputs]
    rows = any(given) and all(way.axis in v.type.axes for v in node.values)
    return rows and (node.op is not CONTRACT or all(given))


def _at_once(nodes: list[Node], way: Way, back: bool) -> set[Node]:
    """What needs all steps at once, of the forward or the backward pass, with all of that pass that it reads.

    It is done before the walk, unless it reads what the walk makes: so the walk can still read what comes of it.
    """
    loops = {n for n in nodes if n.origin.backward == back and _runs_along(n, way.axis)}
    behind = set(loops)
    for node in nodes:
        if any(v.node in behind for v in node.inputs):
            behind.add(node)
    found: set[Node] = set()
    feeds: set[Node] = set()
    for node in reversed(nodes):
        if node.origin.backward != back or node in behind:
            if node in loops:
                feeds |= {v.node for v in node.inputs}
            continue
        if node in feeds:
            feeds |= {v.node for v in node.inputs}
        whole = node.op not in ANYWHERE and touches(node, way.axis) and not walkable(node, way)
        if node in found or whole or (node in feeds and _is_total(node, way.axis)):
            found.add(node)
            found |= {v.node for v in node.inputs if v.node.origin.backward == back and v.node not in behind}
    return found


def _is_total(node: Node, axis: str) -> bool:
    return "units" in node.attrs and touches(node, axis) and axis not in node.types[0].axes
