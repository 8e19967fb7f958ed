"""What nothing reads is not done: unread stacks, carries, bindings, and all that only they needed."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from rnngraph.ir.graph import (
    LOOP,
    Graph,
    Loop,
    Node,
    Rewriter,
    Value,
    finals,
    loop_node,
    loop_of,
    ordered,
    rebound,
    stacked,
)


def prune(graph: Graph) -> Graph:
    """The graph without dead results; equal stacks are handed out once."""
    values = _pruned(tuple(graph.outputs.values()))
    return graph.with_outputs(dict(zip(graph.outputs, values, strict=True)))


def _pruned(roots: tuple[Value, ...]) -> tuple[Value, ...]:
    """Rebuilds what the roots need at one level, its loops cut down to what is read of them."""
    small, read = _small_loops(roots)

    def change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if not any(v in read for v in node.values):
            return node.values  # it only leads to what a loop leaves out, and may read what has no place any more
        if node not in small:
            return None
        loop, places = small[node]
        kept = dict(zip(node.inputs, inputs, strict=True))
        new = loop_node(rebound(loop, tuple(kept[v] for v in loop.outer)), node.origin)
        # A result that nothing reads keeps its place; what stands there is never asked for.
        return tuple(Value(new, places.get(i, 0)) for i in range(len(node.types)))

    return Rewriter(change).run(roots)


def _small_loops(roots: tuple[Value, ...]) -> tuple[dict[Node, tuple[Loop, dict[int, int]]], set[Value]]:
    """For each live loop its small form, and where each result that is read now stands; and all that is read.

    Goes from the end to the front, since a loop that shrinks may free others before it.
    """
    small: dict[Node, tuple[Loop, dict[int, int]]] = {}
    read = set(roots)
    for node in reversed(ordered(v.node for v in roots)):
        if not any(v in read for v in node.values):
            continue
        if node.op is LOOP:
            small[node] = _small(node, read)
            read |= set(small[node][0].outer)
        else:
            read |= set(node.inputs)
    return small, read


def _small(node: Node, read: set[Value]) -> tuple[Loop, dict[int, int]]:
    loop = loop_of(node)
    stacks = {v: r for v, r in zip(loop.stacks, stacked(node), strict=True) if r in read}
    live = {c for c, r in zip(loop.carries, finals(node), strict=True) if r in read or c.param == loop.until}
    while True:
        carries = [c for c in loop.carries if c in live]
        results = _pruned((*(c.next for c in carries), *stacks))
        reached = _params(results)
        more = {c for c in loop.carries if c.param in reached or c.param in stacks} - live
        if not more:
            break
        live |= more
    new = replace(
        loop,
        carries=tuple(c._replace(next=v) for c, v in zip(carries, results, strict=False)),
        slices=tuple(s for s in loop.slices if s.param in reached),
        captures=tuple(c for c in loop.captures if c.param in reached),
        stacks=results[len(carries) :],
        counter=loop.counter if loop.counter in reached else None,
        since=loop.since if loop.since in reached else None,
    )
    order = {c: i for i, c in enumerate(carries)}
    places = {i: order[c] for i, c in enumerate(loop.carries) if c in live}
    at = {v: len(carries) + i for i, v in enumerate(stacks)}
    places |= {len(loop.carries) + i: at[v] for i, v in enumerate(loop.stacks) if v in at}
    return new, places


def _params(results: Iterable[Value]) -> set[Value]:
    """The values of leaves that results need."""
    results = tuple(results)
    return {Value(node) for node in ordered(v.node for v in results) if node.op.kind == "leaf"}
