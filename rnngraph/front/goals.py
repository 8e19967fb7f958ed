"""What a model is asked for: its outputs, its loss, its metrics."""

from __future__ import annotations

from rnngraph.front.calls import snake_case
from rnngraph.front.mistakes import Mistake, shape_in_words
from rnngraph.front.scope import Scope
from rnngraph.front.trace import Trace
from rnngraph.front.values import Item, Part, Poison, Record, free, kind_of
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.source import Span
from rnngraph.syntax import ast


def outputs(scope: Scope) -> tuple[dict[str, Value], dict[str, Span]]:
    """The model's outputs by name, 0 in the padding, and where each is written."""
    found: dict[str, Value] = {}
    spans: dict[str, Span] = {}
    for name, item, span in scope.outputs:
        with scope.trace.telling():
            for key, value in _named(name or _name_of(span), item, span):
                key = free(key, found)
                found[key], spans[key] = handed_out(scope.trace, value, span), span
    return found, spans


def handed_out(trace: Trace, value: Value, span: Span) -> Value:
    """A result as the user gets it: 0 in the padding; a sequence has a row for each example."""
    value = trace.bring(value, span)
    return trace.clean(trace.over_batch(value, span) if value.type.axes else value, span)


def _named(name: str, item: Item, span: Span) -> list[tuple[str, Value]]:
    """A value under its name; a record as one output for each state."""
    match item:
        case Record():
            return [(f"{name}.{part}", value) for part, value in item.all.items()]
        case Part():
            return [(name, item.value)]
        case Poison():
            return []
        case _ if isinstance(item, Value):
            return [(name, item)]
        case _:
            raise Mistake("E202", f"`{span.text}` is {kind_of(item)} and cannot be an output", span)


def _name_of(span: Span) -> str:
    """`y` for `y`, `final.h` for `final.h`, `argmax` for `argmax(scores)`, else `output`."""
    text = span.text.strip()
    if all(part.isidentifier() or part.isdigit() for part in text.split(".")):
        return text
    head = text.partition("(")[0].strip()
    return snake_case(head) if head.isidentifier() else "output"


def losses(scope: Scope) -> dict[str, Value]:
    """The sum of the losses, if there are any."""
    total: Value | None = None
    for s, value in scope.goals:
        if isinstance(s, ast.Loss):
            with scope.trace.telling("loss"):
                one = mean(scope.trace, value, s.value.span, "loss")
                total = one if total is None else scope.trace.call("add", total, one, at=s.span)
    return {} if total is None else {"loss": total}


def metrics(scope: Scope) -> dict[str, Value]:
    """Each under `metric.NAME`."""
    found: dict[str, Value] = {}
    for s, value in scope.goals:
        if isinstance(s, ast.Metric):
            name = free(f"metric.{s.name or _name_of(s.value.span)}", found)
            with scope.trace.telling(name):
                found[name] = mean(scope.trace, value, s.value.span, "metric")
    return found


def mean(trace: Trace, value: Value, at: Span, what: str) -> Value:
    """One number: the mean over the real steps and the batch; of what has neither, itself."""
    value = trace.cast(trace.bring(value, at), "float", at)
    if value.type.shape:
        raise Mistake(
            "E314",
            f"a {what} is one number for each example or step, but `{at.text}` has {shape_in_words(value.type.shape)}",
            at,
            help=f"write `mean({at.text})` or `sum({at.text})`",
        )
    if not value.type.axes:
        return value
    value = trace.over_batch(value, at)
    axes = value.type.axes
    total = trace.call("sum_axes", trace.clean(value, at), at=at, axes=axes)
    return trace.call("div", total, _count(trace, value, at), at=at)


def _count(trace: Trace, value: Value, at: Span) -> Value:
    """The number of real entries along the axes of a value, at least 1."""
    axes = value.type.axes
    bounded = [a for a in axes if a != BATCH and trace.bounded(value, a)]
    if value in trace.halts:
        own = trace.all_of([trace.own_steps(value, a, at) for a in bounded], at)
        own = trace.call("spread", trace.cast(own, "float", at), at=at, axes=axes)
        return _at_least_one(trace, trace.call("sum_axes", own, at=at, axes=axes), at)
    whole = tuple(a for a in axes if a not in bounded and not (a == BATCH and bounded))
    count = trace.call("size", at=at, axes=whole) if whole else None
    if bounded:
        real = trace.extent(bounded[0], at)
        for axis in bounded[1:]:
            real = trace.call("mul", real, trace.extent(axis, at), at=at)
        steps = trace.call("sum_axes", trace.cast(real, "float", at), at=at, axes=(BATCH,))
        count = steps if count is None else trace.call("mul", count, steps, at=at)
    assert count is not None
    return _at_least_one(trace, count, at)


def _at_least_one(trace: Trace, count: Value, at: Span) -> Value:
    return trace.call("maximum", count, trace.const(1.0), at=at)
