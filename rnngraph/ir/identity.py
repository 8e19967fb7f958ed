"""Whether two graphs compute the same: by their operations alone, not by the text or the file that they come from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from rnngraph.ir.graph import LOOP, PARAM, Graph, Node, Value, body_nodes, loop_of

MARK = "of"
"""What keeps two first states apart that are equal: a place in the text."""


class Identity(Struct, frozen=True):
    """Of a graph: a digest of all of it, and one for each value that the user named, by its place (`encoder.h`)."""

    whole: str
    values: Mapping[str, str]

    def differing(self, other: Identity) -> tuple[str, ...]:
        """The named values that are not computed the same way in both; a value that both make of others that differ
        is not among them."""
        return tuple(n for n in {**self.values, **other.values} if self.values.get(n) != other.values.get(n))


def identity_of(graph: Graph) -> Identity:
    """The same for equal graphs in every process. Names count where they are those of inputs, weights and outputs."""
    numbers: dict[Value, int] = {}
    lines: list[str] = []
    named: dict[str, list[str]] = {}
    for node, words in _nodes(graph.nodes(), numbers):
        lines.append(json.dumps([words, [numbers[v] for v in _read(node)]]))
        named.setdefault(".".join([*node.origin.path, node.origin.name]), []).append(json.dumps(words))
    lines += [json.dumps([name, numbers[value]]) for name, value in graph.outputs.items()]
    return Identity(_digest(lines), {name: _digest(words)[:16] for name, words in named.items() if name})


def _nodes(nodes: Iterable[Node], numbers: dict[Value, int]) -> Iterator[tuple[Node, list[Any]]]:
    """Every node of every level with what it is; its values get the next numbers."""
    for node in nodes:
        if node.op is LOOP:
            loop = loop_of(node)
            _count(loop.params, numbers)
            yield from _nodes(body_nodes(loop), numbers)
        _count(node.values, numbers)
        yield node, [node.op.name, _said(node), [str(t) for t in node.types]]


def _count(values: Iterable[Value], numbers: dict[Value, int]) -> None:
    for value in values:
        numbers.setdefault(value, len(numbers))


def _said(node: Node) -> Any:
    if node.op is not LOOP:
        told = {MARK, "name"} if node.op is PARAM else {MARK}  # what a body's param is called is the text that gives it
        return _plain({name: value for name, value in node.attrs.items() if name not in told})
    loop = loop_of(node)
    return [loop.axis, loop.reverse, len(loop.carries), len(loop.slices), len(loop.captures)]


def _read(node: Node) -> list[Value]:
    """What a node is made of; of a loop, how its body is joined to the outside."""
    if node.op is not LOOP:
        return list(node.inputs)
    loop = loop_of(node)
    return [*loop.outer, *loop.params, *loop.results, *([loop.until] if loop.until is not None else [])]


def _plain(value: Any) -> Any:
    """An attribute as JSON has it, of arrays a digest of their bytes."""
    if isinstance(value, Graph):
        return identity_of(value).whole
    if hasattr(value, "tobytes"):  # an array
        return [str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, Mapping):
        return [[str(name), _plain(item)] for name, item in value.items()]
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _digest(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
