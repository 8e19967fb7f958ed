"""The range of every value of a graph: what `grad` asks to know where a pole may hide behind a mask."""

from __future__ import annotations

from collections.abc import Iterable

from rnngraph.ir.graph import LOOP, Loop, Node, Value, body_nodes, loop_of, ordered
from rnngraph.ir.ranges import ANY, POLE, Range


class Ranges:
    """Ranges by value, those of loop bodies too. What comes from outside is taken for finite."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.found: dict[Value, Range] = {}
        self.level(nodes)

    def of(self, value: Value) -> Range:
        """The range of a value made of known ones."""
        if value not in self.found:
            self.level(ordered((value.node,), self.found))
        return self.found[value]

    def level(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if node.op is LOOP:
                self.through(node)
            elif Value(node) not in self.found or node.op.kind != "leaf":
                self.found.update((value, self.at(node)) for value in node.values)

    def at(self, node: Node) -> Range:
        if node.op.kind == "leaf":
            return ANY
        range = node.op.range(node, *(self.found[v] for v in node.inputs))
        return range if node.types[0].dtype == "float" else range._replace(finite=True)

    def through(self, node: Node) -> None:
        """A state that a step can spoil is spoilt at every step: the body is looked at until no more are found."""
        loop, nodes = loop_of(node), body_nodes(loop_of(node))
        for inside, outside in ((s.param, s.sequence) for s in loop.slices):
            self.found[inside] = self.found[outside]
        for inside, outside in ((c.param, c.outer) for c in loop.captures):
            self.found[inside] = self.found[outside]
        for c in loop.carries:
            self.found[c.param] = ANY if self.found[c.init].finite else POLE
        while True:
            self.level(nodes)
            spoilt = [c for c in loop.carries if self.found[c.param].finite and not self.found[c.next].finite]
            if not spoilt:
                break
            self.found.update((c.param, POLE) for c in spoilt)
        self.found.update(zip(node.values, self.results(loop), strict=True))

    def results(self, loop: Loop) -> list[Range]:
        return [*(self.found[c.param] for c in loop.carries), *(self.found[v] for v in loop.stacks)]
