"""The program of one signature: its graph through all passes, lowered, planned, with arrays; made as it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.checkpointing.chunks import Course
from rnngraph.checkpointing.execution import Walker
from rnngraph.checkpointing.memory_limit import Fitting
from rnngraph.checkpointing.options import Keep, course, swapped, truncated
from rnngraph.checkpointing.plan import Walking, state_bytes, tape_bytes, walking
from rnngraph.checkpointing.segment_programs import Parts
from rnngraph.checkpointing.segments import Cut, cut
from rnngraph.checkpointing.stages import Way, ways, why_not
from rnngraph.compilation.calls import COTANGENT, GRADIENT, to_program
from rnngraph.compilation.differentiation import differentiated, in_two_ways, looped
from rnngraph.compilation.schedule import Schedule, Steps
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.ir.graph import Graph
from rnngraph.ir.order import Order
from rnngraph.ir.types import BATCH, size_of
from rnngraph.language.elaboration.elaborated import Elaborated
from rnngraph.passes.pipeline import stages, unrolled
from rnngraph.planning.limits import refuse_if_too_large
from rnngraph.planning.lowering import lower
from rnngraph.planning.plan import Plan, plan
from rnngraph.planning.program import Program
from rnngraph.runtime.backend import Backend
from rnngraph.runtime.buffer_pool import Spares
from rnngraph.runtime.execution import Bound
from rnngraph.system import garbage
from rnngraph.system.memory import LITTLE


class Signature(Struct, frozen=True):
    """What was given: lengths or not, which states, and cotangents of which outputs (None: forward alone)."""

    padded: bool = False
    fed: frozenset[str] = frozenset()
    cotangents: tuple[str, ...] | None = None
    weighed: bool = False
    """Whether the loss has a cotangent that is given, as other outputs have; else it is 1."""
    apart: bool = False
    """Whether the cotangents come later: the forward pass, with all outputs, is run apart from what waits for them."""


class Variant(Struct, frozen=True, eq=False, dict=True):
    """The program for one signature. Plans and arrays are kept for the sizes last used."""

    elaborated: Elaborated
    schedule: Schedule
    signature: Signature
    backend: Backend
    _bound: dict[tuple[tuple[str, int], ...], Bound | Walker | Spares] = field(default_factory=dict)

    def stages(self) -> Iterator[tuple[str, Graph]]:
        """Every stage of compilation by name, from the elaborated graph on."""
        told = self.signature
        asked = differentiated(self.elaborated, told.cotangents, self.schedule.gradient, told.weighed)
        steps = Steps(self.schedule)
        yield from stages(*asked, self.schedule.unroll, steps, whole_loops=not self.backend.unrolls)

    @property
    def looped(self) -> Graph:
        """The last stage that has loops, the same in every mode."""
        told = self.signature
        whole_loops = not self.backend.unrolls
        return looped(self.elaborated, told.cotangents, self.schedule.gradient, told.weighed, whole_loops)

    @cached_property
    def graph(self) -> Graph:
        """The graph as it is lowered where all steps are computed in one go."""
        return unrolled(self.looped, self.schedule.unroll, Steps(self.schedule))

    @cached_property
    def program(self) -> Program:
        graph = self.graph if self.backend.unrolls else self.looped
        program = in_two_ways(graph) if self.signature.apart else lower(graph)
        return self.backend.adapted(program, self.schedule.dtype)

    @cached_property
    def _given(self) -> dict[str, str]:
        """What the graph reads from outside, by name, with its kind."""
        return {n.attrs["name"]: n.attrs["kind"] for n in self.looped.nodes() if n.op.name == "input"}

    @cached_property
    def orders(self) -> dict[str, Order]:
        """Of each result, gradients of inputs too, its axes as the user meets them."""
        return {**{GRADIENT + i.name: i.order for i in self.elaborated.inputs}, **self.elaborated.orders}

    @cached_property
    def _given_orders(self) -> dict[str, Order]:
        """Of each input of data its axes as the user gives them."""
        return {i.name: i.order for i in self.elaborated.inputs}

    def turned(self, name: str) -> list[int]:
        """The axes of an input in the program's order, as positions in the user's."""
        of_result = self.orders.get(name.removeprefix(COTANGENT)) if name.startswith(COTANGENT) else None
        return to_program(self.looped.inputs[name].type, of_result or self._given_orders.get(name))

    @property
    def arrays(self) -> list[Bound | Walker | Spares]:
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
            raise too_small(limit, walked.total, f"`--keep {keep}` does not fit", "`--keep all` leaves it the choice")
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
    def bound(self, sizes: Mapping[str, int]) -> Bound | Walker | Spares:
        """The program with arrays for these sizes; those of the sizes before are given back.

        Where cotangents come later, each call has arrays of its own.
        """
        key = tuple(sorted(sizes.items()))
        if key not in self._bound:
            self._bound.clear()
            if self.signature.apart:
                make = partial(_own_arrays, self.backend, self.program, self.everything(sizes), self.schedule.static)
                self._bound[key] = Spares(self.backend, make)
                return self._bound[key]
            self._bound[key] = self.with_arrays(self.planned(sizes))
        return self._bound[key]

    def planned(self, sizes: Mapping[str, int]) -> Plan | Walking:
        """The plan of a run; CannotDo where it takes more than its limit, or than what is free."""
        made = self.plan(sizes)
        free = _free(self.backend, made.total)
        if isinstance(made, Plan):
            refuse_if_too_large(self.program, made, free, self.schedule.static)
        elif made.total > free:
            raise too_small(free, made.total, "that is what is free", "`--memory-limit` finds a schedule that fits")
        return made

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
            raise too_small(limit, everything.total, "", "nothing of this run can be recomputed")
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


def too_small(limit: int, need: int, reason: str, help: str) -> CannotDo:
    """The limit cannot be kept, with the fewest bytes that would do."""
    why = f"{reason}: " if reason else ""
    return CannotDo([Diagnostic("E616", f"{why}a limit of {limit:,} bytes; at least {need:,} are needed", help=help)])


def no_walk(graph: Graph, keep: Keep) -> CannotDo:
    """Why no loop of a graph can be computed again, with the line of one that cannot."""
    loop = next((n for n in graph.nodes() if n.op.kind == "loop"), None)
    reason = why_not(loop) if loop else "the model has no loop whose steps could be recomputed"
    span = loop.origin.span if loop else None
    return CannotDo([Diagnostic("E614", f"`--keep {keep}`: {reason}", span, help="`--keep all` runs any model")])


def _free(backend: Backend, total: int) -> int:
    """The bytes that are free for so many."""
    return backend.free_bytes() if total > LITTLE else LITTLE


def _own_arrays(backend: Backend, program: Program, made: Plan, static: bool) -> Bound:
    """A program with arrays that it shares with no other."""
    refuse_if_too_large(program, made, _free(backend, made.total), static)
    return backend.bound(program, made)


def axes_of(graph: Graph) -> set[str]:
    """Every axis that a value of a graph has, or a loop runs along."""
    nodes = list(graph.all_nodes())
    loops = {node.attrs["loop"].axis for node in nodes if node.op.kind == "loop"}
    return loops | {axis for node in nodes for type in node.types for axis in type.axes}
