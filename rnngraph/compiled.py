"""A compiled program as the user holds it: graph, program, plan and arrays, made as they are needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np

from rnngraph.calls import COTANGENT, Call, Holds, Known, call_of, contents, to_program
from rnngraph.calls import form as form_of
from rnngraph.calls import known as known_call
from rnngraph.checkpointing.chunks import Course
from rnngraph.checkpointing.execution import Walker
from rnngraph.checkpointing.memory_limit import Fitting
from rnngraph.checkpointing.options import ALL, Keep, course, swapped, truncated
from rnngraph.checkpointing.plan import Walking, state_bytes, tape_bytes, walking
from rnngraph.checkpointing.segment_programs import Parts
from rnngraph.checkpointing.segments import Cut, cut
from rnngraph.checkpointing.stages import Way, ways, why_not
from rnngraph.data.checks import Checked, check_data
from rnngraph.data.ctc_labels import refuse_wrong_labels
from rnngraph.diagnostics.errors import CannotDo, Diagnostic, UserError, did_you_mean
from rnngraph.ir.graph import Graph, Value, graph_input
from rnngraph.ir.order import Order, orders_of
from rnngraph.ir.types import BATCH, root, size_of
from rnngraph.language.elaboration.elaborated import DataInput, Elaborated, StateInput
from rnngraph.language.elaboration.streamable import of_a_later_piece
from rnngraph.ops import const
from rnngraph.passes.alignments import Alignment, alignments
from rnngraph.passes.bounds import bounds
from rnngraph.passes.inside import OUTSIDE
from rnngraph.passes.pipeline import stages
from rnngraph.planning.limits import refuse_if_too_large
from rnngraph.planning.lowering import lower
from rnngraph.planning.plan import Plan, plan
from rnngraph.planning.program import Program
from rnngraph.runtime.backend import Backend
from rnngraph.runtime.execution import Bound
from rnngraph.system import garbage
from rnngraph.weights.weights import check_weights, shape_text

Arrays = dict[str, Any]
Elaborate = Callable[[bool, Collection[StateInput]], Elaborated]


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
    limit: int | None = None
    """The bytes that a run may take: where nothing else is said of what to keep, the fastest way that fits is taken."""
    truncate: int | None = None
    """The number of steps after which gradients through states are cut off."""
    swap: str = ""
    """The folder of a file for what is kept for the way back; "" for memory."""

    @property
    def static(self) -> bool:
        return self.unroll == "static"

    @property
    def told(self) -> bool:
        """Whether it is told what is to be computed again."""
        return self.keep != ALL or self.truncate is not None or bool(self.swap)

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
        """The graph as it is lowered where all steps are computed in one go."""
        if not self.walks:
            return self._passed[-1]
        *_, (_, graph) = self.stages()
        return graph

    @cached_property
    def _passed(self) -> tuple[Graph, Graph]:
        """The last stage that has loops, and the last one that is needed."""
        looped, graph = self.elaborated.graph, self.elaborated.graph
        for name, graph in self.stages():
            if name == "units":
                looped = graph
                if self.walks:
                    break
        return looped, graph

    @cached_property
    def program(self) -> Program:
        return self.backend.adapted(lower(self.graph), self.schedule.dtype)

    @cached_property
    def _given(self) -> dict[str, str]:
        """What the graph reads from outside, by name, with its kind."""
        return {n.attrs["name"]: n.attrs["kind"] for n in self.looped.nodes() if n.op.name == "input"}

    @cached_property
    def orders(self) -> dict[str, Order]:
        """Of each result its axes as the user meets them."""
        return orders_of(self.elaborated.graph)

    def turned(self, name: str) -> list[int]:
        """The axes of an input in the program's order, as positions in the user's."""
        order = self.orders[name.removeprefix(COTANGENT)] if name.startswith(COTANGENT) else None
        return to_program(self.looped.inputs[name].type, order)

    @property
    def arrays(self) -> list[Bound | Walker]:
        """What has arrays now."""
        return list(self._bound.values())

    @property
    def inputs(self) -> list[str]:
        return [name for name, kind in self._given.items() if kind != "weight"]

    @property
    def weights(self) -> list[str]:
        return [name for name, kind in self._given.items() if kind == "weight"]

    def plan(self, sizes: Mapping[str, int]) -> Plan | Walking:
        """Everything about the memory of a run, before it."""
        keep, limit = self.schedule.keep, self.schedule.limit
        if not self.walks or not self.schedule.told:
            made = self.everything(sizes)
            return made if limit is None or made.total <= limit else self.fitted(sizes, limit, made)
        walked = self.walking(sizes)
        if limit is not None and walked.total > limit:
            raise too_small(limit, walked.total, f"`--keep {keep}` does not fit", "`--keep all` leaves the choice open")
        return walked

    def everything(self, sizes: Mapping[str, int]) -> Plan:
        """Of a run that keeps everything."""
        return plan(self.program, self.all_sizes(sizes), self.schedule.dtype)

    def all_sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The sizes of the data's axes, and of those that the model fixes."""
        graph = self.looped if self.walks else None
        axes = self.program.axes if graph is None else axes_of(graph)
        derived = {axis: size_of(axis, sizes.__getitem__) for axis in axes if axis not in sizes}
        return {**sizes, **derived}

    @garbage.set_aside()
    def bound(self, sizes: Mapping[str, int]) -> Bound | Walker:
        """The program with arrays for these sizes; those of the sizes before are given back."""
        key = tuple(sorted(sizes.items()))
        if key not in self._bound:
            self._bound.clear()
            made = self.plan(sizes)
            if isinstance(made, Plan):
                refuse_if_too_large(self.program, made, self.backend.free_bytes(), self.schedule.static)
            elif made.total > (free := self.backend.free_bytes()):
                raise too_small(free, made.total, "so much is free", "`--memory-limit` finds a way that fits")
            self._bound[key] = self.with_arrays(made)
        return self._bound[key]

    def with_arrays(self, made: Plan | Walking, arrays: Backend | None = None) -> Bound | Walker:
        """What was planned, with arrays, which `arrays` is asked for where it is given."""
        if isinstance(made, Plan):
            return self.backend.bound(self.program, made, arrays)
        return Walker(made, self.backend, arrays)

    def graphs(self, sizes: Mapping[str, int]) -> list[Graph]:
        """The graphs that are lowered for these sizes."""
        made = self.plan(sizes)
        return [self.graph] if isinstance(made, Plan) else [part.graph for part in made.parts.values()]

    def evaluations(self, sizes: Mapping[str, int]) -> float:
        """Forward steps that are computed for each step of a sequence."""
        made = self.plan(sizes)
        return made.course.evaluations if isinstance(made, Walking) else 1.0

    # --- a few steps at a time ---

    @property
    def walks(self) -> bool:
        """Whether steps are computed a few at a time, some of them again."""
        chosen = self.schedule.told or self.schedule.limit is not None
        return chosen and self.signature.cotangents is not None

    @property
    def looped(self) -> Graph:
        """The last stage that has loops, whatever the mode."""
        return self._passed[0]

    @cached_property
    def cuts(self) -> dict[Way, tuple[int, Parts]]:
        """The graph cut for each way to walk along an axis, and how much is kept on it for a step."""
        found = ways(self.looped)
        if not found:
            raise no_walk(self.looped, self.schedule.keep)
        return {way: (kept, self.parts(cut(self.looped, way))) for way, kept in found.items()}

    def parts(self, cut: Cut) -> Parts:
        schedule, backend = self.schedule, self.backend
        return Parts(cut, schedule.unroll, Steps(schedule), lambda program: backend.adapted(program, schedule.dtype))

    def way(self, sizes: Mapping[str, int]) -> Way:
        """The way on which the most is kept, where everything is."""
        return max(self.cuts, key=lambda w: sizes[w.axis] * self.cuts[w][0])

    def walking(self, sizes: Mapping[str, int]) -> Walking:
        """Everything about a run by the schedule."""
        sizes, dtype = self.all_sizes(sizes), self.schedule.dtype
        way = self.way(sizes)
        parts = self.cuts[way][1]

        def places(chunk: int) -> int:
            return 1 + -(-tape_bytes(parts, chunk, sizes, dtype) // state_bytes(parts.cut, sizes, dtype))

        steps, batch = sizes[way.axis], sizes.get(BATCH, 1)
        if self.schedule.truncate:
            made = truncated(steps, self.schedule.truncate)
        elif self.schedule.swap:
            made = swapped(steps, batch, self.schedule.swap, places)
        else:
            made = course(self.schedule.keep, steps, batch, places)
        return walking(parts, replace(made, reverse=way.reverse), sizes, dtype)

    def walked(self, course: Course, sizes: Mapping[str, int]) -> Walking:
        """Everything about a run by a course, over as many steps as the sizes say."""
        full = self.all_sizes(sizes)
        way = self.way(full)
        return walking(self.cuts[way][1], replace(course, steps=full[way.axis]), full, self.schedule.dtype)

    def fitted(self, sizes: Mapping[str, int], limit: int, everything: Plan) -> Walking:
        """The fastest run that fits; CannotDo where none does. `everything` is the plan that keeps all."""
        if not self.walks or not ways(self.looped):
            raise too_small(limit, everything.total, "", "nothing of this run can be computed again")
        full = self.all_sizes(sizes)
        way = self.way(full)
        fitting = self.fitting(way, full)
        found = fitting.best(limit)
        if found is None:
            need = min(everything.total, fitting.least())
            raise too_small(limit, need, "", self.what_fits(way, sizes, limit))
        return walking(fitting.parts, found.course, full, self.schedule.dtype)

    def fitting(self, way: Way, sizes: Mapping[str, int]) -> Fitting:
        batch = sizes.get(BATCH, 1)
        return Fitting(self.cuts[way][1], sizes[way.axis], sizes, self.schedule.dtype, batch, way.reverse)

    def what_fits(self, way: Way, sizes: Mapping[str, int], limit: int) -> str:
        """The longest sequence that would fit, in words."""
        low, high = 0, sizes.get(way.axis, 0)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.fitting(way, self.all_sizes({**sizes, way.axis: middle})).least() <= limit
            low, high = (middle, high) if fits else (low, middle - 1)
        batch = sizes.get(BATCH, 1)
        if low:
            return f"{low:,} steps would fit with a batch of {batch:,}, or a smaller batch"
        return f"not even one step fits with a batch of {batch:,}"


def refuse_obstacles(made: Elaborated, state: StateInput) -> None:
    """UserError where results would be others than those of the whole sequence, of which steps are over already."""
    found = of_a_later_piece(made, state)
    told = [replace(d, message=f"this cannot go on where `{state.name}` says: {d.message}") for d in found]
    if told:
        raise UserError(told)


def _refuse_forgotten(made: Elaborated, state: StateInput, checked: Checked) -> None:
    """UserError where a loop along the same axis would begin anew in the middle of a sequence."""
    there = set(made.graph.nodes())
    along = (s for s in made.states if root(s.axis) == root(state.axis) and not s.begins and s.final.node in there)
    missing = [s for s in along if s.name not in checked.states]
    if missing:
        names = " and no ".join(f"`{s.name}`" for s in missing)
        help = f"give the states of every loop that goes on; `output {missing[0].record}` hands these out"
        told = f"the data has `{state.name}` but no {names}"
        raise UserError([Diagnostic("E511", told, missing[0].span, "declared here", help=help)])


def too_small(limit: int, need: int, reason: str, help: str) -> CannotDo:
    """The limit cannot be kept, with the fewest bytes that would do."""
    why = f"{reason}: " if reason else ""
    return CannotDo([Diagnostic("E616", f"{why}a limit of {limit:,} bytes; at least {need:,} are needed", help=help)])


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
    """A model compiled for one schedule. A static program is for one number of steps; a dynamic one runs any.

    Calls from several threads take turns, as all use the same arrays.
    """

    made_up = False
    """Whether the data are made up, to time or to compare: an index outside is then taken for the nearest inside."""

    def __init__(self, elaborate: Elaborate, schedule: Schedule, backend: Backend) -> None:
        self._elaborate, self.schedule, self.backend = elaborate, schedule, backend
        self._variants: dict[Signature, Variant] = {}
        self._calls: dict[Any, Known] = {}
        self._turn = Lock()
        began = time.perf_counter()
        with garbage.set_aside():
            self.made = elaborate(False, ())
            main = self.variant(Signature(cotangents=self._loss() if schedule.gradient else None))
            _ = main.cuts if schedule.told and main.walks else main.program
        self.compile_seconds = time.perf_counter() - began
        self.main = main

    def variant(self, signature: Signature) -> Variant:
        """The program for what is given, compiled at its first use."""
        if signature not in self._variants:
            made = self.made
            if signature.padded or signature.fed:
                made = self._elaborate(signature.padded, [s for s in made.states if s.name in signature.fed])
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
        the final ones. With the backend cupy data and weights may also be arrays on a device; results are NumPy
        arrays. Raises UserError with everything that does not fit, and OutsideIndex where an integer that was computed
        chooses what is not there.
        """
        with self._turn, self.backend.here():
            call, results = self._call(data, weights, None)
            return call.fresh(results, call.shown)

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
        with self._turn, self.backend.here():
            call, results = self._call(data, weights, cotangents)
            found = call.fresh(results, call.gradients)
            if cotangents is None:
                return float(self.backend.fetch(results["loss"])), found
            return call.weighted(results, self.backend.near(cotangents)), found

    def check(self, data: Mapping[str, Any]) -> Checked:
        """The data as the program takes it; UserError with everything that does not fit."""
        made = self.made
        steps = self.schedule.steps if self.schedule.static else None
        checked = check_data(
            made.inputs,
            made.states,
            {name: self.backend.fetch(array) for name, array in data.items()},
            steps=steps,
            bounds=self._bounds,
            dtype=self.schedule.dtype,
            need=self.needed,
        )
        refuse_wrong_labels(self._alignments, checked)
        self._refuse_later_piece(checked)
        return checked

    def _refuse_later_piece(self, checked: Checked) -> None:
        """What cannot go on in the middle of a sequence is not run there in silence."""
        for state in self.made.states:
            if state.begins and np.any(checked.states.get(state.name, 0)):
                refuse_obstacles(self.made, state)
                _refuse_forgotten(self.made, state, checked)

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
    ) -> tuple[Call, Arrays]:
        """The results of one call. What is known of data of the same form is not found out again."""
        if not (isinstance(data, Mapping) and isinstance(weights, Mapping)):
            _refuse_unnamed(data=data, weights=weights)
        near = self.backend.near
        data, weights, cotangents = near(data), near(weights), None if cotangents is None else near(cotangents)
        form = form_of(data), "loss" if cotangents is None else form_of(cotangents)
        known = self._calls.get(form)
        if known is not None and known.takes(data):
            call, inputs = known.call, known.inputs(data, cotangents or {})
        else:
            call, inputs = self._prepared(data, cotangents, form)
        if not call.needed <= weights.keys():
            _refuse_unnamed(weights=weights)
            first = min(call.needed - weights.keys())
            raise UserError(f"the weights have no `{first}`", "E604", did_you_mean(first, weights))
        results = call.run(inputs, self._fitting(weights, call.needed))
        if OUTSIDE in results and not self.made_up and self.backend.fetch(results[OUTSIDE]):
            from rnngraph.analysis.index_finder import explained

            raise explained(self, data, weights)
        return call, results

    def _fitting(self, weights: Mapping[str, Any], needed: Collection[str]) -> Mapping[str, Any]:
        """The weights, each of which has its shape and holds numbers; UserError with all that have not."""
        shapes = self._shapes
        for name in needed:  # as quick as can be: it is done at each call
            array = weights[name]
            plain = type(array) is np.ndarray or _on_device(array)
            if not plain or array.shape != shapes[name] or array.dtype.kind not in "fiu":
                declared = [w for w in self.made.weights if w.name in needed]
                given = {w.name: weights[w.name] for w in declared}
                return {**weights, **check_weights(declared, given, self.schedule.dtype)}
        return weights

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {w.name: w.shape for w in self.made.weights}

    def _prepared(
        self, data: Mapping[str, Any], cotangents: Mapping[str, Any] | None, form: Any
    ) -> tuple[Call, Arrays]:
        """The call for such data, and what it is given; kept where only the contents can be wrong next time."""
        _refuse_unnamed(data=data)
        checked = self.check(data)
        given = tuple(cotangents) if cotangents is not None else self._loss()
        wanted = given if self.schedule.gradient and (cotangents is not None or self._loss()) else None
        self._known(wanted or ())
        variant = self.variant(Signature(bool(checked.lengths), frozenset(checked.states), wanted))
        bound = variant.bound(checked.sizes)
        call = call_of(
            bound,
            frozenset(variant.weights),
            {name: value.type for name, value in variant.looped.outputs.items() if name != OUTSIDE},
            variant.orders,
        )
        inputs = {name: self.input(name, variant, checked, cotangents or {}) for name in variant.inputs}
        self._calls = {k: c for k, c in self._calls.items() if c.call.bound in self._alive()}
        holds = None if checked.lengths or self._alignments or None in form else self._holds(data)
        if holds is not None and all(array.dtype == self.schedule.dtype for array in (cotangents or {}).values()):
            turned = {name: variant.turned(name) for name in inputs}
            self._calls[form] = known_call(call, turned, inputs, data, holds)
        return call, inputs

    def _alive(self) -> list[Bound | Walker]:
        """What has arrays now: each variant keeps those of the sizes last used."""
        return [bound for variant in self._variants.values() for bound in variant.arrays]

    def _holds(self, data: Mapping[str, Any]) -> Holds | None:
        known: tuple[DataInput | StateInput, ...] = (*self.made.inputs, *self.made.states)
        items = [item for item in known if item.name in data]
        return contents(items, data, self._bounds, self.schedule.dtype)

    def _known(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.made.graph.outputs:
                raise UserError(
                    f"the model has no output `{name}`", "E605", did_you_mean(name, self.made.graph.outputs)
                )

    def input(self, name: str, variant: Variant, checked: Checked, cotangents: Mapping[str, Any]) -> Any:
        """What an input of the program is given, its axes in the program's order."""
        if name == "seed":
            return np.asarray(checked.seed or 0, np.int64)
        if name.startswith("lengths@"):
            axis = name.removeprefix("lengths@")
            full = np.full(checked.sizes[BATCH], checked.sizes[axis], np.int64)
            return checked.lengths.get(axis, full)
        if name.startswith("cot:"):
            return self._cotangent(name, variant, checked, cotangents).transpose(variant.turned(name))
        array = checked.arrays[name] if name in checked.arrays else checked.states[name]
        return array.transpose(variant.turned(name))

    def _cotangent(self, given: str, variant: Variant, checked: Checked, cotangents: Mapping[str, Any]) -> Any:
        """A cotangent as an array like the output that it is of; UserError where it is not."""
        name = given.removeprefix(COTANGENT)
        array = np.asarray(self.backend.fetch(cotangents[name]), self.schedule.dtype)
        type = variant.looped.inputs[given].type
        shape = (*(size_of(axis, checked.sizes.__getitem__) for axis in variant.orders[name]), *type.shape)
        if array.shape != shape:
            raise UserError(
                f"the cotangent of `{name}` should be {shape_text(shape)}, got {shape_text(array.shape)}", "E617"
            )
        return array

    def _repr_svg_(self) -> str:
        from rnngraph.viz.notebook import program_svg

        return program_svg(self)


def _on_device(array: Any) -> bool:
    return hasattr(array, "__cuda_array_interface__")


def _refuse_unnamed(**given: object) -> None:
    """UserError where data or weights are no arrays by name."""
    for what, named in given.items():
        if not isinstance(named, Mapping):
            raise UserError(f"the {what} should be arrays by name, got {type(named).__name__}", "E519")
        for name in named:
            if not isinstance(name, str):
                raise UserError(f"the {what} should be arrays by name, and {name!r} is no name", "E519")
