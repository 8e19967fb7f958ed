"""How a function of the language is defined: its parameters, its formula, and what a formula may ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH, is_fixed
from rnngraph.language.builtins.registry import TABLE, Function
from rnngraph.language.elaboration.arithmetic import alike, broadcasts, number_value
from rnngraph.language.elaboration.mistakes import Mistake, shape_in_words
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.sizes import checked_size
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import AxisName, Given, Item, Number, Numbers, whole_number


class Use(Struct, frozen=True):
    """One use of a function: where it stands, and what it was given by name of its parameters."""

    scope: Scope
    function: str
    at: Span
    given: dict[str, Given]

    @property
    def trace(self) -> Trace:
        return self.scope.trace

    def op(self, name: str, *values: Value, **attrs: Any) -> Value:
        return self.trace.call(name, *values, at=self.at, **attrs)

    def number(self, value: float) -> Value:
        return self.trace.const(float(value))

    def has(self, name: str) -> bool:
        return name in self.given

    def span(self, name: str) -> Span:
        return self.given[name].span

    def any(self, name: str) -> Value:
        """The argument as it is: a float, an int or a bool."""
        return self.trace.lift(self.given[name].item, self.span(name))

    def value(self, name: str) -> Value:
        """The argument to calculate with: true and false count as 1.0 and 0.0."""
        return number_value(self.trace, self.given[name].item, self.span(name))

    def float(self, name: str) -> Value:
        return self.trace.cast(self.value(name), "float", self.span(name))

    def int_value(self, name: str) -> Value:
        value = self.trace.lift(self.given[name].item, self.span(name))
        if value.type.dtype != "int":
            raise self.mistake("E202", f"`{self.span(name).text}` must be int, but it is {value.type.dtype}", name)
        return value

    def whole(self, name: str, default: int) -> int:
        if name not in self.given:
            return default
        found = whole_number(self.given[name].item)
        if found is None:
            raise self.mistake(
                "E208", f"`{name}` of `{self.function}` must be a whole number known while compiling", name
            )
        return found

    def flag(self, name: str, default: bool) -> bool:
        if name not in self.given:
            return default
        item = self.given[name].item
        if not isinstance(item, bool):
            raise self.mistake("E208", f"`{name}` of `{self.function}` is true or false, known while compiling", name)
        return item

    def keep(self) -> bool:
        """`keep = true`: the dimensions that are reduced stay, with the size 1."""
        found = self.flag("keep", False)
        if found and self.along_time():
            raise self.mistake("E204", "a time axis that was reduced cannot be kept", "keep")
        return found

    def sizes(self, name: str, least: int = 0) -> tuple[int, ...]:
        item = self.given[name].item
        found = [whole_number(n) for n in (item.items if isinstance(item, Numbers) else (item,))]
        if None in found:
            raise self.mistake("E208", f"`{name}` of `{self.function}` must be sizes, as in `[n, units]`", name)
        return tuple(checked_size(n, self.span(name), least) for n in found if n is not None)

    def along_time(self) -> bool:
        return "axis" in self.given and isinstance(self.given["axis"].item, AxisName)

    def dim(self, value: Value, name: str = "axis") -> int:
        """A feature dimension as a negative index; the last one where none is given."""
        dim, rank = self.whole(name, -1), len(value.type.shape)
        if not -rank <= dim < rank:
            where = self.span(name) if name in self.given else self.at
            raise Mistake(
                "E204",
                f"`{self.function}` is given {shape_in_words(value.type.shape)}: there is no dimension {dim}",
                where,
            )
        return dim if dim < 0 else dim - rank

    def dims(self, value: Value) -> tuple[int, ...]:
        """The dimensions that `axis = 0` or `axis = [0, 1]` says, as negative indices; all where none is given."""
        rank = len(value.type.shape)
        item = self.given["axis"].item if "axis" in self.given else Numbers(tuple(range(-rank, 0)))
        if not isinstance(item, Numbers):
            return (self.dim(value),)
        told = [whole_number(d) for d in item.items]
        if not all(d is not None and -rank <= d < rank for d in told):
            raise self.mistake("E204", f"{self.has_shape('x', value)}: these dimensions do not exist", "axis")
        found = tuple(d % rank - rank for d in told if d is not None)
        if len(set(found)) < len(found):
            raise self.mistake("E204", "a dimension is given twice", "axis")
        return found

    def time_axis(self, value: Value) -> str:
        """The time axis that `axis = NAME` means."""
        item = self.given["axis"].item
        assert isinstance(item, AxisName)
        name = self.scope.axes.get(item.name, item.name)
        if name in value.type.axes and name != BATCH:
            return name
        own = [a for a in value.type.axes if is_fixed(a)]
        if item.name == "time" and len(own) == 1:
            return own[0]  # that of a loop `for 50`, which has no name
        text, axes = self.span("x").text, [a for a in value.type.axes if a != BATCH]
        others = " or ".join(f"`axis = {a}`" for a in axes if a.isidentifier())
        unnamed = f"its axis has no name: `whole({text}, axis = steps)` gives it one" if axes else ""
        message, help = f"`{text}` is not a sequence over `{item.name}`", f"write {others}" if others else unnamed
        raise Mistake("E305", message, self.span("axis"), help=help)

    def sequence(self, value: Value) -> tuple[Value, str]:
        """What is to be gathered along the axis that `axis = NAME` means, and the axis."""
        axis = self.time_axis(value)
        return self.by_rows(value, axis), axis

    def by_rows(self, value: Value, axis: str) -> Value:
        """A sequence with a row for each example, if these may have lengths: what comes of it is of one shape then."""
        return value if is_fixed(axis) else self.trace.over_batch(value, self.at)

    def has_shape(self, name: str, value: Value) -> str:
        """`` `x` has 3 values ``, for a message."""
        return f"`{self.span(name).text}` has {shape_in_words(value.type.shape)}"

    def mistake(self, code: str, message: str, name: str) -> Mistake:
        return Mistake(code, message, self.span(name))


def define(
    name: str, parameters: str, gives: str, fold: Callable[..., Number] | None = None, further: bool = False
) -> Callable[..., Any]:
    """Adds a function to the table; `fold` is the same on numbers."""

    def add(formula: Callable[[Use], Item]) -> Callable[[Use], Item]:
        TABLE[name] = Function(name, tuple(parameters.split()), tuple(gives.split()), formula, fold, further)
        return formula

    return add


def pair(use: Use, a: str, b: str, numbers: bool = True) -> tuple[Value, ...]:
    """Two arguments as values of one dtype, whose shapes agree."""
    first, second = alike(use.trace, (use.given[a].item, use.given[b].item), (use.span(a), use.span(b)), numbers)
    if not broadcasts(first.type.shape, second.type.shape):
        raise Mistake(
            "E201",
            f"`{use.span(a).text}` has {shape_in_words(first.type.shape)} but `{use.span(b).text}` has "
            f"{shape_in_words(second.type.shape)}",
            use.at,
        )
    return first, second
