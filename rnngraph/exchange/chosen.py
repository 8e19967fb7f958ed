"""What is exported of a model: its graph for one choice of what is given, and the arrays at its borders.

At the border every array is batch-major and has the name that `run` knows it by, so that the data of `run` can
be given to what was exported. Inside, axes stand in the order of the graph's types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rnngraph.compiled import Schedule, Steps
from rnngraph.diagnostics import CannotDo, Diagnostic, UserError
from rnngraph.exchange.plain import without_early_exit
from rnngraph.front.block import Elaborated
from rnngraph.front.elaborate import elaborate
from rnngraph.ir.graph import Graph, Node, Value
from rnngraph.ir.types import BATCH, Type
from rnngraph.learn.files import Arrays
from rnngraph.learn.weights import check_weights
from rnngraph.model import Model, checked_schedule
from rnngraph.passes.pipeline import stages

LENGTHS = "lengths@"


@dataclass(frozen=True)
class Wanted:
    """What is asked for. `steps` is for static; `lengths` and `states` say whether these are inputs; `loss` whether
    the loss and the metrics are outputs too."""

    unroll: str = "dynamic"
    steps: int | None = None
    lengths: bool = False
    states: bool = True
    loss: bool = False
    dtype: str = "float32"

    @property
    def schedule(self) -> Schedule:
        return checked_schedule(self.unroll, self.steps, self.dtype, False)


@dataclass(frozen=True)
class Port:
    """An array at the border: the name it has outside, and its value in the graph."""

    name: str
    value: Value

    @property
    def order(self) -> tuple[int, ...]:
        """The axes outside, as positions inside: the batch first, then times, then what the user wrote."""
        return outside_order(self.value.type)


def outside_order(type: Type) -> tuple[int, ...]:
    axes = sorted(range(len(type.axes)), key=lambda i: type.axes[i] != BATCH)
    return (*axes, *range(len(axes), type.rank))


@dataclass(frozen=True, eq=False)
class Chosen:
    """A model with what is wanted of it, and the weights in the type of the program."""

    model: Model
    wanted: Wanted
    made: Elaborated
    weights: Arrays

    def stages(self) -> Iterator[tuple[str, Graph]]:
        """Every stage of compilation of what is wanted, by name."""
        schedule = self.wanted.schedule
        yield from stages(self.source, None, {}, schedule.unroll, Steps(schedule))

    @cached_property
    def source(self) -> Graph:
        """The elaborated graph with the outputs that are wanted, its loops running all their steps."""
        return without_early_exit(self.elaborated)

    @cached_property
    def elaborated(self) -> Graph:
        """The elaborated graph with the outputs that are wanted."""
        outputs = {
            name: value
            for name, value in self.made.graph.outputs.items()
            if name in self.made.outputs or (self.wanted.loss and not name.startswith("watch."))
        }
        return self.made.graph.with_outputs(outputs)

    @cached_property
    def graph(self) -> Graph:
        """The graph after the whole pipeline."""
        *_, (_, graph) = self.stages()
        return graph

    def inputs(self, graph: Graph) -> list[Port]:
        """What must be given, weights apart: only what something depends on, in the order declared."""
        used = {node for node in graph.nodes() if node.op.kind == "leaf"}
        ports = [
            Port(self.outside(name, value), value)
            for name, value in graph.inputs.items()
            if value.node in used and value.node.attrs["kind"] != "weight"
        ]
        names = [*(i.name for i in self.made.inputs), *(s.name for s in self.made.states)]
        place = {name: i for i, name in enumerate(names)}
        return sorted(ports, key=lambda p: place.get(p.value.node.attrs["name"], len(place)))

    def outside(self, name: str, value: Value) -> str:
        """The name of an input outside: lengths are those of the first input on the axis."""
        if name.startswith(LENGTHS):
            axis = name.removeprefix(LENGTHS)
            first = next(i.name for i in self.made.inputs if i.axis == axis and BATCH in i.type.axes)
            return f"{first}.lengths"
        return f"initial.{name.removeprefix('final.')}" if value.node.attrs["kind"] == "state" else name

    def outputs(self, graph: Graph) -> list[Port]:
        return [Port(name.removeprefix("metric."), value) for name, value in graph.outputs.items()]

    def steps_of(self, axis: str) -> int | None:
        """The number of steps of an axis where it is known, else None. `time/2` has every second step of `time`."""
        base, part, by = axis.rpartition("/")
        if part:
            whole = self.steps_of(base)
            return None if whole is None else -(-whole // int(by))
        if axis.endswith("@for") or (self.wanted.unroll == "static" and axis != BATCH):
            return self.wanted.schedule.steps_of(axis)
        return None


def bases(axis: str) -> list[str]:
    """The axes that an axis of every k-th step is made of: `time/2/3` of `time/2` and `time`."""
    words = axis.split("/")
    return ["/".join(words[:i]) for i in range(len(words) - 1, 0, -1)]


def chosen(model: Model, wanted: Wanted, weights: Mapping[str, Any]) -> Chosen:
    """The model with what is wanted. UserError where the weights do not fit it."""
    states = [s for s in model.states if s.recorded] if wanted.states else []
    _ = wanted.schedule
    made = elaborate(model.file, model.settings, model=model.name, padded=wanted.lengths, fed=states)
    return Chosen(model, wanted, made, check_weights(model.weights, weights, wanted.dtype))


def cannot_say(target: str, node: Node, why: str = "") -> UserError:
    """The error for an expression that the target has no words for."""
    words = why or f"{target} has no operation for `{node.op.name}`"
    return CannotDo(
        [
            Diagnostic(
                "E680",
                f"this cannot be exported: {words}",
                node.origin.span,
                "computed here",
                help=f"leave it out of the model that is exported, or export to another format than {target}",
            )
        ]
    )
