"""What elaboration hands on: the graph with its loops, and the tree of instances that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.source import Source, Span
from rnngraph.ir.graph import Graph, Value
from rnngraph.ir.order import Order
from rnngraph.ir.types import BATCH, Type


class Initial(Struct, frozen=True):
    """How a weight begins: an initialiser by its usual name with its numbers; `constant` for a number.

    `computed` has a `value` in the graph, over weights alone, each of which stands before this one, and over what is
    drawn for it: `draws`, by the names of their inputs.
    """

    name: str
    arguments: Mapping[str, float] = field(default_factory=dict)
    value: Value | None = None
    draws: tuple[Drawn, ...] = ()


class Drawn(Struct, frozen=True):
    """An array that an initialiser draws, of this name."""

    name: str
    shape: tuple[int, ...]
    initial: Initial


class Weight(Struct, frozen=True):
    """A trained array (or a frozen one), under its full name (`encoder.kernel`)."""

    name: str
    shape: tuple[int, ...]
    initial: Initial
    frozen: bool
    span: Span | None


class StateVar(Struct, frozen=True):
    """A state of one instance, named from the unrolled cell on (`0.c`)."""

    name: str
    shape: tuple[int, ...]
    span: Span | None


class Block(Struct, frozen=True):
    """One instance of a cell, layer or model. `path` joined by dots begins the names of its weights.

    `axis` is the time axis that this instance is unrolled over, where it is itself the cell of an `unroll`.
    `standard` says that the definition is the library's own, not one of the file that bears the same name;
    `settings` are those that it was made with, functions by name.
    """

    name: str
    path: tuple[str, ...]
    kind: str
    definition: str
    weights: tuple[Weight, ...]
    states: tuple[StateVar, ...]
    children: tuple[Block, ...]
    span: Span | None
    axis: str = ""
    reverse: bool = False
    standard: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


class DataInput(Struct, frozen=True):
    """An array that the user gives. `axes` are the time axes of a sequence, in the order of the array's dimensions."""

    name: str
    type: Type
    axes: tuple[str, ...]
    span: Span | None
    default: float | None = None

    @property
    def order(self) -> Order:
        """All axes in the order of the array's dimensions: the batch, then those of time."""
        return (*(BATCH,) * (BATCH in self.type.axes), *self.axes)


class StateInput(Struct, frozen=True):
    """A state that may be given with the data under the name of the final state (`final.h`).

    `value` is its first value in the graph: an input where it is fed, else what the cell says; `final` is its last
    one. `axis` is that of its loop, which is written at `loop`. Beside the states of a cell there are `final.stop`,
    whether a row has stopped, and the one that `begins` a piece: `final.t`, how many steps of a row are over, a
    multiple of `stride`.
    """

    name: str
    type: Type
    value: Value
    span: Span | None
    final: Value
    axis: str
    loop: Span
    begins: bool = False
    stride: int = 1

    @property
    def record(self) -> str:
        """What the model calls the final states of its loop."""
        return self.name.partition(".")[0]

    @property
    def recorded(self) -> bool:
        """Whether it stands in a record. Of a model that has none along an axis, `t@time` is the only one."""
        return "@" not in self.name


class Elaborated(Struct, frozen=True, eq=False, weakref=True):
    """A model made into a graph, for one choice of settings and of what is given.

    The graph's inputs are the data by name, the weights by full name, fed states by name (`final.h`),
    the lengths of each time axis as `lengths@AXIS` (batch-axis ints; only where `padded`), and `seed`
    (an int, only where something random is used). Its outputs are the model's by name (`y`, `final.h`),
    then `loss` (one float: mean over real steps and batch, added up), `metric.NAME`, `watch.NAME`.
    """

    graph: Graph
    block: Block
    inputs: tuple[DataInput, ...]
    weights: tuple[Weight, ...]
    states: tuple[StateInput, ...]
    outputs: tuple[str, ...]
    """The names of the model's own outputs, in the order written."""
    recipe: Mapping[str, Any]
    """The `train` block: `optimizer` -> (name, {argument: number}), other options -> number."""
    schedule: Mapping[str, Any]
    warnings: tuple[Diagnostic, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    output_spans: Mapping[str, Span] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    """All that was read for it, the file that was named first."""
    sources: tuple[Source, ...] = ()
    """Their texts."""
    watchable: tuple[str, ...] = ()
    """The full names of what can be recorded at every step."""
    orders: Mapping[str, Order] = field(default_factory=dict)
    """Of each output and final state its axes as the user meets them: the batch, then those of time."""
    own_steps: Mapping[str, Value] = field(default_factory=dict)
    """Of each output along one axis whose rows end by something else than lengths, as by a `stop`, which steps are a
    row's own."""
