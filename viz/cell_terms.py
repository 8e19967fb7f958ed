"""What a step computes, as terms: equal ones are one, and a gate that is cut out of several is a gate of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import INPUT, PARAM, Node, Value, ordered
from rnngraph.language.elaboration.one_step import OneStep
from rnngraph.viz.box_texts import inner
from rnngraph.viz.groups import TRANSPARENT, Path, constants

RESULT = "result"
"""One of several results of an op."""
SEEN_THROUGH = TRANSPARENT | {"inside", "detach"}
"""What stands for its first operand."""
UNARY = frozenset(
    {"tanh", "sigmoid", "relu", "softplus", "log_sigmoid", "erf", "exp", "log", "sqrt", "sin", "cos", "abs", "sign"}
    | {"neg", "floor", "round", "square", "reciprocal"}
)


class Term(Struct, frozen=True, eq=False):
    """An op on other terms; a leaf has none. `node` says where it comes from, `name` what the user calls its result."""

    op: str
    operands: tuple[Term, ...]
    node: Node
    name: str = ""

    @property
    def span(self) -> Span | None:
        return self.node.origin.span

    @property
    def path(self) -> Path:
        return self.node.origin.path


class Terms:
    """The terms of a step, each before those that read it."""

    def __init__(self, step: OneStep) -> None:
        roots = [*step.outputs.values(), *(after for _, after in step.states.values())]
        nodes = ordered(value.node for value in roots)
        self.ends = {v.node for v in roots}
        self.constants = constants(nodes)
        self.names = _named(nodes, step)
        self.readers: Counter[tuple[Node, bool]] = Counter(
            (value.node, node.op.name == "slice") for node in nodes for value in node.inputs
        )
        self.known: dict[object, Term] = {}
        self.of_node: dict[Node, Term] = {}
        self.results: dict[Value, Term] = {}
        """Of nodes with several results."""
        for node in nodes:
            self.of_node[node] = made = self._made(node)
            if len(node.types) > 1:
                self.results.update((v, self._kept(RESULT, (made,), node, which=v.index)) for v in node.values)
        self.roots = roots

    def of(self, value: Value) -> Term:
        return self.results.get(value) or self.of_node[value.node]

    def all(self) -> list[Term]:
        """Those that the results need."""
        found: dict[Term, None] = {}
        pending = [self.of(value) for value in self.roots]
        while pending:
            term = pending.pop()
            if term not in found:
                found[term] = None
                pending += term.operands
        return [term for term in self.known.values() if term in found]

    def _made(self, node: Node) -> Term:
        if node.op.name in SEEN_THROUGH and node not in self.constants:
            return self.of(node.inputs[0])
        operands = tuple(self.of(v) for v in node.inputs)
        if node.op.name == "slice" and self._cut(node.inputs[0].node):
            (whole,) = operands
            part = self._kept("slice", whole.operands, node)
            return self._kept(whole.op, (part,), whole.node, part.name)
        return self._kept(node.op.name, operands, node)

    def _cut(self, node: Node) -> bool:
        """Whether it is a function of which only pieces are read: the same function of each piece."""
        return node.op.name in UNARY and node not in self.ends and not self.readers[node, False]

    def _kept(self, op: str, operands: tuple[Term, ...], node: Node, name: str = "", which: int = 0) -> Term:
        leaf = node.op in (INPUT, PARAM)
        key = node if leaf else (op, operands, repr(sorted(node.attrs.items(), key=str)), node.types, which)
        if key not in self.known or self.known[key].op != op:
            self.known[key] = Term(op, operands, node, name or self.names.get(node, ""))
        return self.known[key]


def _named(nodes: Sequence[Node], step: OneStep) -> dict[Node, str]:
    """What the user assigns, at the node that is the whole of the statement's right side; of a split the one part."""
    found = dict(step.called)
    for node in nodes:
        origin = node.origin
        if not origin.name or not origin.span or node.op in (INPUT, PARAM):
            continue
        if not any(inner(origin.span, other) for other in step.written.get(origin.path, ())):
            found[node] = _part_of(node, origin.name)
    return found


def _part_of(node: Node, name: str) -> str:
    names = name.split(", ")
    if len(names) == 1 or node.op.name != "slice":
        return name if len(names) == 1 else ""
    size = int(node.attrs["stop"]) - int(node.attrs["start"])
    place = int(node.attrs["start"]) // size if size else 0
    return names[place] if place < len(names) else ""


def users(terms: Iterable[Term], ends: Iterable[Term]) -> Counter[Term]:
    """How many read each."""
    return Counter(operand for term in terms for operand in set(term.operands)) + Counter(ends)
