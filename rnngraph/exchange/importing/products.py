"""`a @ b` of other tools: what it is in the language depends on which dimensions are the batch and the steps."""

from __future__ import annotations

from msgspec.structs import replace

from rnngraph.exchange.importing.body import Body
from rnngraph.exchange.importing.einsum import einsum
from rnngraph.exchange.importing.shapes import broadcast, with_dims, without
from rnngraph.exchange.importing.values import BATCH, Axis, CannotSay, Dims, Value, met, sized, sizes


def product(body: Body, hint: str, a: Value, b: Value) -> Value:
    """`a @ b` as NumPy has it: matrices are the last two dimensions."""
    if len(a.dims) == 1:
        made = product(body, hint, replace(a, dims=(1, *a.dims), text=f"reshape({a.text}, [1, {sized(a.dims[0])}])"), b)
        return with_dims(made, (*made.dims[:-2], made.dims[-1]))
    inner, other = a.dims[-1], b.dims[-2] if len(b.dims) > 1 else b.dims[-1]
    met(inner, other)
    if len(b.dims) == 1:
        return body.let(hint, f"({body.text_of(a)}) @ ({body.text_of(b)})", a.dims[:-1], "float")
    lead = broadcast([a.dims[:-2], b.dims[:-2]])
    if any(n != 1 for n in sizes(b.dims[:-2])):
        return _several(body, hint, a, b)
    axes = lead if any(n != 1 for n in sizes(lead)) else tuple(d for d in lead if not isinstance(d, int))
    dims = (*axes, a.dims[-2], b.dims[-1])
    one, two = (without(v, v.dims[:-2]) if axes != lead or v is b else v for v in (a, b))
    return with_dims(_product(body, hint, one, two, dims), (*lead, a.dims[-2], b.dims[-1]))


def _several(body: Body, hint: str, a: Value, b: Value) -> Value:
    """Several matrices of one step, by those of the other side that stand at the same place."""
    letters = "abcdefghijklmnopqrstuvw"
    lead = max(len(a.dims), len(b.dims)) - 2
    one, two = (letters[lead + 2 - len(v.dims) : lead] for v in (a, b))
    return einsum(body, hint, [f"{one}xy", f"{two}yz"], f"{letters[:lead]}xz", [a, b])


def _product(body: Body, hint: str, a: Value, b: Value, dims: Dims) -> Value:
    """A matrix, vector or number of each step by another; which of them depends on what the dimensions are."""
    one, two, inner, columns = body.text_of(a), body.text_of(b), a.dims[-1], b.dims[-1]
    if isinstance(inner, Axis):
        return _over_steps(body, hint, (one, a), (two, b), inner, dims)
    if not isinstance(columns, Axis):
        return body.let(hint, f"({one}) @ ({two})", dims, "float")
    if columns in a.axes:
        raise CannotSay("it compares all steps of a sequence with each other")
    text = f"sum(({one}) * ({two}))" if isinstance(a.dims[-2], Axis) else f"({one}) @ ({two})"
    return body.let(hint, text, dims, "float")


def _over_steps(body: Body, hint: str, one: tuple[str, Value], two: tuple[str, Value], axis: Axis, dims: Dims) -> Value:
    if axis.open or axis == BATCH or axis.parts:
        raise CannotSay("it goes over the rows of the batch")
    (text, a), (other, b) = one, two
    rows, columns = a.dims[-2], b.dims[-1]
    if isinstance(rows, int) and isinstance(columns, int):
        text, other = f"reshape({text}, [{rows}, 1])", f"reshape({other}, [1, {columns}])"
    return body.let(hint, f"sum(({text}) * ({other}), axis = {axis.name})", dims, "float")
