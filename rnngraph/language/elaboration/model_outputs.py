"""What a model is asked for: its outputs, its loss, its metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic, Label
from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.instantiation import snake_case
from rnngraph.language.elaboration.mistakes import Mistake, shape_in_words
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import Item, Part, Poison, Record, free_place, kind_of
from rnngraph.language.syntax import ast


class _Row(Struct, frozen=True):
    """A result, and its name: the user's own, or one made of the expression where none is `given`."""

    name: str
    given: bool
    value: Value
    span: Span


def outputs(scope: Scope) -> tuple[dict[str, Value], dict[str, Span]]:
    """The model's outputs by name, 0 in the padding and after a `stop`, and where each is written."""
    found: dict[str, Value] = {}
    spans: dict[str, Span] = {}
    rows = [row for name, item, span in scope.outputs for row in _rows(scope.trace, name, item, span)]
    for name, row in _distinct(scope.trace, rows, "handed out"):
        with scope.trace.telling():
            found[name], spans[name] = handed_out(scope.trace, row.value, row.span), row.span
    return found, spans


def own_steps(trace: Trace, outputs: Mapping[str, Value], spans: Mapping[str, Span]) -> dict[str, Value]:
    """Of each output along one axis whose rows end by something else than lengths, which steps are a row's own."""
    along = {name: [axis for axis in value.type.axes if axis != BATCH] for name, value in outputs.items()}
    ended = {name: axes[0] for name, axes in along.items() if len(axes) == 1 and trace.halts_of(outputs[name], axes[0])}
    return {n: trace.over_batch(trace.own_steps(outputs[n], axis, spans[n]), spans[n]) for n, axis in ended.items()}


def _rows(trace: Trace, name: str | None, item: Item, span: Span) -> list[_Row]:
    """A value under its name; a record as one output for each state."""
    told, given = _title(name, span)
    with trace.telling():
        return [_Row(key, given, value, span) for key, value in _named(told, item, span)]
    return []


def _distinct(trace: Trace, rows: list[_Row], what: str) -> Iterator[tuple[str, _Row]]:
    """A name for each result: the user's own, told where one comes twice; the others give way to them."""
    own: dict[str, Span] = {}
    for row in rows:
        if row.given and row.name in own:
            trace.tell(_twice(f"`{row.name}` is {what} twice", row.span, own[row.name]))
        elif row.given:
            own[row.name] = row.span
    taken: dict[tuple[str, ...], int] = {(name,): 1 for name in (LOSS, *own)}
    for row in rows:
        yield row.name if row.given else free_place((row.name,), taken)[0], row


def _twice(message: str, at: Span, first: Span) -> Diagnostic:
    help = "give one of them another name: `... as NAME`"
    return Diagnostic("E103", message, at, labels=(Label(first, "the first is here"),), help=help)


LOSS, WATCH = "loss", "watch"


def handed_out(trace: Trace, value: Value, span: Span) -> Value:
    """A result as the user gets it: 0 in the padding; a sequence has a row for each example."""
    value = trace.bring(value, span)
    return trace.clean(trace.over_batch(value, span) if value.type.axes else value, span)


def _named(name: str, item: Item, span: Span) -> list[tuple[str, Value]]:
    match item:
        case Record() if name == WATCH:
            raise Mistake("E103", f"`{WATCH}.` is the prefix of watched values: rename the record", span)
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


def _title(name: str | None, span: Span) -> tuple[str, bool]:
    """What a result is called, and whether that is a name of the user's.

    What stands behind `as`, else `y` for `y` and `final.h` for `final.h`; `argmax` for `argmax(scores)`, else `output`.
    """
    if name:
        return name, True
    text = span.text.strip()
    if all(part.isidentifier() or part.isdigit() for part in text.split(".")):
        return text, True
    head = text.partition("(")[0].strip()
    return snake_case(head) if head.isidentifier() else "output", False


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
    metrics = [(s.name, s.value.span, value) for s, value in scope.goals if isinstance(s, ast.Metric)]
    rows = [_Row(*_title(name, span), value, span) for name, span, value in metrics]
    for name, row in _distinct(scope.trace, rows, "reported"):
        with scope.trace.telling(f"metric.{name}"):
            found[f"metric.{name}"] = mean(scope.trace, row.value, row.span, "metric")
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
