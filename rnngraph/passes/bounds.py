"""Which integer inputs choose rows or entries, and how many there are to choose from."""

from __future__ import annotations

from rnngraph.ir.graph import INPUT, LOOP, Graph, Node, Value, body_nodes, loop_of
from rnngraph.ops import TABLE

_HANDS_ON = {
    TABLE[name]
    for name in (
        "where",
        "shift",
        "reverse",
        "reverse_within",
        "last",
        "last_within",
        "every",
        "slice",
        "concat",
        "identity",
        "reshape",
        "broadcast",
        "spread",
    )
}


def bounds(graph: Graph) -> dict[str, int]:
    """For each data input whose values are used as indices: the smallest number of rows they index."""
    found: dict[str, int] = {}
    _level(graph.nodes(), {}, found)
    return found


def _level(nodes: list[Node], outer: dict[Value, Value], found: dict[str, int]) -> None:
    for node in nodes:
        if node.op is LOOP:
            loop = loop_of(node)
            bound = {s.param: s.sequence for s in loop.slices} | {c.param: c.outer for c in loop.captures}
            _level(body_nodes(loop), outer | bound, found)
        elif node.op in (TABLE["take"], TABLE["pick"]):
            _note(node.inputs[1], node.inputs[0].type.shape[0], outer, found)
        elif node.op is TABLE["one_hot"]:
            _note(node.inputs[0], node.attrs["depth"], outer, found)


def _note(ids: Value, size: int, outer: dict[Value, Value], found: dict[str, int]) -> None:
    for name in _sources(ids, outer):
        found[name] = min(size, found.get(name, size))


def _sources(ids: Value, outer: dict[Value, Value]) -> set[str]:
    """The data inputs that an index comes from unchanged."""
    names, seen, todo = set[str](), set[Value](), [ids]
    while todo:
        value = todo.pop()
        if value in seen or value.type.dtype != "int":
            continue
        seen.add(value)
        if value in outer:
            todo.append(outer[value])
        elif value.op is INPUT and value.node.attrs["kind"] == "data":
            names.add(value.node.attrs["name"])
        elif value.op in _HANDS_ON:
            todo.extend(value.node.inputs)
    return names
