"""Work that gradients make and nobody needs: what adds up an array of zeros with one entry among them is that entry;
what is done to all terms of a sum alike is done to the sum; what only kept a gradient away is left out."""

from __future__ import annotations

from rnngraph.ir.graph import Graph, Node, Value
from rnngraph.ops import TABLE, call
from rnngraph.passes.bodies import everywhere


def simplify(graph: Graph) -> Graph:
    """The graph with sums of `place` replaced by what was placed, as the loss of a label has them; and with signs, and
    factors and divisors of whole rows, behind the sum of the row, as the gradient of a deviation has them; and without
    a choice between a value and the same without a gradient, as truncation has it."""
    return everywhere(graph, _change)


def _change(node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
    if node.op is TABLE["where"] and inputs[1].op is TABLE["detach"] and inputs[1].node.inputs[0] == inputs[2]:
        return inputs[2:]
    if node.op is not TABLE["sum"]:
        return None
    return _placed(node, inputs[0]) if inputs[0].node.op is TABLE["place"] else _behind(node, inputs[0])


def _placed(node: Node, zeros: Value) -> tuple[Value, ...] | None:
    placed, (result,) = zeros.node.inputs[0], node.types
    if placed.type.axes != result.axes or len(node.attrs["dims"]) != 1:
        return None  # a row for each label, or nothing summed at all
    return (call("reshape", placed, shape=result.shape, origin=node.origin),)


def _behind(node: Node, terms: Value) -> tuple[Value, ...] | None:
    """The sum with what was done to each term behind it; None where that is nothing."""
    done = _alike(terms)
    if done is None:
        return None
    left, op, *others = done
    total = _behind(node, left) or (call("sum", left, origin=node.origin, **node.attrs),)
    return (call(op, *total, *others, origin=terms.node.origin),)


def _alike(terms: Value) -> tuple[Value, str, *tuple[Value, ...]] | None:
    """What an operation does to all entries of a row alike: to which, the op, and by what."""
    op, ins = terms.node.op.name, terms.node.inputs
    if op == "neg":
        return ins[0], op
    if op not in ("mul", "div") or terms.type.dtype != "float":
        return None
    for a, b in [(ins[0], ins[1]), (ins[1], ins[0])][: 2 if op == "mul" else 1]:
        if a.type == terms.type and not b.type.shape and terms.type.shape:
            return a, op, b
    return None
