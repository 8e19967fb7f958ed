"""Between which two numbers a whole number lies, whatever the data hold: what can be seen of it before a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import trunc
from typing import NamedTuple

from rnngraph.ir.graph import LOOP, Node, Value, body_nodes, finals, loop_of, stacked
from rnngraph.ir.types import is_fixed, size_of


class Range(NamedTuple):
    """The least and the most that each entry of a value can be."""

    low: int
    high: int

    def within(self, size: int) -> bool:
        """Whether every such number chooses among `size`."""
        return self.low >= 0 and self.high < size


ANY = Range(-(2**63), 2**63 - 1)
"""Nothing is known. Arithmetic that could leave 64 bits gives this, since there numbers begin anew."""
ZERO, TRUTH = Range(0, 0), Range(0, 1)
MOST_STEPS = 2**48
"""More steps than any data have."""
EXACT = 2**53
"""Up to here whole numbers are floats too."""

Known = dict[Value, Range]
Rule = Callable[..., Range]


def note(nodes: Iterable[Node], known: Known) -> None:
    """Adds the range of every result of these nodes, which are of one level and in order, and of the loops among them.

    What `known` does not tell of an input or a param can be anything.
    """
    for node in nodes:
        if node.op is LOOP:
            _loop(node, known)
        elif Value(node) not in known:
            given = [known.get(v, ANY) for v in node.inputs]
            known.update((value, of(node, given)) for value in node.values)


def of(node: Node, given: Sequence[Range]) -> Range:
    """The range of a node's result, of those of its operands."""
    if node.types[0].dtype == "bool":
        return TRUTH
    found = RULES.get(node.op.name)
    if found is None or (node.types[0].dtype == "float" and node.op.name not in FLOATS):
        return ANY
    made = found(node, *given)
    return made if ANY.low <= made.low and made.high <= ANY.high else ANY


def count(axis: str) -> Range:
    """The places on an axis."""
    return Range(0, _steps(axis) - 1 if is_fixed(axis) else MOST_STEPS)


def _steps(axis: str) -> int:
    """The size of an axis that is fixed."""
    none: dict[str, int] = {}
    return size_of(axis, none.__getitem__)


def union(*ranges: Range) -> Range:
    return Range(min(r.low for r in ranges), max(r.high for r in ranges))


# --- loops -------------------------------------------------------------------------------------------------------

TRIES = 3
"""So many steps are followed before a state that still grows is taken for anything."""


def _loop(node: Node, known: Known) -> None:
    """States grow step by step until they grow no more."""
    loop = loop_of(node)
    known.update((s.param, known.get(s.sequence, ANY)) for s in loop.slices)
    known.update((c.param, known.get(c.outer, ANY)) for c in loop.captures)
    if loop.counter:
        known[loop.counter] = count(loop.axis)
    states = [known.get(c.init, ANY) for c in loop.carries]
    steps = 0
    while True:
        inside: Known = {**known, **dict(zip((c.param for c in loop.carries), states, strict=True))}
        note(body_nodes(loop), inside)
        after = [union(s, inside[c.next]) for s, c in zip(states, loop.carries, strict=True)]
        if after == states:
            break
        steps += 1
        states = [a if a == s or steps < TRIES else ANY for a, s in zip(after, states, strict=True)]
    known.update(inside)
    known.update(zip(finals(node), states, strict=True))
    known.update((r, union(known[v], ZERO)) for r, v in zip(stacked(node), loop.stacks, strict=True))


# --- the rules ---------------------------------------------------------------------------------------------------


def _const(node: Node) -> Range:
    value = node.attrs["value"]
    return Range(int(value), int(value)) if abs(value) <= EXACT and value == int(value) else ANY


def _size(node: Node) -> Range:
    total = 1
    for axis in node.attrs["axes"]:
        if not is_fixed(axis):
            return Range(0, MOST_STEPS)
        total *= _steps(axis)
    return Range(total, total)


def _cast(node: Node, x: Range) -> Range:
    exact = x.low >= -EXACT and x.high <= EXACT
    whole = node.inputs[0].type.dtype != "float" and node.types[0].dtype == "int"
    return Range(trunc(x.low), trunc(x.high)) if exact or whole else ANY


def _slice(node: Node, x: Range) -> Range:
    """Of what `draw` gives, the classes."""
    source = node.inputs[0].node
    if source.op.name == "draw" and node.attrs["stop"] <= source.attrs["count"]:
        return Range(0, source.inputs[2].type.shape[-1] - 1)
    return x


def _mul(node: Node, a: Range, b: Range) -> Range:
    ends = [x * y for x in a for y in b]
    return Range(min(ends), max(ends))


def _abs(node: Node, x: Range) -> Range:
    return x if x.low >= 0 else Range(max(0, -x.high), max(-x.low, x.high))


def _mod(node: Node, x: Range, by: Range) -> Range:
    return Range(0, by.high - 1) if by.low > 0 else ANY


def _first(node: Node, x: Range, *others: Range) -> Range:
    return x


def _or_zero(node: Node, x: Range, *others: Range) -> Range:
    return union(x, ZERO)


FLOATS = ("const", "size", "cast")
"""What gives floats whose range is sure: others may be rounded, or no number at all."""

RULES: dict[str, Rule] = {
    "const": _const, "size": _size, "cast": _cast, "slice": _slice,
    "iota": lambda node: count(node.attrs["axis"]),
    "argmax": lambda node, x: Range(0, node.inputs[0].type.shape[node.attrs.get("dim", -1)] - 1),
    "top_k": lambda node, x: Range(0, node.inputs[0].type.shape[-1] - 1),
    "add": lambda node, a, b: Range(a.low + b.low, a.high + b.high),
    "sub": lambda node, a, b: Range(a.low - b.high, a.high - b.low),
    "neg": lambda node, x: Range(-x.high, -x.low),
    "mul": _mul, "abs": _abs, "mod": _mod,
    "sign": lambda node, x: Range(-1, 1),
    "relu": lambda node, x: Range(max(x.low, 0), max(x.high, 0)),
    "minimum": lambda node, a, b: Range(min(a.low, b.low), min(a.high, b.high)),
    "maximum": lambda node, a, b: Range(max(a.low, b.low), max(a.high, b.high)),
    "where": lambda node, condition, a, b: union(a, b),
    "concat": lambda node, *parts: union(*parts),
    **dict.fromkeys(
        ("identity", "inside", "detach", "straight_through", "broadcast", "spread", "reshape", "transpose", "repeat",
         "flip", "reverse", "reverse_within", "every", "take", "pick", "entries", "max_over"), _first,
    ),
    **dict.fromkeys(
        ("shift", "last", "last_within", "place_last", "place_last_within", "place_every", "pad", "compact", "expand",
         "max_axes"), _or_zero,
    ),
}  # fmt: skip
