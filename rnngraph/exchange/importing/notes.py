"""What a user should know of an import: how data are given here that were given otherwise to the file's own model."""

from __future__ import annotations

from collections.abc import Iterator

from rnngraph.exchange.importing.description import Read
from rnngraph.exchange.importing.values import Axis


def notes(made: Read) -> Iterator[str]:
    yield from made.notes
    yield from _lengths(made)


def _lengths(made: Read) -> Iterator[str]:
    """Inputs of lengths, which are given with the sequence that they are of."""
    for port in made.inputs:
        if axis := made.lengths.get(port.ours):
            of = next(p.ours for p in made.inputs if any(isinstance(d, Axis) and d.name == axis for d in p.dims))
            also = "also " if port.ours in made.described.model.inputs else ""
            yield f"`{port.theirs}` is {also}given as `{of}.lengths`"
