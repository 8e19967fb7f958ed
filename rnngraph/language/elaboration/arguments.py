"""What a body is given: arguments meet the declared inputs, and the names of dimensions get their sizes."""

from __future__ import annotations

from itertools import combinations

from rnngraph.diagnostics.diagnostic import Label
from rnngraph.diagnostics.source import Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ir.graph import Value
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration import expressions
from rnngraph.language.elaboration.mistakes import Mistake, counted, shape_in_words
from rnngraph.language.elaboration.scope import Scope
from rnngraph.language.elaboration.values import Given, is_literal, is_number
from rnngraph.language.syntax import ast


def bind(body: Scope, given: list[Given]) -> None:
    """Binds the arguments of a call to the inputs of its body."""
    declared = [s for s in body.definition.body if isinstance(s, ast.Input)]
    arguments = _matched(body, declared, given)
    for one in declared:
        found = arguments.get(one.name)
        if found is not None:
            _bind_value(body, one, found)
        else:
            _bind_default(body, one)


def _matched(body: Scope, declared: list[ast.Input], given: list[Given]) -> dict[str, Given]:
    """Named arguments first, the others in the order of the inputs that are left."""
    title, names = body.definition.name, [d.name for d in declared]
    found: dict[str, Given] = {}
    for argument in given:
        if argument.name is None:
            continue
        if argument.name not in names:
            raise Mistake(
                "E102",
                f"`{title}` has no input `{argument.name}`",
                argument.span,
                labels=(Label(body.definition.name_span, "defined here"),),
                help=_setting_too_late(body, argument.name) or did_you_mean(argument.name, names),
            )
        if argument.name in found:
            raise given_twice(argument.name, argument.span)
        found[argument.name] = argument
    left = [n for n in names if n not in found]
    plain = [g for g in given if g.name is None]
    if len(plain) > len(left):
        raise Mistake(
            "E303",
            f"`{title}` takes {counted(len(names), 'input')}, but is given {len(given)}",
            body.called_at,
            labels=(Label(body.definition.name_span, "defined here"),),
        )
    return {**found, **dict(zip(left, plain, strict=False))}


def given_twice(name: str, at: Span) -> Mistake:
    return Mistake("E303", f"`{name}` is given twice", at)


def _setting_too_late(body: Scope, name: str) -> str:
    """For settings that are given where the instance is used."""
    if name not in {s.name for s in body.definition.settings}:
        return ""
    return f"settings are given where an instance is made: `{body.definition.name}({name} = ...)`"


def _bind_default(body: Scope, one: ast.Input) -> None:
    if one.default is None:
        raise Mistake(
            "E303",
            f"`{body.definition.name}` needs its input `{one.name}`",
            body.called_at,
            labels=(Label(one.name_span, "declared here"),),
        )
    item = expressions.one(body, one.default)
    if one.type.anything:
        value = body.trace.lift(item, one.default.span)
    else:
        shape = tuple(expressions.size(body, s) for s in one.type.sizes)
        value = body.trace.fit(item, shape, one.type.dtype, one.default.span, f"`{one.name}`")
    body.bind(one.name, value, "input", one.name_span, one.type)


def _bind_value(body: Scope, one: ast.Input, given: Given) -> None:
    trace = body.trace
    if one.type.anything:
        value = trace.lift(given.item, given.span)
        _check_axis(body, one, value, given.span)
        body.bind(one.name, value, "input", one.name_span, one.type)
        return
    if is_number(given.item) and one.type.sizes:
        _check_known(body, one, given.span)
        shape = tuple(expressions.size(body, s) for s in one.type.sizes)
        value = trace.fit(given.item, shape, one.type.dtype, given.span, f"`{one.name}`")
    else:
        value = _of_dtype(body, one, given)
    _check_axis(body, one, value, given.span)
    _check_sizes(body, one, value, given.span)
    body.bind(one.name, value, "input", one.name_span, one.type)


def _check_known(body: Scope, one: ast.Input, at: Span) -> None:
    """A number can be spread over sizes that are known; it brings none."""
    if any(isinstance(e, ast.Name) and e.name not in body.names for e in one.type.sizes):
        title = body.definition.name
        raise Mistake(
            "E204",
            f"`{one.name}` of `{title}` has {_rank(len(one.type.sizes))}, but `{at.text}` is a single number",
            at,
            labels=(Label(one.type.span, "declared here"),),
            help=f"settings are given where an instance is made, `{title}({at.text})`, values where it is used",
        )


def _of_dtype(body: Scope, one: ast.Input, given: Given) -> Value:
    value = body.trace.lift(given.item, given.span, one.type.dtype if is_literal(given.item) else None)
    if value.type.dtype != one.type.dtype and not (one.type.dtype == "float" and value.type.dtype == "int"):
        raise Mistake(
            "E202",
            f"`{one.name}` of `{body.definition.name}` is {one.type.dtype}, but `{given.span.text}` is "
            f"{value.type.dtype}",
            given.span,
            labels=(Label(one.type.span, "declared here"),),
            help=_as_dtype(one.type.dtype, given.span.text),
        )
    return body.trace.cast(value, one.type.dtype, given.span)


def _as_dtype(dtype: str, text: str) -> str:
    if dtype == "bool":
        return "a comparison gives true or false"
    declare = f"declare `{text}` as `{dtype}`, or " if text.isidentifier() else ""
    return f"{declare}write `{dtype}({text})`"


def _check_axis(body: Scope, one: ast.Input, value: Value, at: Span) -> None:
    """An input `seq` needs a sequence; a name behind `@` stands for the same axis everywhere in the body."""
    axes = [a for a in value.type.axes if a != BATCH]
    if not one.type.axes:
        stepwise = any(isinstance(s, ast.State) for s in body.definition.body)
        if axes and stepwise:
            raise _needs_unroll(body, at)
        return
    if len(axes) < len(one.type.axes):
        over = f" over {' and '.join(one.type.over)}" if len(one.type.axes) > 1 else ""
        given = f"runs over {' and '.join(axes)}" if axes else "is a single value"
        raise Mistake(
            "E305",
            f"`{one.name}` of `{body.definition.name}` is a sequence{over}, but `{at.text}` {given}",
            at,
            labels=(Label(one.type.span, "declared here"),),
        )
    for name in sorted(one.type.over, key=lambda name: name not in axes):  # first those that the value has itself
        _name_axis(body, one, name, axes, at)


def _name_axis(body: Scope, one: ast.Input, name: str, axes: list[str], at: Span) -> None:
    """From here on the name stands for one of these axes in the body, the same as for the inputs before."""
    axis = body.axes.setdefault(name, _meant(body, one, name, axes, at))
    if axis not in axes:
        raise Mistake(
            "E305",
            f"`{one.name}` of `{body.definition.name}` runs over {axis}, but `{at.text}` runs over {axes[0]}",
            at,
            labels=(Label(one.type.span, "declared here"),),
            help="give the axes of the inputs different names: `seq@a`, `seq@b`",
        )


def _meant(body: Scope, one: ast.Input, name: str, axes: list[str], at: Span) -> str:
    """Which axis of what is given a name stands for: its only one, or the one of this name."""
    free = [a for a in axes if a not in body.axes.values()] or axes
    if len(free) == 1 or name in body.axes:
        return free[0]
    if name in free:
        return name
    raise Mistake(
        "E305",
        f"`{one.name}` of `{body.definition.name}` is a sequence over {_count(one.type.axes)}, "
        f"but `{at.text}` runs over {' and '.join(axes)}",
        at,
        labels=(Label(one.type.span, "declared here"),),
        help=_ways(one, free if len(free) >= len(one.type.axes) else axes),
    )


def _count(axes: tuple[str, ...]) -> str:
    return "one axis" if len(axes) == 1 else f"{len(axes)} axes"


def _ways(one: ast.Input, axes: list[str]) -> str:
    """How the input could say which of these axes are meant."""
    ways = [f"`seq@{'@'.join(some)}`" for some in combinations(axes, len(one.type.axes))]
    return f"say which axis is meant: {', or '.join(ways[:2])}" if len(ways) > 1 else f"say which is which: {ways[0]}"


def _needs_unroll(body: Scope, at: Span) -> Mistake:
    """A cell with states was called where nothing runs step by step."""
    call = body.trace.calls[0] if body.trace.calls else at
    title = body.definition.name
    return Mistake(
        "E304",
        f"`{title}` has states and runs step by step: it cannot be applied to a whole sequence",
        call,
        help=f"write `unroll {_head(call.text, title)} over {_tail(call.text) or 'x'}`",
    )


def _head(text: str, title: str) -> str:
    """`LSTM(4)` of `LSTM(4)(x)`."""
    head = text.rpartition("(")[0]
    return head.strip() or title


def _tail(text: str) -> str:
    return text.rpartition("(")[2].rstrip(") \n")


def _check_sizes(body: Scope, one: ast.Input, value: Value, at: Span) -> None:
    shape, sizes = value.type.shape, one.type.sizes
    label = (Label(one.type.span, "declared here"),)
    if len(shape) != len(sizes):
        raise Mistake(
            "E204",
            f"`{one.name}` of `{body.definition.name}` has {_rank(len(sizes))}, but `{at.text}` has "
            f"{shape_in_words(shape)}",
            at,
            labels=label,
        )
    for size, e in zip(shape, sizes, strict=True):
        if isinstance(e, ast.Name) and e.name not in body.names:
            body.bind(e.name, size, "size", e.span)
        elif (wanted := expressions.size(body, e)) != size:
            raise Mistake(
                "E201",
                f"`{one.name}` of `{body.definition.name}` takes {_wanted(e, wanted)}, but `{at.text}` has "
                f"{shape_in_words(shape)}",
                at,
                labels=label,
            )


def _rank(rank: int) -> str:
    return "a single number" if rank == 0 else counted(rank, "dimension")


def _wanted(e: ast.Expr, size: int) -> str:
    values = counted(size, "value")
    return values if isinstance(e, ast.Number) else f"`{e.span.text}` = {values}"
