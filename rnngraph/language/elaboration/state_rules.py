"""What products read of the states of a cell, where a wrapper puts a rule in between."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from rnngraph.ir.graph import Node, Rewriter, Value, rebuilt
from rnngraph.language.elaboration.loop_levels import Level, Place


class Building(Protocol):
    """The graph under construction, as far as a rule looks at it: see `trace.Trace`."""

    home: dict[Node, Level]

    def at(self, level: Level) -> AbstractContextManager[None]: ...

    def reading(self, readings: tuple[()]) -> AbstractContextManager[None]: ...


@dataclass(eq=False)
class Reading:
    """The rule of one wrapper, for the states of those at `places` from `first` on."""

    level: Level
    places: list[Place]
    first: int
    rule: Callable[[Value], Value]
    read: dict[Value, Value] = field(default_factory=dict)
    """Old values of states that a product has asked for, and what it reads instead."""
    products: set[Node] = field(default_factory=set)
    """Made already, of what they should read: nothing behind them is looked at again."""

    def of(self, trace: Building, value: Value) -> Value:
        """The value, made of what the rule makes of old states. A new value of a state is as it is."""
        if trace.home[value.node] is not self.level:
            return value
        rewriter = Rewriter(lambda node, inputs: self._remade(trace, node, inputs))
        own = self.places[self.first :]
        old = {p.param.node for p in own}
        news = {p.next.node for p in own if isinstance(p.next, Value)} - old
        rewriter.map |= {v: v for node in (*self.products, *news) for v in node.values}
        return rewriter.run((value,))[0]

    def _remade(self, trace: Building, node: Node, inputs: tuple[Value, ...]) -> Node | tuple[Value, ...]:
        if any(node is p.param.node for p in self.places[self.first :]):
            return (self._handed(trace, Value(node)),)
        if inputs == node.inputs:
            return node.values
        new = rebuilt(node, inputs)
        trace.home[new] = self.level
        return new

    def _handed(self, trace: Building, param: Value) -> Value:
        """What stands for the old value of a state; of what is no float, itself."""
        if param.type.dtype == "float" and param not in self.read:
            with trace.at(self.level), trace.reading(()):
                self.read[param] = self.rule(param)
        return self.read.get(param, param)
