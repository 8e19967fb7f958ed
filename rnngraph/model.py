"""A model as the user holds it: a text with its settings, ready to be compiled."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from msgspec.structs import replace

from rnngraph.compilation.schedule import Schedule
from rnngraph.compilation.schedule_checks import checked_schedule, odd
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.compiled import CompiledProgram, Elaborate
from rnngraph.data.roles import Roles, roles
from rnngraph.diagnostics.argument_kinds import kinds_checked
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.source import Source, Span
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.files.precision import becomes, wider
from rnngraph.ir.graph import Graph, Node, body_nodes, loop_of
from rnngraph.ir.identity import identity_of
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import Block, DataInput, Elaborated, StateInput, Weight
from rnngraph.language.syntax.ast import File
from rnngraph.passes.index_sizes import reached
from rnngraph.passes.pipeline import STAGES
from rnngraph.planning.limits import megabytes
from rnngraph.runtime.backend import Backend
from rnngraph.system.memory import LITTLE, free_bytes
from rnngraph.weights.metadata import About

LARGE_UNROLLING = 100_000
"""Nodes of a static graph from which on the user is warned."""


class Model:
    """One model of a file, with settings. Immutable; `compile` makes programs of it."""

    def __init__(self, file: File, settings: Mapping[str, Any], name: str | None = None) -> None:
        self.file, self.settings, self.name = file, dict(settings), name
        self._known: dict[Any, Elaborated] = {}
        self.made: Elaborated = self.elaborated(False, ())

    @classmethod
    def read(cls, source: Source, settings: Mapping[str, Any] | None = None, name: str | None = None) -> Self:
        """The model of a text (by name, where there are several). UserError with every mistake that is in it."""
        from rnngraph.language.syntax.parser import parse

        return cls(parse(source), settings or {}, name)

    def anew(self) -> Self:
        """The same model, of which nothing is known yet: what is compiled of it is compiled from the start."""
        return type(self)(self.file, self.settings, self.name)

    def elaborated(
        self,
        padded: bool,
        fed: Collection[StateInput],
        watch: tuple[str, ...] = (),
        training: bool = False,
        truncate: int | None = None,
    ) -> Elaborated:
        """The model made into a graph, once for each choice."""
        from rnngraph.language.elaboration.elaborate import elaborate

        key = padded, frozenset(state.name for state in fed), tuple(watch), training, truncate
        if key not in self._known:
            self._known[key] = elaborate(
                self.file,
                self.settings,
                model=self.name,
                padded=padded,
                fed=fed,
                watch=watch,
                training=training,
                truncate=truncate,
            )
        return self._known[key]

    def _narrowed(self, made: Elaborated, outputs: tuple[str, ...] | None, states: bool) -> Elaborated:
        """It with the outputs that are wanted, once for each choice."""
        if outputs is None and not states:
            return made
        key = id(made), None if outputs is None else tuple(outputs), states
        if key not in self._known:
            self._known[key] = _narrowed(made, outputs, states)
        return self._known[key]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the model was read from, the one that was named first."""
        return self.made.files

    @property
    def inputs(self) -> tuple[DataInput, ...]:
        return self.made.inputs

    @property
    def weights(self) -> tuple[Weight, ...]:
        return self.made.weights

    @property
    def states(self) -> tuple[StateInput, ...]:
        return self.made.states

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.made.outputs

    @property
    def recipe(self) -> Mapping[str, Any]:
        return self.made.recipe

    @property
    def block(self) -> Block:
        return self.made.block

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        return self.made.warnings

    @property
    def graph(self) -> Graph:
        """The graph as elaborated: forward, loops as loops."""
        return self.made.graph

    @cached_property
    def roles(self) -> Roles:
        """What its inputs are for: which are known, which only the loss and the metrics read."""
        return roles(self.inputs, self.graph, self.outputs)

    @cached_property
    def vocabularies(self) -> Mapping[str, int]:
        """For each input of integers that choose: of how many."""
        return reached(self.graph)

    @cached_property
    def about(self) -> About:
        """What a weight file says of this model."""
        from rnngraph import __version__

        graph = self.graph
        outputs = {name: identity_of(graph.with_outputs({"": graph.outputs[name]})) for name in self.outputs}
        values = {place: digest for found in outputs.values() for place, digest in found.values.items()}
        return About(
            model=self.block.definition,
            settings=self.settings,
            text={os.path.relpath(s.name, self.file.source.folder or Path()): s.text for s in self.made.sources},
            outputs={name: found.whole for name, found in outputs.items()},
            values=values,
            version=__version__,
        )

    @cached_property
    def for_training(self) -> Elaborated:
        """It as elaborated for training: with what is random there."""
        return self.elaborated(False, (), training=True)

    @property
    def differentiated(self) -> tuple[str, ...]:
        """The outputs whose gradients are meant where nobody names any: the loss, else all of floats."""
        outputs = self.graph.outputs
        return ("loss",) if "loss" in outputs else tuple(n for n in self.outputs if outputs[n].type.dtype == "float")

    @property
    def training_step(self) -> dict[str, Any]:
        """What `compile` is told for a step of training: the weights' gradients are wanted, with what is random in
        training, and of outputs the loss alone (all of floats, where there is none).
        """
        if not self.differentiated:
            raise UserError(
                "the model has nothing to differentiate: no loss, and no output of floats",
                "E611",
                "add `loss cross_entropy(scores, label)` to it",
            )
        return {"gradient": "weights", "training": True, "outputs": self.differentiated}

    @kinds_checked
    def init(self, seed: int = 0, dtype: str = "float64") -> dict[str, Any]:
        """New weights by name. A weight depends on the seed (a whole number) and its name alone."""
        if dtype not in ("float32", "float64"):
            raise UserError(f"`{dtype}` is not a number type to compute with", "E607", "choose float32 or float64")
        from rnngraph.weights.initialisation import init

        total = sum(_count(w.shape) for w in self.weights) * (8 if dtype == "float64" else 4)
        if total > LITTLE and total > (free := free_bytes()):
            largest = max(self.weights, key=lambda w: _count(w.shape))
            raise CannotDo(
                [
                    Diagnostic(
                        "E503",
                        f"the weights take {megabytes(total)} and {megabytes(free)} are free",
                        largest.span,
                        note=f"the largest, {list(largest.shape)}",
                        help="make the model smaller",
                    )
                ]
            )
        return init(self.weights, seed, dtype)

    @kinds_checked
    def compile(
        self,
        unroll: str | int = "dynamic",
        steps: int | Mapping[str, int] | None = None,
        backend: str | Backend = "numpy",
        dtype: str = "float64",
        gradient: bool | Literal["weights"] = False,
        training: bool = False,
        watch: tuple[str, ...] = (),
        outputs: tuple[str, ...] | None = None,
        states: bool = False,
        kernels: str | None = None,
        keep: str = "all",
        memory_limit: str | int | None = None,
        truncate: str | int | None = None,
        swap: str = "",
        products: str = "",
    ) -> CompiledProgram:
        """A program for this schedule.

        `unroll` is "static" (then `steps` is needed: a number, or one for each time axis), "dynamic", or the number of
        steps in one turn of the loop. `gradient="weights"` leaves out the gradients of data and states. `watch` names
        values inside cells that are recorded at every step. `outputs` names those that are wanted, where not all are:
        what only the others need is neither computed nor asked of the data. `states` adds every final state that can
        be fed again, under its name. `kernels` is "native" (compiled here) or "numpy"; None takes compiled ones where
        they can be had. `keep` says what is kept for the backward pass: "all", "every:100" (steps), "sqrt",
        "revolve:50" (states) or "mixed:5" (percent of all); the rest is computed again, with the same bits.
        `memory_limit` ("512MB", or bytes) takes the fastest of these ways that fits. `truncate` is a number of steps:
        gradients through states stop at its multiples, which is not the gradient any more. `swap` is a folder: all is
        kept, in a file there; or "host", for a GPU: all is kept in memory of the host. `products` is "bf16" or "tf32"
        for products on the tensor cores of a GPU: operands are rounded to that, sums are in float32, and so are all
        arrays.
        """
        if not (isinstance(backend, str) or hasattr(backend, "adapted")):
            raise odd("backend", backend)
        schedule = checked_schedule(unroll, steps, dtype, gradient, keep, memory_limit, truncate, swap)
        self.refuse_too_long(schedule)

        from rnngraph.runtime.choose_backend import backend_named, refuse_products, refuse_swap

        if products and not isinstance(backend, str):
            raise UserError("`products` is for a backend that is told by its name", "E649", 'say backend="cupy"')
        device = backend_named(backend, kernels, products) if isinstance(backend, str) else backend
        refuse_products(products or device.rounding, schedule.dtype)
        refuse_swap(swap, device.name)
        elaborate = self.elaborator(schedule.dtype, outputs, states, watch, training, schedule.truncate)
        return CompiledProgram(elaborate, schedule, device)

    def elaborator(
        self,
        dtype: str,
        outputs: tuple[str, ...] | None = None,
        states: bool = False,
        watch: tuple[str, ...] = (),
        training: bool = False,
        truncate: int | None = None,
    ) -> Elaborate:
        """What a program in this type of floats is compiled from, with what is wanted of the model."""

        def elaborate(padded: bool, fed: Collection[StateInput]) -> Elaborated:
            made = self._narrowed(self.elaborated(padded, fed, watch, training, truncate), outputs, states)
            refuse_unheld(made, dtype)
            return made

        return elaborate

    def stages(self, schedule: Schedule, signature: Signature) -> Iterator[tuple[str, Graph]]:
        """Every stage of compilation by name."""
        from rnngraph.runtime.numpy import NumpyBackend

        made = self.elaborated(signature.padded, [s for s in self.states if s.name in signature.fed])
        yield from Variant(made, schedule, signature, NumpyBackend()).stages()

    @kinds_checked
    def stage(
        self, after: str, unroll: str | int, steps: int | None, gradient: bool = False, padded: bool = False
    ) -> Graph:
        """The graph after a stage of the pipeline; with `gradient`, of the loss (or of every float output); `padded`
        for data whose rows have lengths of their own. UserError where there is no such stage."""
        if after not in STAGES:
            known = f"the stages are {', '.join(STAGES)}"
            raise UserError(f"there is no stage `{after}`", "E610", did_you_mean(after, STAGES) or known)
        schedule = checked_schedule(unroll, steps, "float64", gradient)
        self.refuse_too_long(schedule)
        signature = Signature(padded, cotangents=self.differentiated if gradient else None)
        return next(graph for name, graph in self.stages(schedule, signature) if name == after)

    @cached_property
    def nodes_per_step(self) -> dict[str, int]:
        """For each time axis, the nodes in the bodies of the loops over it."""
        found: dict[str, int] = {}
        for node in self.graph.all_nodes():
            if node.op.kind == "loop":
                loop = loop_of(node)
                found[loop.axis] = found.get(loop.axis, 0) + len(body_nodes(loop))
        return found

    def sizes(self, steps: int | Mapping[str, int], batch: int) -> dict[str, int]:
        """The sizes of the axes of data of so many rows, with so many steps along each axis, or along all of them."""
        return {BATCH: batch, **self.steps_by_axis(steps)}

    def steps_by_axis(self, steps: int | Mapping[str, int]) -> dict[str, int]:
        """The number of steps of each axis that the data have; UserError where one has none, or is not there."""
        axes = {axis: None for i in self.inputs for axis in i.axes}
        if isinstance(steps, int):
            return dict.fromkeys(axes, steps)
        for axis in steps:
            if axis not in axes:
                known = did_you_mean(axis, axes) or f"its axes: {', '.join(f'`{a}`' for a in axes) or 'none'}"
                raise UserError(f"no sequence of the data runs over `{axis}`", "E621", known)
        if missing := [axis for axis in axes if axis not in steps]:
            raise UserError(f"no number of steps is given for `{missing[0]}`", "E621", f"add `{missing[0]}=20`")
        return dict(steps)

    def static_nodes(self, schedule: Schedule) -> int:
        """About how many nodes the static graph has; with gradient about three times as many."""
        forward = sum(n * schedule.steps_of(axis) for axis, n in self.nodes_per_step.items())
        return forward * (3 if schedule.gradient else 1)

    def unrolling_warning(self, unroll: str, steps: Mapping[str, int] | int | None, gradient: bool) -> str:
        """What to say of a static graph that will be very large, or nothing."""
        if unroll != "static" or not steps:
            return ""
        nodes = self.static_nodes(checked_schedule("static", steps, "float64", gradient))
        if nodes < LARGE_UNROLLING:
            return ""
        return f"static unrolling makes about {nodes:,} nodes here; `--unroll dynamic` keeps one copy of the cell"

    def refuse_too_long(self, schedule: Schedule) -> None:
        """CannotDo where a static graph for so many steps has no room."""
        if not schedule.static:
            return
        need, free = self.static_nodes(schedule) * 1500, free_bytes()
        if need > free:
            raise CannotDo(
                f"a static graph of this many steps has about {self.static_nodes(schedule):,} nodes and takes about"
                f" {megabytes(need)}; {megabytes(free)} are free",
                "E504",
                help="`--unroll dynamic` runs any number of steps with one copy of the cell",
            )

    def __repr__(self) -> str:
        inputs = ", ".join(i.name for i in self.inputs)
        return f"<Model {self.block.definition}: {inputs} -> {', '.join(self.outputs)}>"


def refuse_unheld(made: Elaborated, dtype: str) -> None:
    """UserError for every place where a number of the text is used that this type does not hold: that is infinite in
    it, or 0."""
    given = [(i.span, i.default) for i in made.inputs if i.default is not None]
    users = [(n.origin.span, c) for n in made.graph.all_nodes() for v in n.inputs for c in _constant(v.node)]
    plain = [(None, c) for v in made.graph.outputs.values() for c in _constant(v.node)]
    bad = {span: number for span, number in (*given, *users, *plain) if becomes(number, dtype)}
    if bad:
        raise UserError(_unheld(number, span, dtype) for span, number in bad.items())


def _unheld(number: float, span: Span | None, dtype: str) -> Diagnostic:
    become, range = becomes(number, dtype), np.finfo(dtype)
    bound = f"below {range.max:.1e}" if become == "infinite" else f"of at least {range.smallest_subnormal:.1e}"
    help = f"{wider(dtype)}, or write a number {bound}"
    return Diagnostic("E629", f"the number {number:g} is {become} in {dtype}", span, help=help)


def _constant(node: Node) -> tuple[float, ...]:
    """The number of a constant of floats."""
    return (float(node.attrs["value"]),) if node.op.name == "const" and node.attrs["dtype"] == "float" else ()


def _narrowed(made: Elaborated, outputs: tuple[str, ...] | None, states: bool) -> Elaborated:
    """The model with the outputs that are wanted, and with every final state that can be fed again."""
    known = made.graph.outputs
    for name in outputs or ():
        if name not in known:
            raise UserError(f"the model has no output `{name}`", "E605", did_you_mean(name, known))
    wanted = dict(known) if outputs is None else {name: known[name] for name in outputs}
    if states:
        there = set(made.graph.nodes())
        wanted |= {s.name: s.final for s in made.states if s.begins or s.final.node in there}
    graph = made.graph.with_outputs(wanted)
    shown = tuple(n for n in (outputs or made.outputs) if n in wanted)
    return replace(made, graph=graph, outputs=shown)


def _count(shape: tuple[int, ...]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result
