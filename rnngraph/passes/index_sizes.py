"""Which integer inputs choose rows or entries, and how many there are to choose from."""

from __future__ import annotations

from collections.abc import Iterator

from rnngraph.ir.graph import INPUT, LOOP, Graph, Node, Op, Value, body_nodes, loop_of
from rnngraph.ops import TABLE
from rnngraph.passes.bodies import outside_of_params

INSIDE, WHERE, EVERY, AND, LESS, IOTA = (TABLE[name] for name in ("inside", "where", "every", "and", "lt", "iota"))


def _named(names: str) -> frozenset[Op]:
    return frozenset(TABLE[name] for name in names.split())


UNCHANGED = _named("reverse reverse_within concat identity reshape broadcast spread transpose repeat flip")
"""Ops that hand on all entries of their integers."""
SOME = _named("where shift last last_within every slice")
"""Ops that hand on some of them, beside others."""
DERIVED = _named("spread cast floor div add")
"""Ops by which lengths become those of every k-th step."""


def bounds(graph: Graph) -> dict[str, int]:
    """For each data input whose every integer chooses, wherever it stands: the smallest number that it chooses from.

    What a model picks out or guards (`where`, a slice, the last step) is none of these: only a run can tell.
    """
    return _smallest(graph, UNCHANGED)


def reached(graph: Graph) -> dict[str, int]:
    """For each data input of whose integers some choose: the smallest number that they choose from."""
    return _smallest(graph, UNCHANGED | SOME)


def _smallest(graph: Graph, through: frozenset[Op]) -> dict[str, int]:
    found: dict[str, int] = {}
    for node, outer in _looks(graph.nodes(), {}):
        for name in _sources(node.inputs[0], outer, through):
            found[name] = min(node.attrs["size"], found.get(name, node.attrs["size"]))
    return found


def _looks(nodes: list[Node], outer: dict[Value, Value]) -> Iterator[tuple[Node, dict[Value, Value]]]:
    """Each `inside`, and what the params of the loops around it are outside."""
    for node in nodes:
        if node.op is LOOP:
            loop = loop_of(node)
            yield from _looks(body_nodes(loop), outer | outside_of_params(loop))
        elif node.op is INSIDE:
            yield node, outer


def _sources(ids: Value, outer: dict[Value, Value], through: frozenset[Op]) -> set[str]:
    """The data inputs that integers come from through these ops."""
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
        elif value.op in through or _only_padding_changes(value.node, outer):
            todo.extend(value.node.inputs)
    return names


def _only_padding_changes(node: Node, outer: dict[Value, Value]) -> bool:
    """Whether a choice is by the lengths of rows alone, or all steps are handed on."""
    if node.op is WHERE:
        return _of_lengths(node.inputs[0], outer)
    return node.op is EVERY and node.attrs["by"] == 1


def _of_lengths(mask: Value, outer: dict[Value, Value]) -> bool:
    """Whether a mask says which steps are a row's own, and no more."""
    mask = _origin(mask, outer)
    if mask.op is AND:
        return all(_of_lengths(v, outer) for v in mask.node.inputs)
    if mask.op is not LESS:
        return False
    place, end = (_origin(v, outer) for v in mask.node.inputs)
    return place.op is IOTA and end.op is INPUT and end.node.attrs["kind"] == "lengths"


def _origin(value: Value, outer: dict[Value, Value]) -> Value:
    """What a value is made of, through loops and through what makes lengths of every k-th step."""
    while True:
        if value in outer:
            value = outer[value]
        elif value.op in DERIVED:
            value = value.node.inputs[0]
        else:
            return value
