"""Functions along the steps of a sequence."""

from __future__ import annotations

from rnngraph.front import sequences
from rnngraph.front.builtin import Use, define
from rnngraph.front.sizes import checked_size
from rnngraph.front.values import Item


@define("shift", "x by?")
def _(use: Use) -> Item:
    value = use.trace.lift(use.given["x"].item, use.span("x"))
    return sequences.shift(use.trace, value, use.whole("by", 1), use.at, use.span("x"))


@define("last", "x")
def _(use: Use) -> Item:
    return sequences.last(use.trace, use.trace.lift(use.given["x"].item, use.span("x")), use.at, use.span("x"))


@define("reversed", "x")
def _(use: Use) -> Item:
    return sequences.reversed_(use.trace, use.trace.lift(use.given["x"].item, use.span("x")), use.at, use.span("x"))


@define("window", "x size")
def _(use: Use) -> Item:
    size = checked_size(use.whole("size", 1), use.span("size"))
    return sequences.window(use.trace, use.value("x"), size, use.at, use.span("x"))
