"""Values side by side as one with a dimension more, and as the steps of a sequence."""

from __future__ import annotations

from rnngraph.ir.graph import Value
from rnngraph.ir.types import FIXED, is_fixed, size_of
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration.arithmetic import alike
from rnngraph.language.elaboration.mistakes import Mistake, shape_in_words
from rnngraph.language.elaboration.sequences import axis_of, own_axis
from rnngraph.language.elaboration.values import Item


@define("stack", "x*", "same")
def _(use: Use) -> Item:
    """Values of one shape as the rows of one with a dimension more, the first."""
    return _stacked(use)


@define("rows", "x", "same")
def _(use: Use) -> Item:
    """The rows of a matrix as the steps of a sequence."""
    return _rows(use, use.any("x"))


@define("sequence", "x*", "same")
def _(use: Use) -> Item:
    """Values of one shape as the steps of a sequence."""
    return _rows(use, _stacked(use))


@define("steps", "x", "same")
def _(use: Use) -> Item:
    """The steps of a sequence whose number is fixed as the rows of a matrix."""
    value = use.any("x")
    axis = _fixed_axis(use, value)
    if use.trace.halts_of(value, axis):
        value = use.trace.clean(value, use.at)
    return use.op("steps", value, axis=axis, size=size_of(axis, lambda _: 0))


def _fixed_axis(use: Use, value: Value) -> str:
    """The one axis of a sequence that has a fixed number of steps."""
    fixed = [a for a in value.type.axes if is_fixed(a)]
    if len(fixed) == 1:
        return fixed[0]
    if not fixed and axis_of(value, use.span("x")):
        raise Mistake(
            "E203",
            f"how many steps `{use.span('x').text}` has is known only when the model is run",
            use.span("x"),
            help="`steps` takes a sequence of a fixed number of steps, as `unroll ... for 4` gives",
        )
    raise use.mistake("E305", f"`{use.span('x').text}` runs over {' and '.join(fixed)}: one axis is needed", "x")


def _stacked(use: Use) -> Value:
    given = list(use.given.values())
    values = alike(use.trace, tuple(g.item for g in given), tuple(g.span for g in given), numbers=False)
    shape = values[0].type.shape
    for value, one in zip(values, given, strict=True):
        if value.type.shape != shape:
            raise Mistake(
                "E201",
                f"`{given[0].span.text}` has {shape_in_words(shape)}, but `{one.span.text}` has "
                f"{shape_in_words(value.type.shape)}",
                one.span,
            )
    layers = [use.op("reshape", v, shape=(1, *shape)) for v in values]
    return layers[0] if len(layers) == 1 else use.op("concat", *layers, dim=-len(shape) - 1)


def _rows(use: Use, value: Value) -> Value:
    if not value.type.shape:
        raise use.mistake("E204", f"{use.has_shape('x', value)}, which has no rows", "x")
    axis = own_axis(use.trace, f"{value.type.shape[0]}{FIXED}", value.type.axes)
    return use.op("rows", value, axis=axis)
