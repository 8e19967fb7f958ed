"""Layers of a stack as loops of their own, each behind the one whose states it reads (loop distribution).

What a layer reads of the one below is then there for all steps: products with it leave the loop, each loop walks the
weights of one layer, which stay near, and backwards the arrays of one layer are alive at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from rnngraph.ir.graph import (
    LOOP,
    Carry,
    Graph,
    Loop,
    Node,
    Origin,
    Rewriter,
    Slice,
    Value,
    body_param,
    finals,
    loop_node,
    loop_of,
    ordered,
    stacked,
)
from rnngraph.ops import TABLE
from rnngraph.passes.bodies import everywhere, own_params, with_results

CONTRACT, WHERE = TABLE["contract"], TABLE["where"]


def distribute(graph: Graph) -> Graph:
    """A loop for each layer, at every level."""
    return everywhere(graph, lambda node, _: _loops(node) if node.op is LOOP else None)


class _Cut(NamedTuple):
    """The carries of the first layer, those of the others, and the states of the first that the others read."""

    first: Sequence[Carry]
    rest: Sequence[Carry]
    passed: Sequence[Value]
    handed: Sequence[Value]
    """States of the first layer that the loop hands out."""


def _loops(node: Node) -> tuple[Value, ...] | None:
    """The results of a loop, made by one for the first layer and those for the others."""
    loop = _reading_states(loop_of(node))
    cut = _cut(loop)
    if cut is None:
        return None
    stacks = tuple(dict.fromkeys((*cut.passed, *cut.handed)))
    first = loop_node(replace(loop, carries=tuple(cut.first), stacks=stacks), node.origin)
    rows = dict(zip(stacks, stacked(first), strict=True))
    later = [v for v in loop.stacks if v not in cut.handed]
    second = _behind(loop, cut, rows, later, node.origin)
    found = _loops(second) or second.values
    last = dict(zip(cut.rest, found, strict=False)) | dict(zip(cut.first, finals(first), strict=True))
    rows |= zip(later, found[len(cut.rest) :], strict=True)
    return (*(last[c] for c in loop.carries), *(rows[v] for v in loop.stacks))


def _behind(loop: Loop, cut: _Cut, rows: Mapping[Value, Value], stacks: Sequence[Value], origin: Origin) -> Node:
    """The loop of the other layers, its body over params of its own."""
    bound, own = own_params(loop)
    read = {v: body_param(v.node.attrs.get("name", ""), v.type, v.node.origin) for v in cut.passed}
    rewriter = Rewriter()
    rewriter.map |= own | read
    results = rewriter.run((*(c.next for c in cut.rest), *stacks))
    made = replace(
        bound,
        carries=tuple(Carry(c.init, own[c.param], v) for c, v in zip(cut.rest, results, strict=False)),
        slices=(*bound.slices, *(Slice(rows[v], param) for v, param in read.items())),
        stacks=results[len(cut.rest) :],
    )
    return loop_node(made, origin)


def _reading_states(loop: Loop) -> Loop:
    """The loop whose other layers read, of a row that has ended, the old states of the first and not the new values
    that a mask leaves out, where that mask leaves out all that they make of it, too."""
    found = _layers(loop) if loop.lengths else None
    if found is None:
        return loop
    below, _, ends = found
    choices = [c.next.node for c in loop.carries if c not in ends]
    states = {v for c in loop.carries for v in (c.param, c.next)}
    choices += [v.node for v in loop.stacks if v not in states]
    if any(node.op is not WHERE for node in choices):
        return loop
    new = {c.next.node.inputs[1]: c.next for c in below if c.next.node.inputs[1] not in loop.params}
    masks, others = {n.inputs[0] for n in choices}, {n.inputs[2] for n in choices}
    if len(masks) > 1 or any(v in new for n in ordered(v.node for v in (*masks, *others)) for v in n.values):
        return loop
    rewriter = Rewriter()
    rewriter.map |= new | {c.next: c.next for c in below}
    return with_results(loop, rewriter.run(loop.results))


def _layers(loop: Loop) -> tuple[list[Carry], list[Carry], list[Carry]] | None:
    """The carries of the first layer, those of the others, and of these the ones that say when the loop ends; None
    where there is one layer."""
    if loop.since is not None or (loop.until is not None and not loop.lengths):
        return None
    needed = _needed(loop)
    reach = _reach(loop, needed)
    layers = [c for c in loop.carries if _is_layer(c, needed, reach)]
    bottom = next((c for c in layers if all(c in reach[o] for o in layers if o in reach[c])), None)
    if bottom is None:
        return None
    ends = [c for c in loop.carries if c.param == loop.until]
    below = [c for c in loop.carries if c in reach[bottom] and c not in ends]
    rest = [c for c in loop.carries if c not in below]
    if not any(c in layers for c in rest) or any(c in reach[end] for end in ends for c in (*below, *rest) if c != end):
        return None
    return below, rest, ends


def _needed(loop: Loop) -> dict[Carry, set[Node]]:
    return {c: set(ordered([c.next.node])) for c in loop.carries}


def _cut(loop: Loop) -> _Cut | None:
    """None where there is one layer, or the others read more of the first than its states."""
    found = _layers(loop)
    if found is None:
        return None
    (below, rest, ends), needed = found, _needed(loop)
    states = {v: None for c in below for v in (c.next, c.param)}
    others = ordered((v.node for v in (*(c.next for c in rest), *loop.stacks) if v not in states), states)
    inside = set.union(*(needed[c] for c in below))
    if any(n in inside and _needs_one(n, below) for n in others):
        return None
    read = {v for n in others for v in n.inputs} | {c.next for c in rest}
    passed, handed = [v for v in states if v in read], [v for v in states if v in loop.stacks]
    return _Cut([*below, *ends], rest, passed, handed) if passed else None


def _reach(loop: Loop, needed: Mapping[Carry, set[Node]]) -> dict[Carry, set[Carry]]:
    """For each carry those whose old values its later ones depend on, at some step."""
    found = {c: {o for o in loop.carries if o.param.node in needed[c]} for c in loop.carries}
    for middle in loop.carries:
        for c in loop.carries:
            if middle in found[c]:
                found[c] |= found[middle]
    return found


def _is_layer(carry: Carry, needed: Mapping[Carry, set[Node]], reach: Mapping[Carry, set[Carry]]) -> bool:
    """Whether a product stands between its old value and its new one."""
    circle = [c for c in reach[carry] if carry in reach[c]]
    return any(n.op is CONTRACT and _needs_one(n, circle) for n in needed[carry])


def _needs_one(node: Node, carries: Iterable[Carry]) -> bool:
    params = {c.param.node for c in carries}
    return not params.isdisjoint(ordered([node]))
