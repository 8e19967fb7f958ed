"""Derivatives as values of a model: inner loops that learn, penalties on gradients."""

from __future__ import annotations

from rnngraph.ir.graph import Value, ordered
from rnngraph.ir.types import BATCH
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.elaboration.mistakes import Mistake
from rnngraph.language.elaboration.values import Item
from rnngraph.passes.nested_gradients import ThroughLoop, derivative


@define("gradient", "of wrt", "float")
def _(use: Use) -> Item:
    """How one number changes with a value: as many numbers as the value has. It can be differentiated again."""
    of, wrt = _number(use), use.trace.bring(use.any("wrt"), use.span("wrt"))
    try:
        found = derivative(of, wrt) if wrt.type.dtype == "float" else None
    except ThroughLoop:
        raise use.mistake(
            "E318",
            f"`{use.span('of').text}` reads `{use.span('wrt').text}`, which is the same for all rows, in a loop",
            "wrt",
        ) from None
    if found is None:
        message = f"`{use.span('of').text}` is not computed from `{use.span('wrt').text}`"
        raise Mistake("E318", message, use.span("wrt"), help="give the second the name under which the first reads it")
    _make_known(use, found, wrt)
    return found


def _number(use: Use) -> Value:
    of = use.trace.bring(use.float("of"), use.span("of"))
    if of.type.shape:
        raise use.mistake("E314", f"{use.has_shape('of', of)}; a gradient is of one number", "of")
    if set(of.type.axes) - {BATCH}:
        text = use.span("of").text
        help = f"write `last({text})`, or `sum({text}, axis = time)`"
        raise Mistake("E314", f"`{text}` is a sequence; a gradient is of one number", use.span("of"), help=help)
    return of


def _make_known(use: Use, found: Value, wrt: Value) -> None:
    """To the trace: where the nodes stand, and which steps of a sequence are left."""
    trace = use.trace
    for node in ordered([found.node]):
        trace.home.setdefault(node, trace.level)
    trace.halt(found, trace.halts.get(wrt, ()))
