"""What products of a cell read where a wrapper puts a rule in between: of its states, or of the weights beside them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from itertools import accumulate
from typing import Any, Protocol

from msgspec import Struct, field

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Node, Rewriter, Value, ordered, rebuilt
from rnngraph.language.elaboration.loop_levels import Level, Place
from rnngraph.ops import TABLE


class Building(Protocol):
    """The graph under construction, as far as a rule looks at it: see `trace.Trace`."""

    home: dict[Node, Level]

    def at(self, level: Level) -> AbstractContextManager[None]: ...

    def reading(self, readings: tuple[()]) -> AbstractContextManager[None]: ...

    def call(self, op: str, *operands: Value, at: Span, **attrs: Any) -> Value: ...


class Product(Struct, frozen=True):
    """Two operands with letters for their dimensions, and where they are multiplied."""

    a: Value
    b: Value
    left: str
    right: str
    at: Span

    @property
    def operands(self) -> tuple[Value, Value]:
        return self.a, self.b


class Rule(Struct, eq=False):
    """The rule of one wrapper, for the states of those at `places` from `first` on."""

    level: Level
    places: list[Place]
    first: int
    rule: Callable[[Value], Value]
    products: set[Node] = field(default_factory=set)
    """Made already, of what they should read: nothing behind them is looked at again."""
    made: dict[Hashable, Value] = field(default_factory=dict)
    """What the rule has made, by what that stands for."""

    @property
    def own(self) -> list[Place]:
        return self.places[self.first :]

    def settled(self) -> set[Value]:
        """What is no old state any more: products, and new values of states."""
        old = {p.old.node for p in self.own}
        news = {v.node for p in self.own for v in p.news} - old
        return {v for node in (*self.products, *news) for v in node.values}

    def operands(self, trace: Building, product: Product) -> tuple[Value, Value]:
        """What the product is made of instead."""
        raise NotImplementedError


class Reading(Rule, eq=False):
    """Products read `rule(old)` in place of old states."""

    def operands(self, trace: Building, product: Product) -> tuple[Value, Value]:
        return self.of(trace, product.a), self.of(trace, product.b)

    def of(self, trace: Building, value: Value) -> Value:
        """The value, made of what the rule makes of old states. A new value of a state is as it is."""
        if trace.home[value.node] is not self.level:
            return value
        rewriter = Rewriter(lambda node, inputs: self._remade(trace, node, inputs))
        rewriter.map |= {v: v for v in self.settled()}
        return rewriter.run((value,))[0]

    def _remade(self, trace: Building, node: Node, inputs: tuple[Value, ...]) -> Node | tuple[Value, ...]:
        if any(node is p.old.node for p in self.own):
            return (self._handed(trace, Value(node)),)
        if inputs == node.inputs:
            return node.values
        new = rebuilt(node, inputs)
        trace.home[new] = self.level
        return new

    def _handed(self, trace: Building, old: Value) -> Value:
        """What stands for the old value of a state; of what is no float, itself."""
        if old.type.dtype == "float" and old not in self.made:
            with trace.at(self.level), trace.reading(()):
                self.made[old] = self.rule(old)
        return self.made.get(old, old)


class Reweighing(Rule, eq=False):
    """Products of old states use `rule(weights)`: of a weight, the part that meets the state, which is known by its
    dimension and place there."""

    def operands(self, trace: Building, product: Product) -> tuple[Value, Value]:
        a, b, left, right = product.a, product.b, product.left, product.right
        if _is_weight(b) and not _is_weight(a):
            return a, self._of(trace, b, right, a, left, product.at)
        if _is_weight(a) and not _is_weight(b):
            return self._of(trace, a, left, b, right, product.at), b
        return a, b

    def _of(self, trace: Building, weight: Value, own: str, value: Value, letters: str, at: Span) -> Value:
        runs = list(self._runs(trace, value))
        if not any(old for _, old in runs):
            return weight
        dim = own.find(letters[-1:])
        if all(old for _, old in runs) or dim < 0:
            return self._made(trace, weight, 0, 0, weight.type.shape[0], at)
        ends = list(accumulate(size for size, _ in runs))
        parts = []
        for end, (size, old) in zip(ends, runs, strict=True):
            make = self._made if old else _cut
            parts.append(make(trace, weight, dim, end - size, end, at))
        return trace.call("concat", *parts, at=at, dim=dim)

    def _made(self, trace: Building, weight: Value, dim: int, start: int, stop: int, at: Span) -> Value:
        key = (weight, dim, start, stop)
        if key not in self.made:
            with trace.at(self.level), trace.reading(()):
                self.made[key] = self.rule(_cut(trace, weight, dim, start, stop, at))
        return self.made[key]

    def _runs(self, trace: Building, value: Value) -> Iterator[tuple[int, bool]]:
        """Of the entries along the last dimension how many, one after another, are of an old state or are not."""
        node, settled = value.node, self.settled()
        here = trace.home[node] is self.level and value not in settled
        if here and node.op is TABLE["concat"] and node.attrs["dim"] in (-1, len(value.type.shape) - 1):
            for part in node.inputs:
                yield from self._runs(trace, part)
        elif here and node.op is TABLE["patches"]:
            yield from self._runs(trace, node.inputs[0])
        else:
            old = {p.old.node for p in self.own if p.param.type.dtype == "float"}
            yield value.type.shape[-1], here and any(n in old for n in ordered([node], settled))


def _cut(trace: Building, weight: Value, dim: int, start: int, stop: int, at: Span) -> Value:
    if (start, stop) == (0, weight.type.shape[dim]):
        return weight
    return trace.call("slice", weight, at=at, dim=dim - len(weight.type.shape), start=start, stop=stop)


def _is_weight(value: Value) -> bool:
    """Whether it is made of weights, and the same for all rows and steps."""
    leaves = (v for n in ordered([value.node]) if n.op.kind == "leaf" for v in n.values)
    return not value.type.axes and any(v.type.dtype == "float" for v in leaves)
