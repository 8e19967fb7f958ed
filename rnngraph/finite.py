"""Where a number that is no number came from: a run is repeated one equation at a time until it appears.

The repeated run is of the graph as the user wrote it, as loops and not optimised, so steps come in their order
and every value carries its own name and place. It is slow, and only made when a result is not finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rnngraph.compiled import CompiledProgram, Signature, Variant, with_cotangents
from rnngraph.diagnostics import CannotDo, Diagnostic, Label
from rnngraph.front.block import Elaborated
from rnngraph.ir.graph import LOOP, Graph, Node, body_nodes, loop_of
from rnngraph.ir.types import BATCH, Type, size_of
from rnngraph.passes.grad import gradients
from rnngraph.program.lower import lower
from rnngraph.program.memory import plan
from rnngraph.program.program import Code, Program, Ref, Repeat, Ring, Step, Turn
from rnngraph.program.room import refuse_if_too_large
from rnngraph.runtime.execute import Bound, viewed
from rnngraph.source import Span

Arrays = Mapping[str, Any]


class At(NamedTuple):
    """Where a loop stands: its axis, the place on it, and the number of finished steps."""

    axis: str
    place: int
    finished: int


WORDS = {"contract": "the product", "sum_axes": "the sum over steps and rows", "scatter_rows": "the sum over rows"}
"""What a user calls an op whose name is ours."""


@dataclass(frozen=True)
class Birth:
    """The first value of a run that is nan, or infinite, though nothing that it was made from is."""

    node: Node
    value: float
    operands: tuple[float, ...]
    place: tuple[str, ...]
    """In words, from the outside in: `step 17`, `row 0`, `value 3`; all count from 0."""
    loop: Span | None
    """Where the loop that it happened in is written."""

    @property
    def said(self) -> str:
        """`log of -0.5 is nan here`."""
        operands = " and ".join(f"{x:.6g}" for x in self.operands)
        name = WORDS.get(self.node.op.name, f"`{self.node.op.name}`")
        return f"{name}{f' of {operands}' if operands else ''} is {self.value} here"


def unusual(results: Arrays) -> list[str]:
    """The names of the results that hold a nan."""
    floats = ((name, np.asarray(array)) for name, array in results.items())
    return [name for name, array in floats if array.dtype.kind == "f" and np.isnan(array).any()]


def explain(program: CompiledProgram, data: Arrays, weights: Arrays, gradient: bool = False) -> Diagnostic | None:
    """The first equation and step that gives a nan (where there is none, an infinite value) for this input.

    None where nothing of the kind is found, or where there is no room to look for it.
    """
    bad = next((name for name, array in weights.items() if not np.isfinite(np.asarray(array)).all()), None)
    if bad is not None:
        return Diagnostic("E532", f"the weight `{bad}` holds a value that is not finite", _declared(program, bad))
    try:
        nan, infinite = _births(program, data, weights, gradient)
    except CannotDo:
        return None
    if nan is None and infinite is None:
        return None
    return _told(nan, infinite)


def _declared(program: CompiledProgram, name: str) -> Span | None:
    return next((w.span for w in program.made.weights if w.name == name), None)


# --- the repeated run --------------------------------------------------------------------------------------------


def _births(
    program: CompiledProgram, data: Arrays, weights: Arrays, gradient: bool
) -> tuple[Birth | None, Birth | None]:
    """The first nan, and the first infinite value before it."""
    checked = program.check({name: _without_holes(array) for name, array in data.items()})
    signature = Signature(bool(checked.lengths), frozenset(checked.states), ("loss",) if gradient else None)
    variant = program.variant(signature)
    graph = _plain(variant)
    code = lower(graph)
    sizes = variant.all_sizes(checked.sizes) | _derived(code, checked.sizes)
    made = plan(code, sizes, program.schedule.dtype)
    refuse_if_too_large(code, made, program.backend.free_bytes(), False)
    bound = Bound(code, made, program.backend)
    bound.bind(weights)
    for name, slot in code.inputs.items():
        program.backend.give(program.input(name, variant, checked, {}), bound.bases[slot])
    with np.errstate(all="ignore"):
        return _first(_executed(bound, code.code, {}), _loops(graph))


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


class Done(NamedTuple):
    """A step that has just run: what it read (copied, for it may be written over) and what it wrote."""

    step: Step
    turns: Mapping[int, At]
    ins: Sequence[Any]
    outs: Sequence[Any]


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


# --- what is looked for ------------------------------------------------------------------------------------------


def _first(run: Iterable[Done], loops: Mapping[Node, Span]) -> tuple[Birth | None, Birth | None]:
    infinite: Birth | None = None
    for done in run:
        found = _birth(done, loops, np.isnan)
        if found is not None:
            return found, infinite
        infinite = infinite or _birth(done, loops, np.isinf)
    return None, infinite


def _birth(done: Done, loops: Mapping[Node, Span], is_bad: Callable[[Any], Any]) -> Birth | None:
    """Of this step, if it makes a bad value from good ones."""
    if any(array.dtype.kind == "f" and is_bad(array).any() for array in done.ins):
        return None
    for array, type in zip(done.outs, done.step.node.types, strict=False):
        if array.dtype.kind == "f" and (bad := is_bad(array)).any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])  # time is the first axis: the earliest step
            node = done.step.node
            return Birth(
                node,
                float(array[index]),
                _operands(done, array, index),
                _place(index, type, done.turns),
                loops.get(node),
            )
    return None


def _operands(done: Done, out: Any, index: tuple[int, ...]) -> tuple[float, ...]:
    """What a pointwise op was given for this entry."""
    if done.step.node.op.kind != "pointwise":
        return ()
    return tuple(float(np.broadcast_to(array, out.shape)[index]) for array in done.ins)


def _place(index: tuple[int, ...], type: Type, turns: Mapping[int, At]) -> tuple[str, ...]:
    """The step of each loop that is running and of each time axis, then row and value."""
    within = dict(zip(type.axes, index, strict=False))
    steps = [f"step {at.place}" for at in turns.values() if not at.axis.endswith("@for")]
    steps += [f"step {i}" for axis, i in within.items() if axis != BATCH]
    row = [f"row {within[BATCH]}"] if BATCH in within else []
    value = index[len(type.axes) :]
    return (*steps, *row, *([f"value {', '.join(map(str, value))}"] if value else []))


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


# --- what is said ------------------------------------------------------------------------------------------------


def _told(nan: Birth | None, infinite: Birth | None) -> Diagnostic:
    birth = nan or infinite
    assert birth is not None
    origin = birth.node.origin
    what = f"`{origin.name}`" if origin.name else "a value"
    if origin.backward:
        what = f"the gradient of {what}"
    within = f" in `{'.'.join(origin.path)}`" if origin.path else ""
    return Diagnostic(
        "E532",
        f"{what}{within} becomes {birth.value} at {', '.join(birth.place) or 'its only place'}",
        origin.span,
        birth.said if origin.span else "",
        _labels(birth, infinite if nan else None),
        _advice(infinite or birth),
    )


def _labels(birth: Birth, infinite: Birth | None) -> tuple[Label, ...]:
    """Where the loop is written, and where an infinite value came first."""
    labels = []
    own = birth.node.origin.span
    if birth.loop is not None and own is not None and birth.loop.source != own.source:
        labels.append(Label(birth.loop, "run here"))
    if infinite is not None and (span := infinite.node.origin.span) is not None:
        labels.append(Label(span, f"{infinite.said}, before that, at {', '.join(infinite.place)}"))
    return tuple(labels)


def _advice(birth: Birth) -> str:
    known = {
        "log": "keep its operand above zero, as `log(max(x, 1e-6))` does",
        "sqrt": "keep its operand from going below zero, as `sqrt(max(x, 0))` does",
        "exp": "its operand is too large: subtract the largest first, or use `softmax`, `softplus` or `log_softmax`",
    }
    if birth.node.op.name == "div" and birth.operands[1:] == (0.0,):
        return "keep the divisor from zero"
    return known.get(birth.node.op.name, "")
