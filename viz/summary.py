"""What a model is made of: one row for each instance, its shapes, its weights, how many numbers it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from rnngraph.language.elaboration.elaborated import Block, StateVar, Weight
from rnngraph.viz.box_texts import own_name


class SummaryRow(Struct, frozen=True):
    """One instance. `values` counts its own weights; `shared` says at which steps they are used."""

    path: str
    depth: int
    name: str
    kind: str
    definition: str
    states: tuple[tuple[str, tuple[int, ...]], ...]
    weights: tuple[tuple[str, tuple[int, ...], bool], ...]
    """Name, shape, and whether it is frozen."""
    values: int
    trained: int
    shared: str


def summary(block: Block, weights: Iterable[Weight] = ()) -> tuple[SummaryRow, ...]:
    """The rows, each instance before its parts. `weights` adds those that no block of the tree names."""
    found = list(_placed(block))
    named = {weight.name for block, _, _ in found for weight in block.weights}
    first, *others = (_row(*place) for place in found)
    return (_with(first, tuple(w for w in weights if w.name not in named)), *others)


def _placed(block: Block) -> Iterator[tuple[Block, int, str]]:
    """Each instance with its depth and the axis that it is unrolled over, its own or that around it."""
    pending = [(block, 0, block.axis)]
    while pending:
        block, depth, axis = pending.pop()
        yield block, depth, axis
        pending += [(child, depth + 1, child.axis or axis) for child in reversed(block.children)]


def totals(rows: Iterable[SummaryRow]) -> dict[str, int]:
    """Numbers held in weights: all, trained, frozen."""
    rows = tuple(rows)
    values, trained = sum(row.values for row in rows), sum(row.trained for row in rows)
    return {"values": values, "trained": trained, "frozen": values - trained}


class Summary(dict[str, Any]):
    """Plain data, `blocks` and `totals`, that are a table in a notebook."""

    def _repr_html_(self) -> str:
        from rnngraph.viz.notebook_tables import summary_html

        return summary_html(self["blocks"], self["totals"])


def as_json(block: Block) -> Summary:
    """The rows and totals as plain data."""
    rows = summary(block)
    return Summary(blocks=[asdict(row) for row in rows], totals=totals(rows))


def shape_text(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _row(block: Block, depth: int, axis: str) -> SummaryRow:
    path = ".".join(block.path)
    return SummaryRow(
        path,
        depth,
        block.name,
        block.kind,
        block.definition,
        _states(block.states),
        tuple((_short(w.name, path), w.shape, w.frozen) for w in block.weights),
        sum(prod(w.shape) for w in block.weights),
        sum(prod(w.shape) for w in block.weights if not w.frozen),
        f"shared by every {axis} step" if axis and block.weights else "",
    )


def _with(row: SummaryRow, weights: tuple[Weight, ...]) -> SummaryRow:
    more = tuple((w.name, w.shape, w.frozen) for w in weights)
    values = sum(prod(w.shape) for w in weights)
    trained = sum(prod(w.shape) for w in weights if not w.frozen)
    return replace(row, weights=row.weights + more, values=row.values + values, trained=row.trained + trained)


def _states(states: Iterable[StateVar]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((own_name(state.name), state.shape) for state in states)


def _short(name: str, path: str) -> str:
    return name.removeprefix(f"{path}.") if path else name
