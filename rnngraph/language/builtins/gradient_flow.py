"""Functions about how gradients flow."""

from __future__ import annotations

from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration.arithmetic import broadcasts
from rnngraph.language.elaboration.values import Item


@define("detach", "x", "same", lambda x: x)
def _(use: Use) -> Item:
    """The value, through which no gradient flows."""
    return use.op("detach", use.any("x"))


@define("straight_through", "x through", "float", lambda x, through: x)
def _(use: Use) -> Item:
    """The value of the first, with the gradient of the second."""
    x, through = use.float("x"), use.float("through")
    if not broadcasts(x.type.shape, through.type.shape):
        raise use.mistake("E201", f"{use.has_shape('x', x)} but {use.has_shape('through', through)}", "through")
    return use.op("straight_through", x, through)
