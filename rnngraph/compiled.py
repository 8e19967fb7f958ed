"""A compiled program as the user holds it: graph, program, plan and arrays, made as they are needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np

from rnngraph.checkpointing.execution import Walker
from rnngraph.compilation.calls import COTANGENT, Call, Holds, Known, call_of, contents, is_plain
from rnngraph.compilation.calls import form as form_of
from rnngraph.compilation.calls import known as known_call
from rnngraph.compilation.later_pieces import refuse_later_piece
from rnngraph.compilation.pending import Pending
from rnngraph.compilation.schedule import Schedule
from rnngraph.compilation.second_order import ALONG, outputs_along, slope_along
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.data.checks import Checked, check_data
from rnngraph.data.ctc_labels import fitting_labels, refuse_wrong_labels
from rnngraph.data.result_tables import with_own_steps
from rnngraph.data.shape_checks import SEED, unmasked
from rnngraph.debugging.index_finder import explained
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.files.precision import cast, overflow, wider
from rnngraph.ir.graph import Graph
from rnngraph.ir.types import BATCH, root, size_of
from rnngraph.language.elaboration.elaborated import DataInput, Elaborated, StateInput
from rnngraph.language.elaboration.streamable import obstacles, without_next_step
from rnngraph.passes.alignments import Alignment, alignments
from rnngraph.passes.index_checks import OUTSIDE
from rnngraph.passes.index_sizes import bounds
from rnngraph.runtime.backend import Backend
from rnngraph.runtime.buffer_pool import Spares
from rnngraph.runtime.execution import Bound, Tell
from rnngraph.system import garbage
from rnngraph.weights.checks import check_weights, shape_text, unknown

Arrays = dict[str, Any]
Elaborate = Callable[[bool, Collection[StateInput]], Elaborated]


class CompiledProgram:
    """A model compiled for one schedule. A static program is for one number of steps; a dynamic one runs any.

    Calls from several threads take turns, as all use the same arrays.
    """

    made_up = False
    """Whether the data are made up, to time or to compare: an index outside is then taken for the nearest inside, and
    the loss of labels that no path can give is infinite."""

    def __init__(self, elaborate: Elaborate, schedule: Schedule, backend: Backend) -> None:
        self._elaborate, self.schedule, self.backend = elaborate, schedule, backend
        self._variants: dict[Signature, Variant] = {}
        self._calls: dict[Any, Known] = {}
        self._turn = Lock()
        began = time.perf_counter()
        with garbage.set_aside():
            self.made = elaborate(False, ())
        self._seconds = time.perf_counter() - began
        self._usual = Signature(cotangents=self._loss() if schedule.gradient else None)
        if schedule.told:
            _ = self.main  # what cannot be walked is refused before any data is read

    @cached_property
    def main(self) -> Variant:
        """Of data without lengths, and of the loss alone. Compiled when it is asked for: data may never be such."""
        began = time.perf_counter()
        with garbage.set_aside():
            main = self._variant(self._usual)
            _ = main.cuts if self.schedule.told and main.walks else main.program
        self._seconds += time.perf_counter() - began
        return main

    @property
    def compile_seconds(self) -> float:
        """What it takes to compile `main`."""
        _ = self.main
        return self._seconds

    def variant(self, signature: Signature) -> Variant:
        """The program for what is given, compiled at its first use."""
        return self.main if signature == self._usual else self._variant(signature)

    def _variant(self, signature: Signature) -> Variant:
        if signature not in self._variants:
            made = self.made
            if signature.padded or signature.fed:
                made = self._elaborate(signature.padded, [s for s in made.states if s.name in signature.fed])
            self._variants[signature] = Variant(made, self.schedule, signature, self.backend)
        return self._variants[signature]

    def changed(
        self, change: Callable[[Elaborated], Elaborated], schedule: Schedule | None = None
    ) -> CompiledProgram:
        """A program for the same schedule, or another one, whose graph is changed once it is elaborated."""
        how = schedule or self.schedule
        return CompiledProgram(lambda padded, fed: change(self._elaborate(padded, fed)), how, self.backend)

    def telling_own_steps(self) -> CompiledProgram:
        """The program that also has `own steps:NAME`, (batch, steps), of each output that a `stop` can end: which steps
        are a row's own. Itself where there is no such output."""
        if not self.made.own_steps:
            return self
        found = self.changed(with_own_steps)
        found.made_up = self.made_up
        return found

    @property
    def graph(self) -> Graph:
        """The final graph: loops where dynamic, plain nodes where static."""
        return self.main.graph

    def _loss(self) -> tuple[str, ...] | None:
        return ("loss",) if "loss" in self.made.graph.outputs else None

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The outputs that take cotangents where these come later: those of floats, and the loss."""
        outputs = self.made.graph.outputs.items()
        return tuple(n for n, v in outputs if v.type.dtype == "float" and not n.startswith(("metric.", "watch.")))

    # --- running ---

    def run(self, data: Mapping[str, Any], weights: Mapping[str, Any], *, device: bool = False) -> Arrays:
        """Every output, final state, loss and metric by name.

        `data` are batch-major arrays, `x` (batch, time, ...), `x.lengths` (batch,), initial states under the names of
        the final ones. With the backend cupy data and weights may also be arrays on a device; results are NumPy
        arrays, or arrays of CuPy where `device` is asked for: then nobody waits for them. Raises UserError with
        everything that does not fit, and OutsideIndex where an integer that was computed chooses what is not there.
        """
        with self._turn, self.backend.here():
            call, results = self._call(data, weights, None)
            return call.fresh(results, call.shown, device)

    def step(
        self, data: Mapping[str, Any], weights: Mapping[str, Any], state: Mapping[str, Any] | None = None
    ) -> tuple[Arrays, Arrays]:
        """One step: its outputs, (batch, ...) each, and the state that the next step begins with.

        `data` are those of the step, without a time axis: `x` (batch, ...). `state` is what the step before gave;
        without it states begin as the model says. The program has to be compiled with `states`, a static one for one
        step. UserError where it is not, or where the model needs the whole sequence.
        """
        if self._against_steps:
            raise UserError(self._against_steps)
        along = {i.name for i in self.made.inputs if i.axes}
        given = {name: unmasked(name, array)[:, None] if name in along else array for name, array in data.items()}
        results = self.run({**given, **(state or {})}, weights)
        stepped = {n for n, v in self.made.graph.outputs.items() if len(v.type.axes) > 1}
        outputs = {n: a[:, 0] if n in stepped else a for n, a in results.items() if n not in self._states}
        return outputs, {n: a for n, a in results.items() if n in self._states}

    @cached_property
    def _against_steps(self) -> list[Diagnostic]:
        """What keeps the program from being run a step at a time."""
        graph, states = self.made.graph, self.made.states
        if not all(s.name in graph.outputs for s in states):
            return [Diagnostic("E602", "the program was compiled without its states", help="compile with states=True")]
        if grids := list(without_next_step(self.made.inputs)):
            return grids
        axes = dict.fromkeys(axis for i in self.made.inputs for axis in i.axes)
        return [d for axis in axes for d in obstacles(graph, axis, {s.value for s in states})]

    def gradients(
        self,
        data: Mapping[str, Any],
        weights: Mapping[str, Any],
        cotangents: Mapping[str, Any] | None = None,
        *,
        device: bool = False,
    ) -> tuple[float, Arrays]:
        """The loss, and its gradient with respect to every weight, float input and initial state.

        A frozen weight has none. Where `device` is asked for, gradients are arrays of the backend's device.

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
            found = call.fresh(results, call.gradients, device)
            if cotangents is None:
                return float(self.backend.fetch(results["loss"])), found
            return call.weighted(results, self.backend.near(cotangents)), found

    def hvp(self, data: Mapping[str, Any], weights: Mapping[str, Any], along: Mapping[str, Any]) -> Arrays:
        """The product of the loss's second derivative with a direction: how the gradient of every trained weight
        changes along it.

        `along` holds an array for each weight that the direction moves; of others it is 0. UserError where the model
        has no loss, or a name or shape does not fit.
        """
        if self._loss() is None:
            raise UserError("the model has no loss to differentiate", "E603", "add a `loss`")
        found = self._slope.gradients(data, {**weights, **_directions(self._slope, along)})[1]
        return {name: array for name, array in found.items() if name in weights}

    def jvp(self, data: Mapping[str, Any], weights: Mapping[str, Any], along: Mapping[str, Any]) -> Arrays:
        """How every output of floats, and the loss, changes along a direction of weights and inputs of floats.

        `along` holds an array for each weight or input that the direction moves, of its shape; of others it is 0.
        UserError where a name or shape does not fit.
        """
        directions = _directions(self._outputs_along, along)
        moved = {name: array for name, array in directions.items() if name[len(ALONG) :] not in weights}
        kept = {name: array for name, array in directions.items() if name not in moved}
        return self._outputs_along.run({**data, **moved}, {**weights, **kept})

    @cached_property
    def _slope(self) -> CompiledProgram:
        return self.changed(slope_along, self.schedule.keeping_all("weights"))

    @cached_property
    def _outputs_along(self) -> CompiledProgram:
        return self.changed(outputs_along, self.schedule.keeping_all(False))

    def lent_gradients(
        self, data: Mapping[str, Any], weights: Mapping[str, Any], ready: Tell | None = None
    ) -> tuple[float, Arrays]:
        """The loss and its gradients as `gradients` gives them, but as views that the next run writes over, and where
        the backend updates weights: on a GPU they stay there. `ready` is told those that are made before the end."""
        with self._turn, self.backend.here():
            return self._lent(*self._call(data, weights, None, ready))

    def lent_step(
        self, data: Mapping[str, Any], weights: Mapping[str, Any], ready: Tell | None = None
    ) -> tuple[float, Arrays, Arrays]:
        """The loss and its gradients as `lent_gradients` gives them, and, where the program was compiled with
        `states`, the final states by the names under which the next piece of the same rows takes them."""
        with self._turn, self.backend.here():
            call, results = self._call(data, weights, None, ready)
            kept = tuple(row for row in call.shown if row[0] in self._states)
            return *self._lent(call, results), call.fresh(results, kept)

    def _lent(self, call: Call, results: Arrays) -> tuple[float, Arrays]:
        there = self.backend.whole.on_device
        return float(self.backend.fetch(results["loss"])), call.lent(results, call.gradients, there)

    @cached_property
    def _states(self) -> frozenset[str]:
        """The names of states to go on from."""
        return frozenset(s.name for s in self.made.states)

    def begin(self, data: Mapping[str, Any], weights: Mapping[str, Any]) -> Pending:
        """The forward pass alone, whose backward pass can come later: see `Pending`.

        Calls that wait do not disturb each other: each has arrays of its own until its backward pass is over, or
        nobody holds it any more. The schedule must keep everything.
        """
        if not self.schedule.gradient:
            raise UserError("the program was compiled without gradients", "E602", "compile with gradient=True")
        if self.schedule.told or self.schedule.limit is not None:
            raise UserError(
                "a forward pass that waits for its backward pass keeps everything",
                "E740",
                "compile without keep, memory_limit, truncate and swap, or use `gradients`",
            )
        with self._turn, self.backend.here():
            call, *given = self._ready(data, weights, None, later=True)
            begun = call.begun(*given)
            self._refuse_outside(begun.results, data, weights)
            return Pending(call, begun, self._turn)

    def check(self, data: Mapping[str, Any]) -> Checked:
        """The data as the program takes it; UserError with everything that does not fit."""
        made = self.made
        if (named := data.keys() - {SEED}) and named <= self._shapes.keys():
            help = f"it takes {', '.join(f'`{name}`' for name in self.needed) or 'none'}; data come before weights"
            raise UserError("the data are weights of this model", "E510", help)
        steps = self.schedule.steps if self.schedule.static else None
        checked = check_data(
            made.inputs,
            made.states,
            {name: self.backend.fetch(array) for name, array in data.items()},
            steps=steps,
            bounds=self._bounds,
            dtype=self.schedule.dtype,
            need=self.needed,
            over=self.over,
        )
        if not self.made_up:
            refuse_wrong_labels(self._alignments, checked)
        refuse_later_piece(made, checked)
        return checked

    def refuse_too_large(self, data: Mapping[str, Any], rows: int) -> None:
        """CannotDo where a run of so many rows, each as large as those of the data, takes more memory than its limit,
        or than what is free; nothing is run."""
        checked = self.check(data)
        wanted = self._loss() if self.schedule.gradient else None
        signature = Signature(bool(checked.lengths), frozenset(checked.states), wanted)
        with self._turn:
            self.variant(signature).planned({**checked.sizes, BATCH: rows})

    @cached_property
    def _bounds(self) -> dict[str, int]:
        return bounds(self.made.graph)

    @cached_property
    def _alignments(self) -> tuple[Alignment, ...]:
        return alignments(self.made.graph)

    @cached_property
    def needed(self) -> list[str]:
        """The inputs that must be given: those that what is asked for depends on."""
        return [i.name for i in self.made.inputs if i.name in self._computed_from and i.default is None]

    @cached_property
    def _computed_from(self) -> frozenset[str]:
        return frozenset(node.attrs["name"] for node in self.made.graph.nodes() if node.op.name == "input")

    @cached_property
    def over(self) -> tuple[str, ...]:
        """The axes of the data over which something runs that is asked for."""
        types = [type for node in self.made.graph.all_nodes() for type in node.types]
        found = {root(axis) for type in types for axis in type.axes}
        return tuple(dict.fromkeys(axis for i in self.made.inputs for axis in i.axes if axis in found))

    @cached_property
    def read(self) -> frozenset[str]:
        """The inputs that what is asked for depends on, those with a default too, and those that alone tell how many
        steps an axis has."""
        known = {axis for i in self.made.inputs if i.name in self.needed for axis in i.axes}
        telling = (i.name for i in self.made.inputs if not known.issuperset(set(i.axes) & set(self.over)))
        return self._computed_from | frozenset(telling)

    def _call(
        self,
        data: Mapping[str, Any],
        weights: Mapping[str, Any],
        cotangents: Mapping[str, Any] | None,
        ready: Tell | None = None,
    ) -> tuple[Call, Arrays]:
        """The results of one call."""
        call, inputs, fitting = self._ready(data, weights, cotangents)
        results = call.run(inputs, fitting, ready)
        self._refuse_outside(results, data, weights)
        return call, results

    def _ready(
        self,
        data: Mapping[str, Any],
        weights: Mapping[str, Any],
        cotangents: Mapping[str, Any] | None,
        later: bool = False,
    ) -> tuple[Call, Arrays, Mapping[str, Any]]:
        """A call and what it is given. What is known of data of the same form is not found out again."""
        if not (isinstance(data, Mapping) and isinstance(weights, Mapping)):
            refuse_unnamed(data=data, weights=weights)
        near = self.backend.near
        data, weights, cotangents = near(data), near(weights), None if cotangents is None else near(cotangents)
        if SEED in data and isinstance(data[SEED], int | np.integer):
            data = {**data, SEED: np.asarray(data[SEED])}
        form = form_of(data), ("later" if later else "loss") if cotangents is None else form_of(cotangents)
        known = self._calls.get(form)
        if known is not None and known.takes(data):
            call, inputs = known.call, known.inputs(data, cotangents or {})
        else:
            call, inputs = self._prepared(data, cotangents, form, later)
        if not call.needed <= weights.keys():
            refuse_unnamed(weights=weights)
            first = min(call.needed - weights.keys())
            raise UserError(f"the weights have no `{first}`", "E604", did_you_mean(first, weights))
        if not weights.keys() <= self._shapes.keys():
            refuse_unnamed(weights=weights)
            raise UserError(unknown(self._shapes, weights))
        return call, inputs, self._fitting(weights, call.needed)

    def _refuse_outside(
        self, results: Mapping[str, Any], data: Mapping[str, Any], weights: Mapping[str, Any]
    ) -> None:
        """OutsideIndex where an integer chose what is not there."""
        if OUTSIDE in results and not self.made_up and self.backend.fetch(results[OUTSIDE]):
            raise explained(self, self.backend.near(data), self.backend.near(weights))

    def _fitting(self, weights: Mapping[str, Any], needed: Collection[str]) -> Mapping[str, Any]:
        """The weights, each of which has its shape and holds numbers; UserError with all that have not. Those that have
        to be converted are looked at in full."""
        shapes, dtype, narrowed = self._shapes, self._dtype, False
        for name in needed:  # as quick as can be: it is done at each call
            array = weights[name]
            if type(array) is np.ndarray and array.dtype is dtype and array.shape == shapes[name]:
                continue
            if not is_plain(array) or array.shape != shapes[name] or array.dtype.kind not in "fiu":
                return {**weights, **self._checked(weights, needed)}
            narrowed |= array.dtype != dtype and not np.can_cast(array.dtype, dtype)
        if narrowed:
            self._checked(weights, needed)
        return weights

    def _checked(self, weights: Mapping[str, Any], needed: Collection[str]) -> Arrays:
        declared = [w for w in self.made.weights if w.name in needed]
        given = {w.name: self.backend.fetch(weights[w.name]) for w in declared}
        return check_weights(declared, given, self.schedule.dtype)

    @cached_property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(self.schedule.dtype)

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {w.name: w.shape for w in self.made.weights}

    def _prepared(
        self, data: Mapping[str, Any], cotangents: Mapping[str, Any] | None, form: Any, later: bool
    ) -> tuple[Call, Arrays]:
        """The call for such data, and what it is given; kept where only the contents can be wrong next time."""
        refuse_unnamed(data=data)
        checked = self.check(data)
        given = tuple(cotangents) if cotangents is not None else self.differentiable if later else self._loss()
        wanted = given if self.schedule.gradient else None
        self._known(wanted or ())
        weighed = later or "loss" in (cotangents or ())
        signature = Signature(bool(checked.lengths), frozenset(checked.states), wanted, weighed, later)
        variant = self.variant(signature)
        bound = variant.bound(checked.sizes)
        call = call_of(
            bound,
            frozenset(variant.weights),
            {name: value.type for name, value in variant.looped.outputs.items() if name != OUTSIDE},
            variant.orders,
            given if given and later else (),
        )
        names = [name for name in variant.inputs if not (later and name.startswith(COTANGENT))]
        inputs = {name: self.input(name, variant, checked, cotangents or {}) for name in names}
        self._calls = {k: c for k, c in self._calls.items() if c.call.bound in self._alive()}
        holds = None if checked.lengths or None in form else self._holds(data, checked.sizes)
        if holds is not None and all(array.dtype == self.schedule.dtype for array in (cotangents or {}).values()):
            turned = {name: variant.turned(name) for name in inputs}
            self._calls[form] = known_call(call, turned, inputs, data, holds)
        return call, inputs

    def _alive(self) -> list[Bound | Walker | Spares]:
        """What has arrays now: each variant keeps those of the sizes last used."""
        return [bound for variant in self._variants.values() for bound in variant.arrays]

    def _holds(self, data: Mapping[str, Any], sizes: Mapping[str, int]) -> Holds | None:
        known: tuple[DataInput | StateInput, ...] = (*self.made.inputs, *self.made.states)
        items = [item for item in known if item.name in data]
        found = contents(items, data, self._bounds, self.schedule.dtype)
        return None if found is None else (*found, *fitting_labels(self._alignments, data, sizes))

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
        told = unmasked(name, self.backend.fetch(cotangents[name]))
        array = cast(told, self.schedule.dtype)
        type = variant.looped.inputs[given].type
        shape = (*(size_of(axis, checked.sizes.__getitem__) for axis in variant.orders[name]), *type.shape)
        if array.shape != shape:
            raise UserError(
                f"the cotangent of `{name}` should be {shape_text(shape)}, got {shape_text(array.shape)}", "E617"
            )
        if (at := overflow(told, array)) is not None:
            held = f"holds {told[at]:g} at {shape_text(at)}, which is infinite in {array.dtype}"
            raise UserError(f"the cotangent of `{name}` {held}", "E530", wider(self.schedule.dtype))
        return array

    def _repr_svg_(self) -> str:
        from rnngraph.viz.notebook import program_svg

        return program_svg(self)


def refuse_unnamed(**given: object) -> None:
    """UserError where data or weights are no arrays by name."""
    for what, named in given.items():
        if not isinstance(named, Mapping):
            raise UserError(f"the {what} should be arrays by name, got {type(named).__name__}", "E519")
        for name in named:
            if not isinstance(name, str):
                raise UserError(f"the {what} should be arrays by name, and {name!r} is not a name", "E519")


def _directions(program: CompiledProgram, along: Mapping[str, Any]) -> Arrays:
    """The directions under the names that a program takes; zeros for the weights that have none."""
    known = [w.name for w in program.made.weights] + [i.name for i in program.made.inputs]
    names = {name.removeprefix(ALONG) for name in known if name.startswith(ALONG)}
    for name in along:
        if name not in names:
            raise UserError(f"nothing that can be differentiated is called `{name}`", "E605", did_you_mean(name, names))
    dtype = program.schedule.dtype
    still = {w.name: np.zeros(w.shape, dtype) for w in program.made.weights if w.name.startswith(ALONG)}
    return still | {ALONG + name: unmasked(name, array) for name, array in along.items()}
