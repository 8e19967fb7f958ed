"""What keeps a model from being run a piece of its sequence at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.ir.graph import LOOP, Graph, Loop, Node, Value, body_nodes, every, finals, loop_of, ordered
from rnngraph.ir.types import is_fixed, root
from rnngraph.language.elaboration.elaborated import DataInput, Elaborated, StateInput
from rnngraph.language.elaboration.loop_levels import DONE
from rnngraph.ops import TABLE

ANYWHERE = (TABLE["spread"], TABLE["iota"], TABLE["size"])
"""What names an axis and yet gives each step what it gives it in any piece."""
SUM = TABLE["sum_axes"]
DRAWS = ("uniform", "normal", "categorical", "draw")


def of_going_on(outputs: Iterable[Value], states: Collection[StateInput], axis: str) -> list[Diagnostic]:
    """What keeps outputs and states from being in a later run, from these states on, what they would be in one run.

    An axis of a fixed number of steps is that of one loop, whatever others have as many.
    """
    own = [s for s in states if root(s.axis) == axis and not s.begins]
    loops = {s.final.node for s in own}
    shown = [v for v in outputs if any(root(a) == axis for a in v.type.axes)]
    if is_fixed(axis):
        shown = [v for v in shown if not loops.isdisjoint(ordered([v.node]))]
    wanted = {str(i): v for i, v in enumerate([*shown, *(s.final for s in own)])}
    return list(obstacles(Graph({}, wanted), axis, {s.value for s in states}))


def of_a_later_piece(made: Elaborated, state: StateInput) -> list[Diagnostic]:
    """What keeps a model from being run where a state says that steps are over already."""
    return of_going_on(made.graph.outputs.values(), made.states, root(state.axis))


def obstacles(graph: Graph, axis: str, handed_on: Collection[Value], summed: bool = False) -> Iterator[Diagnostic]:
    """Where a graph looks from one step along an axis to another, other than by the states that are handed on.

    `handed_on` are the first values of these. Every k-th step is no obstacle where pieces begin at multiples of k; nor,
    where what is wanted may be `summed`, is a sum over all steps that no step reads: that of a piece is over its own.
    """
    found = _all(graph, axis, handed_on, summed)
    yield from {(d.code, d.span): d for d in found}.values()  # a function is several operations


def without_next_step(inputs: Iterable[DataInput]) -> Iterator[Diagnostic]:
    """The data over several axes: along which of them the next step would lie is not said."""
    for item in inputs:
        if len(item.axes) > 1:
            told = f"`{item.name}` runs over {' and '.join(item.axes)}, so that there is no one next step of it"
            yield Diagnostic("E642", told, item.span)


def _all(graph: Graph, axis: str, handed_on: Collection[Value], summed: bool) -> Iterator[Diagnostic]:
    nodes = graph.nodes()
    ends = {state for node in nodes if _runs_along(node, axis) for state in finals(node)}
    for node in nodes:
        if _runs_along(node, axis):
            yield from _of_loop(node, handed_on)
        elif _looks_along(node, axis) and not (summed and node.op is SUM and not _is_read_by_steps(node, nodes, axis)):
            yield _looking(node)
        if not ends.isdisjoint(_read(node, axis)):
            told = "the states after the last step are read here, which the whole sequence has to be known for"
            yield Diagnostic("E642", told, node.origin.span)
        if node.op is LOOP:
            yield from (_looking(n) for n in every(body_nodes(loop_of(node))) if _looks_along(n, axis))


def _of_loop(node: Node, handed_on: Collection[Value]) -> Iterator[Diagnostic]:
    loop, span = loop_of(node), node.origin.span
    if loop.reverse:
        yield Diagnostic("E640", "a reversed loop needs the whole sequence", span)
        return
    kept = [c.init for c in loop.carries if c.init not in handed_on and not _is_end(loop, c.param)]
    if any(_runs_along(n, root(loop.axis)) for n in ordered(v.node for v in kept)):
        yield Diagnostic("E641", "this loop starts from the end of another one, after the whole sequence", span)
    elif kept:
        yield Diagnostic(
            "E641",
            "a state of this loop has no name to return it under",
            span,
            help="give its final states a name of their own, as in `y, final = unroll ...`",
        )


def _read(node: Node, axis: str) -> Iterable[Value]:
    """What a node reads, but for what a loop along the axis starts from."""
    return [c.outer for c in loop_of(node).captures] if _runs_along(node, axis) else node.inputs


def _is_read_by_steps(sum: Node, nodes: Iterable[Node], axis: str) -> bool:
    """Whether numbers of single steps are combined with what follows from a sum over all of them."""
    behind = {sum}
    for node in nodes:
        if any(v.node in behind for v in node.inputs):
            behind.add(node)
            others = [v.type for v in node.inputs if v.node not in behind]
            if any(type.dtype == "float" and axis in map(root, type.axes) for type in others):
                return True
    return False


def _runs_along(node: Node, axis: str) -> bool:
    return node.op is LOOP and root(loop_of(node).axis) == axis


def _is_end(loop: Loop, state: Value) -> bool:
    """Whether a state tells that the row has had its last step, of this piece alone."""
    return state == loop.until and state.node.attrs["name"] == DONE


def _looks_along(node: Node, axis: str) -> bool:
    if node.op is LOOP:
        return _runs_along(node, axis)
    if node.op in ANYWHERE:
        return node.op is TABLE["iota"] and is_fixed(axis) and root(node.attrs["axis"]) == axis
    if node.op is TABLE["every"] and node.attrs["by"] > 1:
        return False
    one, several = ("axis", "over"), ("axes", "reduce")
    named = [node.attrs[a] for a in one if a in node.attrs] + [n for a in several for n in node.attrs.get(a, ())]
    return any(root(name) == axis for name in named)


def _looking(node: Node) -> Diagnostic:
    span = node.origin.span
    word = span.text.partition("(")[0] if span else ""
    said = f"`{word if word.isidentifier() else node.op.name}` looks"
    if node.op is LOOP:
        said = "a loop inside a step looks"
    elif node.op is TABLE["iota"]:
        said = "a random number outside the loop must look" if word in DRAWS else "a number of steps for each row looks"
    keeps = word == "shift" and node.attrs.get("by", 0) > 0
    help = "a state can keep what came before: `state last: [n] = 0`, `last' = x`" if keeps else ""
    return Diagnostic("E642", f"{said} at more than one step", span, help=help)
