"""A graph as plain data: for each level its nodes, the boxes they share, and its loops with their bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rnngraph.explore.tables import Tables
from rnngraph.ir.graph import INPUT, LOOP, PARAM, Graph, Loop, Node, Value, body_nodes, loop_of
from rnngraph.ir.text import name_of
from rnngraph.viz.box_texts import carry_names, loop_title, op_text, source_text, stack_names
from rnngraph.viz.groups import TRANSPARENT, Group, constants, groups_of, inner_groups
from rnngraph.viz.loops import common, computed

Json = dict[str, Any]
Mark = Callable[[Node, str], str]
"""What became of a node in a pass, by the axes of the loops around it: "", "new" or "moved"."""
_LONGEST = 160


def graph_json(graph: Graph, tables: Tables, mark: Mark = lambda node, around: "") -> Json:
    """The top level, and where each output stands in it."""
    nodes = graph.nodes()
    index = {node: i for i, node in enumerate(nodes)}
    outputs = [{"name": name, "value": [index[v.node], v.index]} for name, v in graph.outputs.items()]
    return {"level": _level(nodes, tables, mark, ""), "outputs": outputs}


def _level(nodes: Sequence[Node], tables: Tables, mark: Mark, around: str) -> Json:
    """The nodes in an order where inputs come first; a value is the number of its node, and which result it is."""
    index = {node: i for i, node in enumerate(nodes)}
    hidden, groups = constants(nodes), groups_of(nodes, lambda path: None)
    group_of = {node: i for i, group in enumerate(groups) for node in group.nodes}
    inner = inner_groups(groups)
    found = [_node(node, index, tables) for node in nodes]
    for node, told in zip(nodes, found, strict=True):
        told |= {"hidden": 1} if node in hidden and node.op not in (INPUT, PARAM) else {}
        told |= {"group": group_of[node]} if node in group_of else {}
        told |= {"mark": word} if (word := mark(node, around)) else {}
        if node.op is LOOP:
            told["loop"] = _loop(node, tables, mark, around)
    return {"nodes": found, "groups": [_group(group, index, inner, tables) for group in groups]}


def _node(node: Node, index: Mapping[Node, int], tables: Tables) -> Json:
    told: Json = {"op": op_text(node), "types": [tables.of_type(type) for type in node.types]}
    if node.inputs:
        told["in"] = [[index[v.node], v.index] for v in node.inputs]
    told |= {"span": tables.of_span(node.origin.span)} if node.origin.span else {}
    told |= {"path": tables.of_path(node.origin.path)} if node.origin.path else {}
    told |= {"back": 1} if node.origin.backward else {}
    if node.op in (INPUT, PARAM):
        told |= {"name": name_of(Value(node)), "kind": node.attrs.get("kind", "param")}
    elif node.origin.name:
        told["name"] = node.origin.name
    return told


def _group(group: Group, index: Mapping[Node, int], inner: set[Group], tables: Tables) -> Json:
    """`through` is a box that only spreads or casts: what it is made of stands for it."""
    others = [v.node.origin.span for v in group.outside() if v.node.op not in (INPUT, PARAM)]
    title = "" if group.origin.backward or group in inner else group.names
    told: Json = {"kind": group.kind, "title": title, "text": clipped(group.text([s for s in others if s]))}
    told |= {"root": index[group.root], "span": tables.of_span(group.span)}
    through = len(group.nodes) == 1 and group.root.op.name in TRANSPARENT
    return told | ({"through": 1} if through else {})


def clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _loop(node: Node, tables: Tables, mark: Mark, around: str) -> Json:
    loop, nodes = loop_of(node), body_nodes(loop_of(node))
    index = {inner: i for i, inner in enumerate(nodes)}

    def at(value: Value) -> int:
        """The param's number; -1 of one that no step reads."""
        return index.get(value.node, -1)

    return {
        "axis": loop.axis,
        "reverse": int(loop.reverse),
        "title": "gradient of " * node.origin.backward + loop_title(loop),
        "base": tables.of_path(instance_of(node)),
        "carries": [
            {"name": name, "param": at(c.param), "next": [index[c.next.node], c.next.index], "first": _first(c.init)}
            for c, name in zip(loop.carries, carry_names(loop), strict=True)
        ],
        "slices": [{"name": name_of(s.param) or "row", "param": at(s.param)} for s in loop.slices],
        "captures": [{"name": name_of(c.param) or "value", "param": at(c.param)} for c in loop.captures],
        "stacks": [
            {"name": name, "value": [index[v.node], v.index]}
            for v, name in zip(loop.stacks, stack_names(loop), strict=True)
        ],
        "counter": at(loop.counter) if loop.counter else -1,
        "body": _level(nodes, tables, mark, f"{around}/{_way(loop)}"),
    }


def _way(loop: Loop) -> str:
    return f"{loop.axis}{'-' * loop.reverse}"


def instance_of(loop: Node) -> tuple[str, ...]:
    """The instance that all of a loop's body belongs to, but for what is written or only spread.

    The backward pass adds up what comes in at the line of the `unroll` itself; that is of no instance.
    """
    paths = (n.origin.path for n in computed(body_nodes(loop_of(loop))))
    return common(path for path in paths if path or not loop.origin.backward)


def _first(value: Value) -> str:
    """The written number that a state begins with; "" where it is computed."""
    while value.node.op.name in TRANSPARENT:
        value = value.node.inputs[0]
    if "value" in value.node.attrs:
        return f"{value.node.attrs['value']:g}"
    span = value.node.origin.span
    return clipped(source_text(span)) if span and not value.node.inputs and value.node.op is not INPUT else ""
