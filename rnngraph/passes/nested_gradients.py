"""A gradient as a value of the model itself, of which a gradient can be taken again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rnngraph.ir.graph import LOOP, Graph, Node, Rewriter, Value, loop_node, loop_of, make, ordered, rebound
from rnngraph.ops import call, const
from rnngraph.passes.bodies import with_results
from rnngraph.passes.grad import Poles, gradients, reached


class ThroughLoop(Exception):
    """What has no value for each row is read by a loop, which would have to be another one for each row."""


def derivative(of: Value, wrt: Value) -> Value | None:
    """How one number for each row changes with a value, for each row too; None where it does not depend on it.

    Raises ThroughLoop where `wrt` is the same for all rows, and a loop on the way reads it.
    """
    if wrt.node not in set(ordered([of.node])):
        return None
    if set(of.type.axes) - set(wrt.type.axes):
        of, wrt = _for_each_row(of, wrt)
    one = const(1.0, origin=of.node.origin)
    one = call("spread", one, origin=of.node.origin, axes=of.type.axes) if of.type.axes else one
    return slopes([(of, one)], {"": wrt})[""]


def slopes(
    cotangents: Sequence[tuple[Value, Value]], wrt: Mapping[str, Value], poles: Poles = "no slope"
) -> dict[str, Value]:
    """The sum of value times cotangent, differentiated with respect to each of some values."""
    found = gradients(Graph({}), cotangents, wrt, poles).outputs
    made = Rewriter(_as_forward).run([found[f"grad:{name}"] for name in wrt])
    return dict(zip(wrt, made, strict=True))


def _for_each_row(of: Value, wrt: Value) -> tuple[Value, Value]:
    """The same with a copy of `wrt` for each row, which all rows still share the numbers of."""
    between = reached(ordered([of.node]), frozenset((wrt,)))
    if any(node.op is LOOP for node in between):
        raise ThroughLoop
    own = call("spread", wrt, origin=wrt.node.origin, axes=(*wrt.type.axes, *of.type.axes))
    rewriter = Rewriter()
    rewriter.map[wrt] = own
    return rewriter.run((of,))[0], own


def _as_forward(node: Node, inputs: tuple[Value, ...]) -> Node | None:
    """What is made for the gradient is part of the forward pass here."""
    if not node.origin.backward:
        return None
    origin = replace(node.origin, backward=False)
    if node.op is not LOOP:
        return make(node.op, inputs, node.attrs, origin)
    loop = loop_of(node)
    body = Rewriter(_as_forward)
    body.map |= {param: param for param in loop.params}
    return loop_node(rebound(with_results(loop, body.run(loop.results)), inputs), origin)
