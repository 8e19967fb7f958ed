"""Functions along the steps of a sequence."""

from __future__ import annotations

from rnngraph.ir.graph import Value
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration import sequences, step_offset
from rnngraph.language.elaboration.sizes import checked_size
from rnngraph.language.elaboration.values import AxisName, Item


@define("shift", "x by? fill?", "same")
def _(use: Use) -> Item:
    value = use.any("x")
    by = use.whole("by", 1)
    shifted = sequences.shift(use.trace, value, by, use.at, use.span("x"))
    if not use.has("fill"):
        return shifted
    fill = use.trace.fit(use.given["fill"].item, value.type.shape, value.type.dtype, use.span("fill"), "`fill`")
    return sequences.filled(use.trace, shifted, fill, by, use.at)


@define("every", "x by", "same")
def _(use: Use) -> Item:
    """The steps 0, by, 2 by, ... as a sequence over an axis of its own."""
    value = use.any("x")
    by = checked_size(use.whole("by", 1), use.span("by"), least=1)
    return sequences.every(use.trace, value, sequences.axis_of(value, use.span("x")), by, use.at)


@define("whole", "x axis?", "same")
def _(use: Use) -> Item:
    """The same sequence over an axis of its own, called as said: each step of another one can see all of it."""
    value = use.any("x")
    found = sequences.every(use.trace, value, sequences.axis_of(value, use.span("x")), 1, use.at)
    if use.has("axis"):
        name = use.given["axis"].item
        if not isinstance(name, AxisName):
            raise use.mistake("E202", "`axis` of `whole` is the name of the new axis", "axis")
        use.scope.axes[name.name] = sequences.axis_of(found, use.at)
    return found


@define("position", "axis", "int")
def _(use: Use) -> Item:
    """The index of each step along an axis."""
    item = use.given["axis"].item
    if not isinstance(item, AxisName):
        raise use.mistake("E202", "`position` takes the name of an axis: `position(axis = time)`", "axis")
    axis = use.scope.axes.get(item.name, item.name)
    inputs = (v for n in use.scope.names.values() if isinstance(v := n.item, Value))
    if not any(axis in v.type.axes for v in inputs):
        raise use.mistake("E305", f"there is no sequence over `{item.name}` here", "axis")
    return step_offset.along(use.trace, axis, use.at)


def _rows(use: Use) -> Value:
    value = use.any("x")
    return use.by_rows(value, sequences.axis_of(value, use.span("x")))


@define("last", "x", "same")
def _(use: Use) -> Item:
    return sequences.last(use.trace, _rows(use), use.at, use.span("x"))


@define("reversed", "x", "same")
def _(use: Use) -> Item:
    return sequences.reversed_(use.trace, _rows(use), use.at, use.span("x"))


@define("window", "x size", "same")
def _(use: Use) -> Item:
    size = checked_size(use.whole("size", 1), use.span("size"), least=1)
    return sequences.window(use.trace, use.any("x"), size, use.at, use.span("x"))
