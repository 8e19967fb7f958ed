"""A compiled program as the user holds it: graph, program, plan and arrays, made as they are needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from rnngraph.diagnostics import CannotDo, Diagnostic, UserError, did_you_mean
from rnngraph.front.block import Elaborated
from rnngraph.ir.graph import Graph, Value, graph_input
from rnngraph.ir.types import BATCH, Type, size_of
from rnngraph.learn.checks import Checked, check_data
from rnngraph.learn.fit_labels import refuse_long_labels
from rnngraph.ops import const
from rnngraph.passes.alignments import Alignment, alignments
from rnngraph.passes.bounds import bounds
from rnngraph.passes.pipeline import stages
from rnngraph.program.lower import lower
from rnngraph.program.memory import Plan, plan
from rnngraph.program.program import Program
from rnngraph.program.room import refuse_if_too_large
from rnngraph.runtime.backend import Backend
from rnngraph.runtime.execute import Bound
from rnngraph.schedule.cut import Cut, cut
from rnngraph.schedule.keep import ALL, Keep, course
from rnngraph.schedule.parts import Part, part
from rnngraph.schedule.stages import Way, ways, why_not
from rnngraph.schedule.walk import Walker, Walking, walking

Arrays = dict[str, Any]
Elaborate = Callable[[bool, frozenset[str]], Elaborated]


@dataclass(frozen=True)
class Schedule:
    """How a model is run: what is outside the file and changes only the cost.

    `unroll` is "static", "dynamic" or the number of steps in one turn of the loop; `steps` the number of steps of
    a static program, one number or one for each time axis; `gradient` False, True, or "weights" where the
    gradients of data and states are not wanted.
    """

    unroll: str | int = "dynamic"
    steps: int | Mapping[str, int] | None = None
    dtype: str = "float64"
    gradient: bool | str = False
    keep: Keep = ALL
    """What is kept for the way back, and what is computed again."""

    @property
    def static(self) -> bool:
        return self.unroll == "static"

    def steps_of(self, axis: str) -> int:
        return size_of(axis, self._given_steps)

    def _given_steps(self, axis: str) -> int:
        if isinstance(self.steps, Mapping):
            if axis not in self.steps:
                raise UserError(f"a static program needs a number of steps for the axis `{axis}`", "E601")
            return self.steps[axis]
        assert self.steps is not None
        return self.steps


@dataclass(frozen=True)
class Signature:
    """What was given: lengths or not, which states, and cotangents of which outputs (None: forward alone)."""

    padded: bool = False
    fed: frozenset[str] = frozenset()
    cotangents: tuple[str, ...] | None = None


class Steps(dict[str, int]):
    """The number of steps of each axis of a static program, asked of its schedule."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule

    def __missing__(self, axis: str) -> int:
        return self.schedule.steps_of(axis)


@dataclass(frozen=True, eq=False)
class Variant:
    """The program for one signature. Plans and arrays are kept for the sizes last used."""

    elaborated: Elaborated
    schedule: Schedule
    signature: Signature
    backend: Backend
    _bound: dict[tuple[tuple[str, int], ...], Bound | Walker] = field(default_factory=dict)
    _parts: dict[tuple[Way, str, int], Part] = field(default_factory=dict)

    def stages(self) -> Iterator[tuple[str, Graph]]:
        """Every stage of compilation by name, from the elaborated graph on."""
        made, signature = self.elaborated, self.signature
        graph, cotangents, wrt = made.graph, None, dict[str, Value]()
        if signature.cotangents is not None:
            graph, cotangents = with_cotangents(graph, signature.cotangents)
            wrt = _wanted(made, self.schedule.gradient)
        yield from stages(graph, cotangents, wrt, self.schedule.unroll, Steps(self.schedule))

    @cached_property
    def graph(self) -> Graph:
        """The graph as it is lowered."""
        *_, (_, graph) = self.stages()
        return graph

    @cached_property
    def program(self) -> Program:
        return self.backend.adapted(lower(self.graph), self.schedule.dtype)

    @cached_property
    def _given(self) -> dict[str, str]:
        """What the graph reads from outside, by name, with its kind."""
        return {n.attrs["name"]: n.attrs["kind"] for n in self.looped.nodes() if n.op.name == "input"}

    @property
    def inputs(self) -> list[str]:
        return [name for name, kind in self._given.items() if kind != "weight"]

    @property
    def weights(self) -> list[str]:
        return [name for name, kind in self._given.items() if kind == "weight"]

    def plan(self, sizes: Mapping[str, int]) -> Plan | Walking:
        """Everything about the memory of a run, before it."""
        if self.walks:
            return self.walking(sizes)
        return plan(self.program, self.all_sizes(sizes), self.schedule.dtype)

    def all_sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The sizes of the data's axes, and of those that the model fixes."""
        graph = self.looped if self.walks else None
        axes = {a for slot in self.program.slots for a in slot.type.axes} if graph is None else axes_of(graph)
        derived = {axis: size_of(axis, sizes.__getitem__) for axis in axes if axis not in sizes}
        return {**sizes, **derived}

    def bound(self, sizes: Mapping[str, int]) -> Bound | Walker:
        """The program with arrays for these sizes; those of the sizes before are given back."""
        key = tuple(sorted(sizes.items()))
        if key not in self._bound:
            self._bound.clear()
            made = self.plan(sizes)
            if isinstance(made, Plan):
                refuse_if_too_large(self.program, made, self.backend.free_bytes(), self.schedule.static)
            self._bound[key] = self.with_arrays(made, self.backend)
        return self._bound[key]

    def with_arrays(self, made: Plan | Walking, backend: Backend) -> Bound | Walker:
        """What was planned, with arrays."""
        if isinstance(made, Plan):
            return self.backend.bound(self.program, made, backend)
        return Walker(made, backend)

    def graphs(self, sizes: Mapping[str, int]) -> list[Graph]:
        """The graphs that are lowered for these sizes."""
        made = self.plan(sizes)
        return [self.graph] if isinstance(made, Plan) else [part.graph for part in made.parts.values()]

    # --- a few steps at a time ---

    @property
    def walks(self) -> bool:
        """Whether steps are computed a few at a time, some of them again."""
        return self.schedule.keep != ALL and self.signature.cotangents is not None

    @cached_property
    def looped(self) -> Graph:
        """The last stage that has loops, whatever the mode."""
        return dict(self.stages())["units"]

    @cached_property
    def cuts(self) -> dict[Way, tuple[int, Cut]]:
        """The graph cut for each way to walk along an axis, and how much is kept on it for a step."""
        found = ways(self.looped)
        if not found:
            raise no_walk(self.looped, self.schedule.keep)
        return {way: (kept, cut(self.looped, way)) for way, kept in found.items()}

    def walking(self, sizes: Mapping[str, int]) -> Walking:
        """Everything about a run by the schedule, on the way where the most is kept."""
        sizes = self.all_sizes(sizes)
        way = max(self.cuts, key=lambda w: sizes[w.axis] * self.cuts[w][0])
        return walking(
            self.cuts[way][1],
            course(self.schedule.keep, sizes[way.axis], sizes.get(BATCH, 1), way.reverse),
            lambda kind, n: self.part(way, kind, n),
            lambda part, sizes: plan(part.program, sizes, self.schedule.dtype),
            sizes,
            self.schedule.dtype,
        )

    def part(self, way: Way, kind: str, n: int) -> Part:
        """A part of the cut: `whole` and its stage, or what is computed of a chunk and of how many steps."""
        cut, static, walk = self.cuts[way][1], self.schedule.static, kind != "whole"
        key = (way, kind, n if static or not walk else 0)
        if key not in self._parts:
            graph = getattr(cut, kind) if walk else cut.wholes[n]
            steps = Steps(self.schedule)
            if walk:
                steps[way.axis] = n
            plain = part(graph, way.axis, self.schedule.unroll, steps, walk)
            adapted = self.backend.adapted(plain.program, self.schedule.dtype)
            self._parts[key] = replace(plain, program=adapted)
        return self._parts[key]


def no_walk(graph: Graph, keep: Keep) -> CannotDo:
    """Why no loop of a graph can be computed again, with the line of one that cannot."""
    loop = next((n for n in graph.nodes() if n.op.kind == "loop"), None)
    reason = why_not(loop) if loop else "the model has no loop whose steps could be computed again"
    span = loop.origin.span if loop else None
    return CannotDo([Diagnostic("E614", f"`--keep {keep}`: {reason}", span, help="`--keep all` runs any model")])


def axes_of(graph: Graph) -> set[str]:
    """Every axis that a value of a graph has, or a loop runs along."""
    nodes = list(graph.all_nodes())
    loops = {node.attrs["loop"].axis for node in nodes if node.op.kind == "loop"}
    return loops | {axis for node in nodes for type in node.types for axis in type.axes}


def with_cotangents(graph: Graph, names: tuple[str, ...]) -> tuple[Graph, dict[Value, Value]]:
    """The graph with an input for the cotangent of each named output; the loss's own is one."""
    inputs, pairs = dict(graph.inputs), {}
    for name in names:
        value = graph.outputs[name]
        if name == "loss":
            pairs[value] = const(1.0)
        else:
            pairs[value] = inputs[f"cot:{name}"] = graph_input(f"cot:{name}", "cotangent", value.type)
    return Graph(inputs, graph.outputs), pairs


def _wanted(made: Elaborated, gradient: bool | str) -> dict[str, Value]:
    inputs = made.graph.inputs
    wrt = {w.name: inputs[w.name] for w in made.weights if not w.frozen and w.name in inputs}
    if gradient == "weights":
        return wrt
    wrt |= {i.name: inputs[i.name] for i in made.inputs if i.type.dtype == "float" and i.name in inputs}
    return wrt | {s.name: s.value for s in made.states if s.type.dtype == "float"}


class CompiledProgram:
    """A model compiled for one schedule. A static program is for one number of steps; a dynamic one runs any."""

    def __init__(self, elaborate: Elaborate, schedule: Schedule, backend: Backend) -> None:
        self._elaborate, self.schedule, self.backend = elaborate, schedule, backend
        self._variants: dict[Signature, Variant] = {}
        began = time.perf_counter()
        self.made = elaborate(False, frozenset())
        main = self.variant(Signature(cotangents=self._loss() if schedule.gradient else None))
        _ = main.cuts if main.walks else main.program
        self.compile_seconds = time.perf_counter() - began
        self.main = main

    def variant(self, signature: Signature) -> Variant:
        """The program for what is given, compiled at its first use."""
        if signature not in self._variants:
            made = self.made
            if signature.padded or signature.fed:
                made = self._elaborate(signature.padded, signature.fed)
            self._variants[signature] = Variant(made, self.schedule, signature, self.backend)
        return self._variants[signature]

    @property
    def graph(self) -> Graph:
        """The final graph: loops where dynamic, plain nodes where static."""
        return self.main.graph

    def _loss(self) -> tuple[str, ...] | None:
        return ("loss",) if "loss" in self.made.graph.outputs else None

    # --- running ---

    def run(self, data: Mapping[str, Any], weights: Mapping[str, Any]) -> Arrays:
        """Every output, final state, loss and metric by name.

        `data` are batch-major arrays, `x` (batch, time, ...), `x.lengths` (batch,), initial states under the names of
        the final ones. Raises UserError with everything that does not fit.
        """
        variant, results = self._call(data, weights, None)
        return self._results(variant, results)

    def gradients(
        self, data: Mapping[str, Any], weights: Mapping[str, Any], cotangents: Mapping[str, Any] | None = None
    ) -> tuple[float, Arrays]:
        """The loss, and its gradient with respect to every weight, float input and initial state.

        A frozen weight has none.

        With `cotangents` (arrays shaped like the outputs they are named for) the loss is the sum of output times
        cotangent.
        """
        if not self.schedule.gradient:
            raise UserError("the program was compiled without gradients", "E602", "compile with gradient=True")
        if cotangents is None and self._loss() is None:
            raise UserError(
                "the model has no loss to differentiate",
                "E603",
                "add a `loss`, or give cotangents for its outputs",
            )
        variant, results = self._call(data, weights, cotangents)
        grads = {n.removeprefix("grad:"): a for n, a in results.items() if n.startswith("grad:")}
        types = {n: _type_of(variant, f"grad:{n}") for n in grads}
        found = {n: _to_user(self.backend.fetch(a), types[n]) for n, a in grads.items()}
        plain = self._results(variant, results)
        if cotangents is None:
            return float(plain["loss"]), found
        return float(sum(np.sum(plain[n] * np.asarray(c)) for n, c in cotangents.items())), found

    def check(self, data: Mapping[str, Any]) -> Checked:
        """The data as the program takes it; UserError with everything that does not fit."""
        made = self.made
        steps = self.schedule.steps if self.schedule.static else None
        checked = check_data(
            made.inputs,
            made.states,
            data,
            steps=steps,
            bounds=self._bounds,
            dtype=self.schedule.dtype,
            need=self.needed,
        )
        refuse_long_labels(self._alignments, checked)
        return checked

    @cached_property
    def _bounds(self) -> dict[str, int]:
        return bounds(self.made.graph)

    @cached_property
    def _alignments(self) -> tuple[Alignment, ...]:
        return alignments(self.made.graph)

    @cached_property
    def needed(self) -> list[str]:
        """The inputs that must be given: those that what is asked for depends on."""
        used = {node.attrs["name"] for node in self.made.graph.nodes() if node.op.name == "input"}
        return [i.name for i in self.made.inputs if i.name in used and i.default is None]

    def _call(
        self, data: Mapping[str, Any], weights: Mapping[str, Any], cotangents: Mapping[str, Any] | None
    ) -> tuple[Variant, Arrays]:
        checked = self.check(data)
        given = tuple(cotangents) if cotangents is not None else self._loss()
        wanted = given if self.schedule.gradient and (cotangents is not None or self._loss()) else None
        self._known(wanted or ())
        variant = self.variant(Signature(bool(checked.lengths), frozenset(checked.states), wanted))
        bound = variant.bound(checked.sizes)
        inputs = {name: self.input(name, variant, checked, cotangents or {}) for name in variant.inputs}
        missing = [name for name in variant.weights if name not in weights]
        if missing:
            raise UserError(f"the weights have no `{missing[0]}`", "E604", did_you_mean(missing[0], weights))
        with np.errstate(all="ignore"):  # what is not finite is told by name, see `finite`
            return variant, bound.run(inputs, weights)

    def _known(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.made.graph.outputs:
                raise UserError(
                    f"the model has no output `{name}`", "E605", did_you_mean(name, self.made.graph.outputs)
                )

    def input(self, name: str, variant: Variant, checked: Checked, cotangents: Mapping[str, Any]) -> Any:
        """What an input of the program is given, its axes in the program's order."""
        type = variant.graph.inputs[name].type
        if name == "seed":
            return np.asarray(checked.seed or 0, np.int64)
        if name.startswith("lengths@"):
            axis = name.removeprefix("lengths@")
            full = np.full(checked.sizes[BATCH], checked.sizes[axis], np.int64)
            return checked.lengths.get(axis, full)
        if name.startswith("cot:"):
            array = np.asarray(cotangents[name.removeprefix("cot:")], self.schedule.dtype)
            return _to_program(array, type)
        array = checked.arrays[name] if name in checked.arrays else checked.states[name]
        return _to_program(array, type)

    def _results(self, variant: Variant, results: Arrays) -> Arrays:
        found = {}
        for name, array in results.items():
            if not name.startswith("grad:"):
                plain = name.removeprefix("metric.").removeprefix("watch.")
                # An output of the same name keeps it; the other goes by its full name, and neither is lost.
                known_as = name if plain in results else plain
                found[known_as] = _to_user(self.backend.fetch(array), _type_of(variant, name))
        return found

    def _repr_svg_(self) -> str:
        from rnngraph.viz.notebook import program_svg

        return program_svg(self)


def _type_of(variant: Variant, name: str) -> Type:
    return variant.graph.outputs[name].type


def _user_order(type: Type) -> list[int]:
    """The batch first, then times, then what the user wrote: as positions in the program's order."""
    axes = [i for i, a in enumerate(type.axes) if a == BATCH] + [i for i, a in enumerate(type.axes) if a != BATCH]
    return [*axes, *range(len(axes), type.rank)]


def _to_user(array: Any, type: Type) -> Any:
    """A fresh array, batch-major."""
    return np.array(np.transpose(array, _user_order(type)), order="C")


def _to_program(array: Any, type: Type) -> Any:
    """A view of a batch-major array with its axes in the program's order."""
    if array.ndim != type.rank:
        raise CannotDo(f"an array of {array.ndim} axes where {type.rank} were expected")
    return np.transpose(array, np.argsort(_user_order(type)))
