"""Many tokens in one run: a model's step, the choice of what follows, and its reading, as the body of a loop.

The rows of a step are the open texts, on an axis of their own. Their log probabilities are added up as whole numbers of
2 ** -47: sums of float32 scores, of which none but 0 is nearer to 0 than 2 ** -23, are exact in them, as they are in
float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from rnngraph.ir.graph import (
    INPUT,
    LOOP,
    Capture,
    Carry,
    Graph,
    Loop,
    Node,
    Rewriter,
    Value,
    body_param,
    graph_input,
    loop_node,
    loop_of,
    ordered,
)
from rnngraph.ir.types import Type, root
from rnngraph.language.elaboration.elaborated import DataInput, Elaborated
from rnngraph.ops import TABLE, call, const

UNIT = 2.0**47
DEAD = -(2**62)
"""The sum of a text that cannot be."""
TOKEN, TOTAL, STATE, END = "open:token", "open:total", "state:", "open:end"
"""The inputs: of each open text its last token, which has not been read, its sum, and its states; the token that ends a
text. Outputs of the first three names are what the next run begins with."""
TOTALS, TOKENS, PARENTS, LARGEST = "totals", "tokens", "parents", "largest"
"""The outputs of each step: the best candidates, and the largest score of each text, which is a nan where one is."""


class Extent(NamedTuple):
    """How much a loop does: so many open texts, so many of whose candidates are told, at so many steps."""

    texts: int
    candidates: int
    steps: int


class CannotLoop(Exception):
    """The model's step does more than what is done here."""


def looped(made: Elaborated, tokens: str, logs: Value, extent: Extent) -> Elaborated:
    """The model that writes: the best candidates at each of so many steps, of which the first that do not end a text
    are read at the next. `logs` are its log probabilities at each step, by what its input `tokens` reads. Its states
    must be inputs.

    CannotLoop where its step cannot stand in a loop.
    """
    width, count, steps = extent
    texts, axis = f"{width}@for", f"{steps}@for/1"
    states = {STATE + s.name: s for s in made.states}
    types = {TOKEN: Type((), (width,), "int"), TOTAL: Type((), (width,), "int")}
    types |= {name: Type((), (width, *s.type.shape), s.type.dtype) for name, s in states.items()}
    inputs = {name: graph_input(name, "data", type) for name, type in {**types, END: Type((), (), "int")}.items()}
    params = {name: body_param(name, type) for name, type in types.items()}
    end = body_param(END, Type((), (), "int"))
    captures = {value: body_param(n, value.type) for n, value in made.graph.inputs.items() if _is_weight(value)}
    [time] = made.graph.inputs[tokens].type.axes[:1]
    step = _OneStep(time)
    step.map |= captures
    step.map |= {made.graph.inputs[tokens]: call("rows", params[TOKEN], axis=texts)}
    step.map |= {s.value: call("rows", params[name], axis=texts) for name, s in states.items()}
    scores, *after = step.run([logs, *(s.final for s in made.states)])
    if scores.type.axes != (texts,) or any(v.type.axes not in ((texts,), ()) for v in after):
        raise CannotLoop
    chosen = _chosen(scores, params[TOTAL], end, texts, width, count)
    rows = {name: _as_rows(value, texts, width) for name, value in zip(states, after, strict=True)}
    nexts = {name: chosen[name] for name in (TOKEN, TOTAL)}
    nexts |= {name: call("take", value, chosen["from"]) for name, value in rows.items()}
    stacks = [chosen[name] for name in (TOTALS, TOKENS, PARENTS, LARGEST)]
    used = _used([*nexts.values(), *stacks])
    loop = Loop(
        axis, False,
        tuple(Carry(inputs[name], params[name], nexts[name]) for name in types),
        (),
        (*(Capture(v, p) for v, p in captures.items() if p in used), Capture(inputs[END], end)),
        tuple(stacks),
        label="decoding",
    )  # fmt: skip
    names = (*types, TOTALS, TOKENS, PARENTS, LARGEST)
    graph = Graph({**made.graph.inputs, **inputs}, dict(zip(names, loop_node(loop).values, strict=True)))
    given = tuple(DataInput(name, value.type, (), None) for name, value in inputs.items())
    return replace(made, graph=graph, inputs=given, states=(), outputs=names, orders={})


def _is_weight(value: Value) -> bool:
    return bool(value.node.attrs["kind"] == "weight")


def _used(roots: list[Value]) -> set[Value]:
    return {value for node in ordered(v.node for v in roots) for value in node.values}


def _as_rows(value: Value, axis: str, width: int) -> Value:
    """The texts as the first dimension."""
    if axis not in value.type.axes:
        value = call("spread", value, axes=(axis,))
    return call("steps", value, axis=axis, size=width)


def _chosen(logs: Value, total: Value, end: Value, texts: str, width: int, count: int) -> Mapping[str, Value]:
    """The candidates of a step, the best first, of equal ones that of the first text with the first token, and which of
    them go on."""
    each = min(count, logs.type.shape[0])
    best = call("top_k", logs, k=each)
    values = call("entries", logs, best)
    whole = call("cast", call("maximum", call("mul", values, const(UNIT)), const(float(DEAD))), dtype="int")
    before = call("rows", call("reshape", total, shape=(width, 1)), axis=texts)
    sums = call("maximum", call("add", before, whole), const(DEAD, "int"))
    sums, ids = (call("reshape", _as_rows(v, texts, width), shape=(width * each,)) for v in (sums, best))
    places = call("top_k", sums, k=min(count, width * each))
    totals, tokens = call("entries", sums, places), call("entries", ids, places)
    parents = call("floordiv", places, const(each, "int"))
    over = call("eq", tokens, end)
    open = call("top_k", call("where", over, const(2 * DEAD, "int"), totals), k=width)
    return {
        TOTALS: totals, TOKENS: tokens, PARENTS: parents,
        LARGEST: _as_rows(call("max_over", values, dims=(-1,)), texts, width),
        TOTAL: call("entries", totals, open), TOKEN: call("entries", tokens, open),
        "from": call("entries", parents, open),
    }  # fmt: skip


class _OneStep(Rewriter):
    """Rebuilds what runs along an axis as its one step, over rows of whatever axes what is given has."""

    def __init__(self, axis: str) -> None:
        super().__init__(self.step)
        self.axis = axis

    def step(self, node: Node, inputs: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if node.op is LOOP:
            return self.inlined(loop_of(node), inputs)
        if node.op is TABLE["spread"]:
            return inputs
        if node.op is TABLE["size"] and node.attrs["axes"] == (self.axis,):
            return (const(1.0),)
        one, several = (node.attrs.get(name, "") for name in ("axis", "over")), ("axes", "reduce")
        axes = (*one, *(axis for name in several for axis in node.attrs.get(name, ())))
        if node.op is INPUT or any(root(axis) == self.axis for axis in axes):
            raise CannotLoop
        return None

    def inlined(self, loop: Loop, inputs: tuple[Value, ...]) -> tuple[Value, ...]:
        if root(loop.axis) != self.axis:
            raise CannotLoop
        counter = (const(0, "int"),) if loop.counter else ()
        self.map |= dict(zip(loop.params, (*inputs, *counter), strict=True))
        return self.run(loop.results)
