"""The layers of a model that other tools have too, in order, with the place that each has in a stack.

A run of like cells in a pipe (`LSTM(64) >> LSTM(64)`) is one module of several layers elsewhere, and the two
cells of a `Bidirectional` are one module of two directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rnngraph.exchange.recognise import Cell, cells
from rnngraph.front.block import Block, Elaborated, Weight


@dataclass(frozen=True)
class Plain:
    """A layer without states: `Dense` (kernel, maybe bias) or `Embedding` (table)."""

    kind: str
    path: tuple[str, ...]
    weights: dict[str, str]
    """Full names by local ones."""


@dataclass(frozen=True)
class Place:
    """A layer, and where it stands: in which module, as which of its layers, in which direction."""

    layer: Cell | Plain
    module: str
    number: int = 0
    reverse: bool = False

    @property
    def name(self) -> str:
        return ".".join(self.layer.path)


def places(made: Elaborated) -> list[Place]:
    """The layers of a model that other tools know, in the order written."""
    known = {cell.path: cell for cell in cells(made)}
    return list(_of(made.block, known))


def _of(block: Block, known: dict[tuple[str, ...], Cell]) -> Iterator[Place]:
    name = ".".join(block.path)
    stack = _stack(block, known)
    if block.path in known:
        yield Place(known[block.path], name)
    elif (plain := _plain(block)) is not None:
        yield Place(plain, name)
    elif stack and block.kind == "pipe":
        yield from (Place(cell, name, i) for i, cell in enumerate(stack))
    elif len(stack) == 2 and [child.reverse for child in block.children] == [False, True]:
        yield from (Place(cell, name, 0, bool(i)) for i, cell in enumerate(stack))
    else:
        for child in block.children:
            yield from _of(child, known)


def _stack(block: Block, known: dict[tuple[str, ...], Cell]) -> list[Cell]:
    """The children where all are cells of one kind, size and options, else nothing."""
    found = [known[child.path] for child in block.children if child.path in known]
    alike = {(cell.kind, cell.units, tuple(sorted(cell.options.items()))) for cell in found}
    return found if len(found) == len(block.children) and len(alike) == 1 else []


def _plain(block: Block) -> Plain | None:
    prefix = ".".join(block.path) + "."
    local = {w.name.removeprefix(prefix): w for w in block.weights}
    names = {name: w.name for name, w in local.items()}
    if block.states or any(len(w.shape) != 2 for name, w in local.items() if name != "bias"):
        return None
    if set(local) == {"kernel"} or (set(local) == {"kernel", "bias"} and _fits(local["kernel"], local["bias"])):
        return Plain("Dense", block.path, names)
    return Plain("Embedding", block.path, names) if set(local) == {"table"} else None


def _fits(kernel: Weight, bias: Weight) -> bool:
    return bias.shape == kernel.shape[1:]
