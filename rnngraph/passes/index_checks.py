"""Integers that choose: which are known to lie inside, and how a run tells that another one does not.

Going outside is told by one truth value of the whole program, the output `OUTSIDE`. A loop hands out the integers that
it chose by (a gradient keeps these anyway), and all of them are looked at once, behind it. Who reads the output makes
an error of it: kernels themselves take the nearest entry inside, so that nothing is read or written elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.ir.graph import (
    LOOP,
    Graph,
    Loop,
    Node,
    Origin,
    Rewriter,
    Value,
    loop_node,
    loop_of,
    rebound,
    stacked,
)
from rnngraph.ir.interval_arithmetic import Range
from rnngraph.ops import TABLE, call, range_analysis
from rnngraph.ops.range_analysis import Known
from rnngraph.passes.bodies import everywhere, with_results
from rnngraph.passes.index_sizes import bounds

INSIDE = TABLE["inside"]
OUTSIDE = "outside:"
"""The output that holds where an integer went outside. No output of a user's can have this name."""


def without_proven(graph: Graph, looked_at: bool = True) -> Graph:
    """The graph without the looks at integers that lie inside whatever happens.

    Integers of the data do so where they reach what they choose from unchanged, and are `looked_at` before a run.
    """
    sure = _sure(graph, bounds(graph) if looked_at else {})

    def change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        return inputs[:1] if node in sure else None

    return everywhere(graph, change) if sure else graph


def watched(graph: Graph) -> Graph:
    """The graph that looks at once at all integers that are not known to lie inside."""
    graph = without_proven(graph)
    if not any(node.op is INSIDE for node in graph.all_nodes()):
        return graph
    level = _Level()
    values = Rewriter(level.change).run(graph.outputs.values())
    outputs = dict(zip(graph.outputs, values, strict=True))
    return graph.with_outputs({**outputs, OUTSIDE: level.found()})


def unwatched(graph: Graph) -> Graph:
    """The graph without any look at integers, at any stage: what is to be shown of it."""
    shown = graph.with_outputs({name: v for name, v in graph.outputs.items() if name != OUTSIDE})
    return everywhere(shown, lambda node, inputs: inputs[:1] if node.op is INSIDE else None)


def _sure(graph: Graph, checked: Mapping[str, int]) -> set[Node]:
    looks = [node for node in graph.all_nodes() if node.op is INSIDE]
    if not looks:
        return set()
    known: Known = {graph.inputs[name]: Range(0, size - 1) for name, size in checked.items()}
    range_analysis.note(graph.nodes(), known)
    return {node for node in looks if known[node.inputs[0]].within(node.attrs["size"])}


# --- one level after the other ------------------------------------------------------------------------------------


class _Look(NamedTuple):
    """Integers, among how many they choose, where that counts, and who chooses."""

    ids: Value
    size: int
    live: tuple[Value, ...]
    origin: Origin

    @property
    def values(self) -> tuple[Value, ...]:
        return (self.ids, *self.live)

    @property
    def outside(self) -> Value:
        return call("outside", *self.values, size=self.size, origin=self.origin)


class _Level(Struct, eq=False):
    """What is to be looked at of one level, and what is told of the loops in it: truth values without a batch."""

    looks: list[_Look] = field(default_factory=list)
    told: list[Value] = field(default_factory=list)

    def change(self, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if node.op is INSIDE:
            ids, *live = inputs
            self.looks.append(_Look(ids, node.attrs["size"], tuple(live), node.origin))
            return (ids,)
        return self.loop(node, rebound(loop_of(node), inputs)) if node.op is LOOP else None

    def loop(self, node: Node, loop: Loop) -> tuple[Value, ...]:
        """The results of the loop, which also hands out what is to be looked at behind it."""
        inner = _Level()
        new = with_results(loop, Rewriter(inner.change).run(loop.results))
        wanted = dict.fromkeys((*(v for look in inner.looks for v in look.values), *inner.told))
        stacks = (*new.stacks, *(v for v in wanted if v not in new.stacks))
        made = loop_node(replace(new, stacks=stacks), node.origin)
        outer = dict(zip(stacks, stacked(made), strict=True))
        moved = [_Look(outer[k.ids], k.size, tuple(outer[v] for v in k.live), k.origin) for k in inner.looks]
        self.told += [look.outside for look in moved]
        self.told += [_Look(call("cast", outer[v], dtype="int"), 1, (), v.node.origin).outside for v in inner.told]
        return made.values[: len(loop.results)]

    def found(self) -> Value:
        """Whether anything went outside."""
        return reduce(lambda a, b: call("or", a, b), [*self.told, *(look.outside for look in self.looks)])
