"""What a user should know of an import: how data are given here that were given otherwise to the file's own model."""

from __future__ import annotations

from collections.abc import Iterator

from rnngraph.exchange.importing.description import Read
from rnngraph.exchange.importing.values import Axis, Dims, name_of, turn


def notes(made: Read) -> Iterator[str]:
    yield from made.notes
    yield from _names(made)
    yield from _lengths(made)
    yield from _orders(made)


def _names(made: Read) -> Iterator[str]:
    ports = [p for p in made.inputs if p.ours in made.described.model.inputs]
    yield from (f"`{p.theirs}` is called `{p.ours}` here" for p in (*ports, *made.outputs) if p.ours != p.theirs)


def _lengths(made: Read) -> Iterator[str]:
    """Inputs of lengths, which are given with the sequence that they are of."""
    for port in made.inputs:
        if axis := made.lengths.get(port.ours):
            of = next(p.ours for p in made.inputs if any(isinstance(d, Axis) and d.name == axis for d in p.dims))
            also = "also " if port.ours in made.described.model.inputs else ""
            yield f"`{port.theirs}` is {also}given as `{of}.lengths`"


def _orders(made: Read) -> Iterator[str]:
    """Arrays whose dimensions the file has in another order."""
    for port in (*made.inputs, *made.outputs):
        ours = tuple(port.dims[i] for i in turn(port.dims))
        if ours != port.dims:
            yield f"`{port.ours}` is {_shape(ours)} here, and {_shape(port.dims)} in the file"


def _shape(dims: Dims) -> str:
    return f"({', '.join(map(name_of, dims))})"
