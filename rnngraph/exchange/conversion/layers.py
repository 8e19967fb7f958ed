"""The layers of a model that other tools have too, in order, with the place that each has in a stack.

A run of like cells in a pipe (`LSTM(64) >> LSTM(64)`) is one module of several layers elsewhere, and the two
cells of a `Bidirectional` are one module of two directions. Cells are known by their equations (`recognise`), other
layers by being instances of the library's own definitions: what a param is called says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.exchange.recognise import Cell, loops_of
from rnngraph.ir.graph import Node, loop_of
from rnngraph.language.elaboration.elaborated import Block, Elaborated
from rnngraph.language.elaboration.instantiation import snake_case

PLAIN = {"Dense": "identity", "Embedding": None, "LayerNorm": 1e-5}
"""The library's layers without states that others have, and what their one option is if nothing is written."""

Path = tuple[str, ...]


class Plain(Struct, frozen=True):
    """A layer without states: `Dense` (kernel, bias), `Embedding` (table) or `LayerNorm` (gain, offset). `weights` are
    full names by local ones; `inputs` and `units` are the sizes of a `Dense`, or rows and columns of a table."""

    kind: str
    path: Path
    inputs: int
    units: int
    weights: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The layer as it is written in the language."""
        sizes = {"Dense": [self.units], "Embedding": [self.inputs, self.units], "LayerNorm": []}[self.kind]
        options = [f"{name} = {value}" for name, value in self.options.items() if value != PLAIN[self.kind]]
        return f"{self.kind}({', '.join(map(str, [*sizes, *options]))})"

    def model_text(self, backwards: bool = False) -> str:
        """A model that runs the layer alone, as `net`, at every step, whose order means nothing to it."""
        given = "seq int" if self.kind == "Embedding" else f"seq[{self.inputs}]"
        return f"model Alone {{\n  input x: {given}\n  net = {self.text}\n  output net(x) as y\n}}\n"


class Place(Struct, frozen=True):
    """A layer, and where it stands: in which module, as which of its layers, in which direction.

    `chosen` says that the user gave its name (`reader`, not `lstm_2`), `backwards` that it runs from the last step to
    the first, `joined` that the library's `Bidirectional` is around it. `run` and `depth` are the first of a line of
    two-way modules that each read just what the one before gives, and the number of those before.
    """

    layer: Cell | Plain
    module: str
    number: int = 0
    reverse: bool = False
    chosen: bool = False
    backwards: bool = False
    joined: bool = False
    run: str = ""
    depth: int = 0

    @property
    def name(self) -> str:
        return ".".join(self.layer.path)


def places(made: Elaborated) -> list[Place]:
    """The layers of a model that other tools know, in the order written."""
    known = loops_of(made)
    cells = {path: cell for path, (cell, _) in known.items()}
    loops = {path: loop for path, (_, loop) in known.items()}
    return _in_line(list(_of(made.block, cells, False, False)), loops)


def _of(block: Block, known: Mapping[Path, Cell], backwards: bool, chosen: bool) -> Iterator[Place]:
    """Those of a block and of all that is in it: a layer that is known may hold others."""
    backwards = backwards or block.reverse
    own = known.get(block.path) or _plain(block)
    if own is not None:
        yield Place(own, ".".join(block.path), chosen=chosen, backwards=backwards)
    stack = _stack(block, known)
    for i, child in enumerate(block.children):
        inside = list(_of(child, known, backwards, chosen or _is_chosen(child, block)))
        if stack:
            inside[0] = replace(inside[0], module=".".join(block.path), **_in_stack(block, i))
        yield from inside


def _is_chosen(block: Block, above: Block) -> bool:
    """Whether an instance has a name of its own, not its definition's, its number's or that of a setting."""
    given = {snake_case(block.definition), "stack", *above.settings}
    return re.sub(r"([_.]\d+)*$", "", block.name) not in given and not block.name.isdigit()


def _in_stack(block: Block, i: int) -> dict[str, Any]:
    if block.kind == "pipe":
        return {"number": i}
    return {"reverse": bool(i), "joined": block.standard and block.definition == "Bidirectional"}


def _stack(block: Block, known: Mapping[Path, Cell]) -> bool:
    """Whether the block is layers of one module: like cells alone, in a pipe or in two directions."""
    found = [known[child.path] for child in block.children if child.path in known]
    alike = {(cell.kind, cell.units, tuple(sorted(cell.options.items()))) for cell in found}
    if len(found) != len(block.children) or len(alike) != 1:
        return False
    if block.kind == "pipe":  # a function between them has a number, and no block
        return [child.path[-1] for child in block.children] == [str(i) for i in range(len(found))]
    return [child.reverse for child in block.children] == [False, True]


def _plain(block: Block) -> Plain | None:
    if not block.standard or block.definition not in PLAIN or not block.weights:
        return None
    local = {w.name.rpartition(".")[2]: w for w in block.weights}
    first = next(iter(local.values())).shape
    options = {name: block.settings[name] for name in ("activation", "epsilon") if name in block.settings}
    names = {name: w.name for name, w in local.items()}
    return Plain(block.definition, block.path, first[0], first[-1], names, options)


def _in_line(found: list[Place], loops: Mapping[Path, Node]) -> list[Place]:
    """The two-way modules that read nothing but what another one gives, told as deeper layers of that one."""
    pairs: dict[str, list[Place]] = {}
    for place in found:
        if place.module != place.name and isinstance(place.layer, Cell):
            pairs.setdefault(place.module, []).append(place)
    two_way = {module: p for module, p in pairs.items() if [x.reverse for x in p] == [False, True]}

    def line(module: str) -> tuple[str, ...]:
        below = next((m for m, other in two_way.items() if _feeds(other, two_way[module], loops)), None)
        return (*(line(below) if below is not None else ()), module)

    lines = {module: line(module) for module in two_way}
    return [
        replace(place, run=lines[place.module][0], depth=len(lines[place.module]) - 1)
        if place.module in lines
        else place
        for place in found
    ]


def _feeds(first: list[Place], second: list[Place], loops: Mapping[Path, Node]) -> bool:
    """Whether both cells of the second read the two outputs of the first side by side, and are like its cells."""
    nodes = [loops[place.layer.path] for place in first]
    read = {s.sequence for place in second for s in loop_of(loops[place.layer.path]).slices}
    alike = {(p.layer.kind, p.layer.units, tuple(sorted(p.layer.options.items()))) for p in (*first, *second)}
    if len(read) != 1 or len(alike) != 1:
        return False
    (sequence,) = read
    return sequence.op.name == "concat" and [value.node for value in sequence.node.inputs] == nodes
