"""Where the gradient through a state ends: in loops that stand in no other, at every so many steps.

What marks the place is a value without effect, `identity` with `ends`, of which `passes.truncation` makes one that no
gradient flows through. It stands between two steps of a row only: what goes through the padding, or past a `stop`,
to a row's last step or to its first value is not cut off there, so that a row is what it is alone.
"""

from __future__ import annotations

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.language.elaboration.trace import Trace


def read(trace: Trace, old: Value, at: Span) -> Value:
    """The old value of a state as a step sees it."""
    return old if trace.level.reverse else _cut_off(trace, old, at)


def written(trace: Trace, new: Value, at: Span) -> Value:
    """The new value of a state as a step hands it on. Backwards in time the next step is the one before on the axis,
    so that of a row's first step, whose number only its length tells, the old value is left as it is."""
    return _cut_off(trace, new, at) if trace.level.reverse else new


def _cut_off(trace: Trace, value: Value, at: Span) -> Value:
    if trace.truncate is None or trace.level.parent is not trace.root or value.type.dtype != "float":
        return value
    apart = trace.call("identity", value, at=at, ends=True)
    return trace.call("where", _is_border(trace, trace.truncate, at), apart, value, at=at)


def _is_border(trace: Trace, steps: int, at: Span) -> Value:
    """Whether the present step is the first of so many, on the axis, but for the first of all."""
    place, zero = trace.counter(trace.level), trace.const(0, "int")
    first = trace.call("eq", trace.call("mod", place, trace.const(steps, "int"), at=at), zero, at=at)
    return trace.call("and", first, trace.call("gt", place, zero, at=at), at=at)
