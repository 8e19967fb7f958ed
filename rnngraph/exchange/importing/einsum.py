"""Einstein's sums of other tools, which have letters for the batch and the steps too."""

from __future__ import annotations

from collections.abc import Sequence

from rnngraph.exchange.importing.body import Body
from rnngraph.exchange.importing.values import BATCH, Axis, CannotSay, Dim, Value, met, sized


def einsum(body: Body, hint: str, terms: Sequence[str], out: str, values: Sequence[Value]) -> Value:
    """The sum of products, a letter for each dimension: `["bhi", "bhij"]` to `bhj`."""
    dims = _dims(terms, values)
    axes = {letter: dim for letter, dim in dims.items() if isinstance(dim, Axis)}
    if len(set(axes.values())) < len(axes):
        raise CannotSay("it compares all steps of a sequence with each other")
    over = [_steps(dim) for letter, dim in axes.items() if letter not in out]

    def told(term: str) -> str:
        return " ".join(letter for letter in term if letter not in axes)

    text = f'einsum("{", ".join(map(told, terms))} -> {told(out)}", {", ".join(map(body.text_of, values))})'
    for axis in over:
        text = f"sum({text}, axis = {axis})"
    kind = max((v.dtype for v in values), key=("bool", "int", "float").index)
    return body.let(hint, text, tuple(dims[letter] for letter in out), kind)


def _dims(terms: Sequence[str], values: Sequence[Value]) -> dict[str, Dim]:
    found: dict[str, Dim] = {}
    for term, value in zip(terms, values, strict=True):
        if len(term) != len(value.dims):
            raise CannotSay("its text names another number of dimensions")
        for letter, dim in zip(term, value.dims, strict=True):
            found[letter] = met(found.get(letter, dim), dim)
    for term, value in zip(terms, values, strict=True):
        if any(isinstance(d, int) and d != found[letter] for letter, d in zip(term, value.dims, strict=True)):
            raise CannotSay("it spreads a dimension of size 1")
    return found


def _steps(dim: Axis) -> str:
    """A time axis that is summed over."""
    if dim.open:
        sized(dim)
    if dim == BATCH or dim.parts or dim.open:
        raise CannotSay("it goes over the rows of the batch")
    return dim.name
