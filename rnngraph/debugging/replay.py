"""A run that is repeated one equation at a time, to find where something happened.

It is of the graph as the user wrote it, as loops and not optimised, so steps come in their order and every value
carries its own name and place. It is slow, and only made when there is something to be told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from rnngraph.compilation.differentiation import with_cotangents
from rnngraph.compilation.schedule import Schedule
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.data.checks import Checked
from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import LOOP, Graph, Node, body_nodes, loop_of
from rnngraph.ir.types import BATCH, EVERY, FIXED, Type, size_of
from rnngraph.language.elaboration.elaborated import Elaborated
from rnngraph.passes.grad import gradients
from rnngraph.planning.limits import refuse_if_too_large
from rnngraph.planning.lowering import lower
from rnngraph.planning.plan import plan
from rnngraph.planning.program import Code, Program, Ref, Repeat, Ring, Step, Turn
from rnngraph.runtime.backend import Backend
from rnngraph.runtime.execution import Bound, viewed

Arrays = Mapping[str, Any]


class Compiled(Protocol):
    """A compiled program, as far as it is run again: see `compiled.CompiledProgram`."""

    made: Elaborated
    schedule: Schedule
    backend: Backend

    def check(self, data: Arrays) -> Checked: ...

    def run(self, data: Arrays, weights: Arrays) -> Arrays: ...

    def variant(self, signature: Signature) -> Variant: ...

    def input(self, name: str, variant: Variant, checked: Checked, cotangents: Arrays) -> Any: ...


class At(NamedTuple):
    """Where a loop stands: its axis, the place on it, and the number of finished steps."""

    axis: str
    place: int
    finished: int


class Done(NamedTuple):
    """A step that has just run: what it read (copied, for it may be written over) and what it wrote."""

    step: Step
    turns: Mapping[int, At]
    ins: Sequence[Any]
    outs: Sequence[Any]


class Rerun(NamedTuple):
    """The steps, each of which is run when it is asked for; and where the loop around a node is written."""

    steps: Iterator[Done]
    loops: Mapping[Node, Span]


def rerun(program: Compiled, data: Arrays, weights: Arrays, gradient: bool = False) -> Rerun:
    """A program's run on these data, forward or with the gradients of its loss. CannotDo where there is no room."""
    checked = program.check({name: _without_holes(array) for name, array in data.items()})
    signature = Signature(bool(checked.lengths), frozenset(checked.states), ("loss",) if gradient else None)
    variant = program.variant(signature)
    graph = _plain(variant)
    code = lower(graph)
    sizes = checked.sizes | _derived(code, checked.sizes)
    made = plan(code, sizes, program.schedule.dtype)
    refuse_if_too_large(code, made, program.backend.free_bytes(), False)
    bound = Bound(code, made, program.backend)
    bound.bind(weights)
    for name, slot in code.inputs.items():
        program.backend.give(program.input(name, variant, checked, {}), bound.bases[slot])
    return Rerun(_executed(bound, code.code, {}), _loops(graph))


def _without_holes(array: Any) -> Any:
    """Padding may hold anything, so what is not finite there (and only there) is taken for zero."""
    array = np.asarray(array)
    return np.where(np.isfinite(array), array, 0) if array.dtype.kind == "f" else array


def _derived(code: Program, sizes: Mapping[str, int]) -> dict[str, int]:
    """The sizes of the axes that the model makes itself."""
    return {axis: size_of(axis, sizes.__getitem__) for axis in code.axes if axis not in sizes}


def _plain(variant: Variant) -> Graph:
    """The graph as written, with the gradients of its weights where they are asked for."""
    made: Elaborated = variant.elaborated
    if variant.signature.cotangents is None:
        return made.graph
    graph, cotangents = with_cotangents(made.graph, variant.signature.cotangents)
    inputs = graph.inputs
    trained = {w.name: inputs[w.name] for w in made.weights if not w.frozen and w.name in inputs}
    return gradients(graph, cotangents, trained)


def _executed(bound: Bound, code: Sequence[Code], turns: Mapping[int, At]) -> Iterator[Done]:
    """Runs the program, and stops after each step."""
    for item in code:
        if isinstance(item, Step):
            yield _done(bound, item, turns)
            continue
        assert isinstance(item, Repeat)
        size = bound.plan.sizes[item.axis]
        for finished in range(size):
            at = At(item.axis, size - 1 - finished if item.reverse else finished, finished)
            yield from _executed(bound, item.body, {**turns, item.loop: at})


def _done(bound: Bound, step: Step, turns: Mapping[int, At]) -> Done:
    kernel, arguments = bound.parts(step)
    views = [_view(bound, ref, index, turns) for ref, index in arguments]
    first = len(step.ins)
    fetch: Callable[[Any], Any] = bound.backend.fetch
    ins = [np.array(fetch(array)) for array in views[:first]]
    kernel(*views)
    return Done(step, turns, ins, [fetch(array) for array in views[first : first + len(step.outs)]])


def _view(bound: Bound, ref: Ref, index: Sequence[Any], turns: Mapping[int, At]) -> Any:
    return viewed(bound.bases[ref.slot], tuple(_entry(e, turns) for e in index))


def _entry(entry: Any, turns: Mapping[int, At]) -> Any:
    if isinstance(entry, Turn):
        return turns[entry.loop].place + entry.offset
    if isinstance(entry, Ring):
        return (turns[entry.loop].finished + entry.offset) % 2
    return entry


def _loops(graph: Graph) -> dict[Node, Span]:
    """For each node of a loop's body, where the loop is written."""
    found: dict[Node, Span] = {}
    pending: list[tuple[Node, Span | None]] = [(node, None) for node in graph.nodes()]
    while pending:
        node, span = pending.pop()
        if span is not None:
            found[node] = span
        if node.op is LOOP:
            inner = node.origin.span or span
            pending += [(inside, inner) for inside in body_nodes(loop_of(node))]
    return found


# --- places in words -----------------------------------------------------------------------------------------------


def place(index: Sequence[int], type: Type, turns: Mapping[int, At]) -> tuple[str, ...]:
    """In words, from the outside in: the step of each running loop and of each time axis, then row and value."""
    within = dict(zip(type.axes, index, strict=False))
    steps = [_step(at.axis, at.place) for at in turns.values()]
    steps += [_step(axis, i) for axis, i in within.items() if axis != BATCH]
    row = [f"row {within[BATCH]}"] if BATCH in within else []
    value = index[len(type.axes) :]
    return (*steps, *row, *([f"value {', '.join(map(str, value))}"] if value else []))


def _step(axis: str, place: int) -> str:
    """`step 3`; of a fixed number `step 3 of 50`, and of an axis that has a name of its own `step 3 of source`."""
    known_as = axis.removesuffix(FIXED).removesuffix(f"{EVERY}1")
    return f"step {place}" if known_as == "time" else f"step {place} of {known_as}"
