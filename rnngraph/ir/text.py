"""Any stage of the graph as text, as two numbers, and as a networkx graph.

One node per line, each after its inputs; a loop is an indented block with its bindings first:

    %3, %4 = loop RNN over time : batch[5] float, time batch[5] float   # textbook.rnn:12:14
      carry h %5 = %1 then %8
      slice x %6 in %0
      capture kernel %7 is %2
      %8 = tanh(%9) : batch[5] float   # textbook.rnn:8:8 rnn
      stack %8
    output y = %4
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rnngraph.ir.graph import LOOP, PARAM, Graph, Loop, Node, Origin, Value, body_nodes, loop_of

INDENT = "  "
_LONGEST_ATTRIBUTE = 80


def show(graph: Graph) -> str:
    """The graph as text, outputs last; values are numbered in the order they are printed."""
    numbers = Numbers()
    lines = list(_level(graph.nodes(), numbers, ""))
    lines += [f"output {name} = {numbers[value]}" for name, value in graph.outputs.items()]
    return "\n".join(lines) + "\n"


class Numbers(dict[Value, str]):
    """A name `%n` for each value, given when it is first asked for."""

    def __missing__(self, value: Value) -> str:
        self[value] = name = f"%{len(self)}"
        return name

    def of(self, values: Iterable[Value]) -> str:
        return ", ".join([self[v] for v in values])


def _level(nodes: Iterable[Node], numbers: Numbers, indent: str) -> Iterator[str]:
    for node in nodes:
        if node.op is LOOP:
            yield from _loop(node, numbers, indent)
        elif node.op is not PARAM:
            yield from _node(node, numbers, indent)


def _node(node: Node, numbers: Numbers, indent: str) -> Iterator[str]:
    results = numbers.of(node.values)
    words = [f"{node.op.name}({numbers.of(node.inputs)})", *_attributes(node.attrs)]
    yield f"{indent}{results} = {' '.join(words)} : {_types(node)}{_origin(node.origin)}"
    for value in node.attrs.values():
        if isinstance(value, Graph):
            yield from _inner(value, indent + INDENT)


def _inner(graph: Graph, indent: str) -> Iterator[str]:
    """A small closed graph that is an attribute (a fused chain), numbered on its own."""
    numbers = Numbers()
    yield from _level(graph.nodes(), numbers, indent)
    yield from (f"{indent}output {name} = {numbers[value]}" for name, value in graph.outputs.items())


def _loop(node: Node, numbers: Numbers, indent: str) -> Iterator[str]:
    loop = loop_of(node)
    head = [w for w in ("loop", loop.label, "over", loop.axis) if w]
    head += ["reversed"] * loop.reverse + [f"turn={loop.turn}"] * (loop.turn != 1)
    yield f"{indent}{numbers.of(node.values)} = {' '.join(head)} : {_types(node)}{_origin(node.origin)}"
    inside = indent + INDENT
    nodes = body_nodes(loop)
    yield from (inside + line for line in _bindings(loop, numbers))
    yield from _level(nodes, numbers, inside)
    yield from (f"{inside}stack {numbers[value]}" for value in loop.stacks)


def _bindings(loop: Loop, numbers: Numbers) -> Iterator[str]:
    for carry in loop.carries:
        line = f"carry {name_of(carry.param)} {numbers[carry.param]} = {numbers[carry.init]}"
        yield f"{line} then {numbers[carry.next]}"
    for slice in loop.slices:
        yield f"slice {name_of(slice.param)} {numbers[slice.param]} in {numbers[slice.sequence]}"
    for capture in loop.captures:
        yield f"capture {name_of(capture.param)} {numbers[capture.param]} is {numbers[capture.outer]}"
    if loop.counter is not None:
        yield f"counter {numbers[loop.counter]}"


def name_of(value: Value) -> str:
    """The name of an input or of a body's param; else what the user calls the value; else ``."""
    return str(value.node.attrs.get("name", "")) or value.node.origin.name


def _attributes(attrs: Mapping[str, Any]) -> Iterator[str]:
    for name, value in attrs.items():
        if name == "type" or isinstance(value, Graph):
            continue
        text = repr(value) if isinstance(value, str) and not value.isidentifier() else str(value)
        text = " ".join(text.split())
        yield f"{name}={text if len(text) <= _LONGEST_ATTRIBUTE else text[: _LONGEST_ATTRIBUTE - 3] + '...'}"


def _types(node: Node) -> str:
    return ", ".join([str(t) for t in node.types])


def _origin(origin: Origin) -> str:
    words = [str(origin.span)] if origin.span else []
    words += [w for w in (".".join(origin.path), origin.name, "backward" if origin.backward else "") if w]
    return f"   # {' '.join(words)}" if words else ""


def counts(graph: Graph) -> tuple[int, int]:
    """Nodes and edges, those of loop bodies too.

    An edge is an input of a node (what goes into a loop is an input of the loop's node) or what leaves a
    step of a loop: each carry's next value and each stack.
    """
    nodes = edges = 0
    for node in graph.all_nodes():
        nodes += 1
        edges += len(node.inputs)
        if node.op is LOOP:
            edges += len(loop_of(node).results)
    return nodes, edges


class _Place(NamedTuple):
    node: Node
    level: int
    loop: int | None


def to_networkx(graph: Graph) -> Any:
    """A `networkx.DiGraph` of every level: an acyclic graph whose nodes are numbers.

    Node attributes: `op`, `type` (text), `line` (or None), `name`, `path`, `backward`, `level` (0 outside
    all loops) and `loop` (the number of the loop node around it, or None). Edges join nodes of one level.
    """
    import networkx

    found = networkx.DiGraph()
    places = list(_places(graph.nodes(), 0, None, iter(range(1 << 62))))
    numbers: dict[Node, int] = {}
    for number, place in places:
        numbers[place.node] = number
        found.add_node(number, **_facts(place))
    for number, place in places:
        found.add_edges_from((numbers[value.node], number) for value in place.node.inputs)
    return found


def _places(
    nodes: Iterable[Node], level: int, loop: int | None, fresh: Iterator[int],
) -> Iterator[tuple[int, _Place]]:
    for node in nodes:
        number = next(fresh)
        yield number, _Place(node, level, loop)
        if node.op is LOOP:
            yield from _places(body_nodes(loop_of(node)), level + 1, number, fresh)


def _facts(place: _Place) -> dict[str, Any]:
    node, origin = place.node, place.node.origin
    return {
        "op": node.op.name,
        "type": _types(node),
        "line": origin.span.line if origin.span else None,
        "name": str(node.attrs.get("name", "")) or origin.name,
        "path": ".".join(origin.path),
        "backward": origin.backward,
        "level": place.level,
        "loop": place.loop,
    }
