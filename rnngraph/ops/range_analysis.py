"""The range of every value of a graph, loops too: followed from op to op, each of which says its own, by
`ir.interval_arithmetic`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rnngraph.ir.graph import LOOP, Loop, Node, Value, body_nodes, finals, loop_of, stacked
from rnngraph.ir.interval_arithmetic import ANY, INF, INTEGERS, TRUTH, ZERO, Range, count, united

Known = dict[Value, Range]
TRIES = 3
"""So many steps are followed before an end of a state's range that still moves is taken for anywhere."""


def note(nodes: Iterable[Node], known: Known, left_out: bool = False) -> None:
    """Adds the range of every result of these nodes, which are of one level and in order, and of the loops among them.

    What `known` does not tell of an input or a param can be anything that is finite. Of nodes in a step that may be
    `left_out`, any result may also be 0, or be made of such.
    """
    for node in nodes:
        again = left_out and node.op.kind not in ("leaf", "constant")
        if node.op is LOOP:
            _loop(node, known)
        elif again or Value(node) not in known:
            given = [known.get(v, ANY) for v in node.inputs]
            found = of(node, given)
            known.update((value, united(found, ZERO) if again else found) for value in node.values)


def of(node: Node, given: Sequence[Range]) -> Range:
    """The range of a node's result, of those of its operands."""
    dtype = node.types[0].dtype
    if dtype == "bool":
        return TRUTH
    found = ANY if node.op.kind == "leaf" else node.op.range(node, *given)
    if dtype == "float":
        return found
    return Range(found.low, found.high) if INTEGERS.low <= found.low and found.high <= INTEGERS.high else INTEGERS


def _loop(node: Node, known: Known) -> None:
    """States grow step by step until they grow no more."""
    loop = loop_of(node)
    known.update((s.param, known.get(s.sequence, ANY)) for s in loop.slices)
    known.update((c.param, known.get(c.outer, ANY)) for c in loop.captures)
    if loop.counter:
        known[loop.counter] = count(loop.axis)
    states, steps = [known.get(c.init, ANY) for c in loop.carries], 0
    while True:
        inside: Known = {**known, **dict(zip((c.param for c in loop.carries), states, strict=True))}
        note(body_nodes(loop), inside)
        after = [united(s, inside[c.next]) for s, c in zip(states, loop.carries, strict=True)]
        if after == states:
            break
        steps += 1
        states = after if steps < TRIES else [_widened(s, a) for s, a in zip(states, after, strict=True)]
    known.update(inside)
    known.update(zip(finals(node), states, strict=True))
    known.update((r, _handed_out(loop, known[v])) for r, v in zip(stacked(node), loop.stacks, strict=True))


def _widened(before: Range, after: Range) -> Range:
    low = after.low if after.low == before.low else -INF
    return Range(low, after.high if after.high == before.high else INF, after.finite)


def _handed_out(loop: Loop, row: Range) -> Range:
    """Steps that a loop leaves out hand out 0."""
    return united(row, ZERO) if loop.until is not None else row
