"""What is exported of a model: its graph for one choice of what is given, and the arrays at its borders.

At the border every array is batch-major and has the name that `run` knows it by, so that the data of `run` can
be given to what was exported. Inside, axes stand in the order of the graph's types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from rnngraph.compilation.calls import known_as, to_user
from rnngraph.compilation.schedule import Schedule, Steps
from rnngraph.compilation.schedule_checks import checked_schedule
from rnngraph.data.shape_checks import target
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.exchange.export.early_exit import without_early_exit
from rnngraph.exchange.export.grid_lengths import LENGTHS, axes_of_lengths, with_lengths_as_given
from rnngraph.files.safetensors import Arrays
from rnngraph.ir.graph import INPUT, LOOP, Graph, Node, Value, loop_of, ordered
from rnngraph.ir.order import Order, batch_first
from rnngraph.ir.types import BATCH, every, is_fixed, root
from rnngraph.language.elaboration.elaborated import Elaborated, StateInput
from rnngraph.language.elaboration.streamable import of_a_later_piece
from rnngraph.model import Model, refuse_unheld
from rnngraph.passes.cse import unnamed
from rnngraph.passes.empty import without_empty
from rnngraph.passes.index_checks import without_proven
from rnngraph.passes.pipeline import stages
from rnngraph.weights.checks import check_weights
from rnngraph.weights.initialisation import computed

LARGEST_FILE = 1_000_000
"""Operations of a static export at most."""


class Wanted(Struct, frozen=True):
    """What is asked for. `steps` is for static, one number or one for each axis of the data; `lengths` and `states`
    say whether these are inputs; `loss` whether the loss and the metrics are outputs too; `note` is written into the
    file."""

    unroll: str = "dynamic"
    steps: int | Mapping[str, int] | None = None
    lengths: bool = False
    states: bool = True
    loss: bool = False
    dtype: str = "float32"
    note: str = ""

    @property
    def schedule(self) -> Schedule:
        return checked_schedule(self.unroll, self.steps, self.dtype, False)


class Port(Struct, frozen=True):
    """An array at the border: the name and the axes that it has outside, its value in the graph, and whether it may be
    left out."""

    name: str
    value: Value
    axes: Order
    optional: bool = False

    @property
    def kind(self) -> str:
        """Of an input: "data", "state", "lengths" or "seed"."""
        return str(self.value.node.attrs["kind"])

    @property
    def order(self) -> tuple[int, ...]:
        """The axes outside, as positions inside, then what the user wrote."""
        return tuple(to_user(self.value.type, self.axes))


class Chosen(Struct, frozen=True, eq=False, dict=True):
    """A model with what is wanted of it, and the weights in the type of the program."""

    model: Model
    wanted: Wanted
    made: Elaborated
    weights: Arrays

    def stages(self) -> Iterator[tuple[str, Graph]]:
        """Every stage of compilation of what is wanted, by name."""
        schedule = self.wanted.schedule
        yield from stages(self.source, None, {}, schedule.unroll, Steps(schedule), watch=False)

    @cached_property
    def source(self) -> Graph:
        """The elaborated graph with the outputs that are wanted, its loops running all their steps."""
        return without_early_exit(self.elaborated)

    @cached_property
    def elaborated(self) -> Graph:
        """The elaborated graph with the outputs that are wanted. No data are looked at before it runs elsewhere."""
        outputs = {
            name: value
            for name, value in self.made.graph.outputs.items()
            if name in self.made.outputs or (self.wanted.loss and not name.startswith("watch."))
        }
        graph = with_lengths_as_given(self.made.graph.with_outputs(outputs), self.made.inputs)
        return without_empty(without_proven(graph, looked_at=False))

    @cached_property
    def graph(self) -> Graph:
        """The graph after the whole pipeline."""
        *_, (_, graph) = self.stages()
        return graph

    def inputs(self, graph: Graph) -> list[Port]:
        """What is given, weights apart: what something depends on, and what alone tells the size of an axis, in the
        order declared. Raises CannotDo where nothing tells it."""
        used = {node.attrs["name"] for node in graph.nodes() if node.op is INPUT}
        values = {name: v for name, v in graph.inputs.items() if v.node.attrs["kind"] != "weight"}
        needed = self._needed(graph, values, used)
        declared = {i.name: i.order for i in self.made.inputs}
        ports = [
            Port(self.outside(n, v), v, declared.get(n) or batch_first(v.type.axes), n not in needed)
            for n, v in values.items()
            if n in used | needed
        ]
        _refuse_one_name([port.name for port in ports])
        names = [*(i.name for i in self.made.inputs), *(s.name for s in self.made.states)]
        place = {name: i for i, name in enumerate(names)}
        return sorted(ports, key=lambda p: place.get(p.value.node.attrs["name"], len(place)))

    def _needed(self, graph: Graph, values: Mapping[str, Value], used: set[str]) -> set[str]:
        """The names of the inputs that must be given. Of those that tell a size, what has no default goes first."""
        defaults = {i.name: i.default for i in self.made.inputs}

        def rank(name: str) -> int:
            kinds = {"data": 0 if defaults.get(name) is None else 1, "state": 2, "seed": 3, "lengths": 3}
            return kinds[values[name].node.attrs["kind"]]

        needed = {n for n in values if n in used and (rank(n) == 0 or (rank(n) == 2 and self._drawn(n)))}
        missing = self.free_axes(graph) - {axis for name in needed for axis in values[name].type.axes}
        for name in sorted(values, key=lambda n: (rank(n), n not in used)):
            if rank(name) < 3 and missing & set(values[name].type.axes):
                needed.add(name)
                missing -= set(values[name].type.axes)
        if missing:
            help = "give the model an input" + (", or export it with its states as inputs" if self.made.states else "")
            raise CannotDo("no input determines the number of rows of the exported model", "E683", help=help)
        return needed

    def free_axes(self, graph: Graph) -> set[str]:
        """The axes whose sizes the data bring."""
        return {axis for axis in axes_of(graph) if self.steps_of(axis) is None and root(axis) == axis}

    def default(self, port: Port) -> float | None:
        """What an input holds that may be left out."""
        return next((i.default for i in self.made.inputs if i.name == port.name), None)

    def default_array(self, port: Port) -> Any:
        """What a port that may be left out holds then, with one row and one step; None of others."""
        if not port.optional or port.kind == "seed":
            return None
        type = port.value.type
        fixed = [self.steps_of(type.axes[i]) for i in port.order[: len(type.axes)]]
        rows = (*(1 if n is None else n for n in fixed), *type.shape)
        if port.kind == "lengths":
            return np.full(rows, np.iinfo(np.int64).max)
        if port.kind == "data":
            return np.full(rows, self.default(port), target(type.dtype, self.wanted.dtype))
        first = computed(self.first_state(port), self.weights)
        return np.broadcast_to(first, rows).astype(target(type.dtype, self.wanted.dtype))

    def first_state(self, port: Port) -> Value:
        """What a state is before the first step where it is not given, in a graph of its own."""
        return self._unfed[port.value.node.attrs["name"]]

    def _drawn(self, name: str) -> bool:
        """Whether what a state begins with depends on more than the weights: then it must be given."""
        return any(n.op is INPUT and n.attrs["kind"] != "weight" for n in ordered([self._unfed[name].node]))

    @cached_property
    def _unfed(self) -> dict[str, Value]:
        made = self.model.elaborated(self.wanted.lengths, ())
        return dict(unnamed(Graph(made.graph.inputs, {s.name: s.value for s in made.states})).outputs)

    def outside(self, name: str, value: Value) -> str:
        """The name of an input outside: lengths are those of the first input on the axes."""
        if name.startswith(LENGTHS):
            axes = tuple(axes_of_lengths(name))
            first = next(i.name for i in self.made.inputs if i.axes == axes and BATCH in i.type.axes)
            return f"{first}.lengths"
        return f"initial.{name.removeprefix('final.')}" if value.node.attrs["kind"] == "state" else name

    def outputs(self, graph: Graph) -> list[Port]:
        orders = self.made.orders
        return [Port(known_as(name, graph.outputs), value, orders[name]) for name, value in graph.outputs.items()]

    def steps_of(self, axis: str) -> int | None:
        """The number of steps of an axis where it is known, else None. `time/2` has every second step of `time`."""
        base, by = every(axis)
        if base:
            whole = self.steps_of(base)
            return None if whole is None else -(-whole // by)
        if is_fixed(axis) or (self.wanted.unroll == "static" and axis != BATCH):
            return self.wanted.schedule.steps_of(axis)
        return None


def _refuse_one_name(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"two states would both be called `{name}` in the exported file", "E684", "rename one of their records"
            )


def axes_of(graph: Graph) -> set[str]:
    """Every axis whose size something asks for, with what it is made of: `time/2/3` of `time/2` and `time`."""
    nodes = list(graph.all_nodes())
    axes = {axis for node in nodes for type in node.types for axis in type.axes}
    axes |= {loop_of(node).axis for node in nodes if node.op is LOOP}
    axes |= {axis for node in nodes for axis in node.attrs.get("axes", ())}
    return {made for axis in axes for made in _made_of(axis)}


def _made_of(axis: str) -> Iterator[str]:
    while axis:
        yield axis
        axis, _ = every(axis)


def _goes_on(model: Model, state: StateInput) -> bool:
    """Whether what a state tells can be used: a later piece of a sequence only by what can go on there."""
    return not (state.begins and of_a_later_piece(model.made, state))


def chosen(model: Model, wanted: Wanted, weights: Mapping[str, Any]) -> Chosen:
    """The model with what is wanted. UserError where the weights do not fit it, or the steps."""
    states = [s for s in model.states if s.recorded and _goes_on(model, s)] if wanted.states else []
    axes = sorted({axis for i in model.inputs for axis in i.axes})
    if wanted.unroll == "static" and wanted.steps is None and not axes:
        wanted = replace(wanted, steps={})  # the model fixes its own number of steps
    for axis in wanted.steps if isinstance(wanted.steps, Mapping) else ():
        if axis not in axes:
            help = did_you_mean(axis, axes) or f"its axes: {', '.join(f'`{a}`' for a in axes)}"
            raise UserError(f"no sequence of `{model.block.name}` runs over `{axis}`", "E601", help)
    model.refuse_too_long(wanted.schedule)
    _refuse_too_large(model, wanted.schedule)
    made = model.elaborated(wanted.lengths, states)
    refuse_unheld(made, wanted.dtype)
    return Chosen(model, wanted, made, check_weights(model.weights, weights, wanted.dtype))


def _refuse_too_large(model: Model, schedule: Schedule) -> None:
    """CannotDo where the file of a static export would be larger than any tool reads."""
    nodes = model.static_nodes(schedule) if schedule.static else 0
    if nodes > LARGEST_FILE:
        raise CannotDo(
            f"a static export of this many steps would have about {nodes:,} operations",
            "E504",
            help=f"choose fewer steps, for at most {LARGEST_FILE:,}, or `--unroll dynamic`",
        )


_CALLED = {
    "uniform": "random numbers",
    "unpatch": "the gradient of windows, as of `conv2d`",
    "ctc_gradient": "the gradient of `ctc_loss`",
}
"""What users know operations as that have no name in the language."""


def cannot_say(target: str, node: Node, other: str = "") -> UserError:
    """The error for an expression that the target has no words for; `other` is one that has."""
    message = f"this cannot be exported: {target} has no operation for {_CALLED.get(node.op.name, f'`{node.op.name}`')}"
    help = "leave it out of the model that is exported" + (f", or export to {other}" if other else "")
    return CannotDo([Diagnostic("E680", message, node.origin.span, "computed here", help=help)])
