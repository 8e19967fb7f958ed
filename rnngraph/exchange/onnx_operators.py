"""Library cells as ONNX's own operators LSTM, GRU and RNN, where a loop is exactly one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rnngraph.exchange.chosen import LENGTHS, Chosen
from rnngraph.exchange.layouts import ONNX
from rnngraph.exchange.onnx_scope import Scope
from rnngraph.exchange.recognise import Cell, instances, recognised, unmasked, written
from rnngraph.front.block import Block
from rnngraph.ir.graph import LOOP, Graph, Loop, Node, Value, loop_of
from rnngraph.ir.types import BATCH

ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}


def operator_rules(given: Chosen, graph: Graph) -> dict[Node, Callable[..., tuple[str, ...]]]:
    """For each loop that is one operator: what writes that operator in its place."""
    found: dict[Node, Callable[..., tuple[str, ...]]] = {}
    for node in graph.nodes():
        if node.op is LOOP:
            for block in instances(given.made.block):
                cell = recognised(block, loop_of(node))
                if cell and _sayable(cell) and _exactly(block, loop_of(node)):
                    found[node] = _writer(given, node, cell)
    return found


def _sayable(cell: Cell) -> bool:
    """Whether the operator has the cell's options: it knows neither a projection nor a clip of the cell."""
    options = cell.options
    clipped = options.get("cell_clip", 0) or options.get("projection", 0)
    return cell.activation in ACTIVATIONS and not clipped


def _exactly(block: Block, loop: Loop) -> bool:
    """Whether the loop reads one sequence of vectors, runs nothing but the cell, and hands out nothing but `h`."""
    equations = written(block, loop)
    given = {s.param: s for s in loop.slices}
    if len(equations.given) != 1 or equations.given[0] not in given or len(loop.carries) != len(block.states):
        return False
    masks = [s for s in loop.slices if s.param != equations.given[0]]
    if any(s.param.type.dtype != "bool" or s.param.type.shape for s in masks) or len(masks) > 1:
        return False
    sequence = given[equations.given[0]].sequence.type
    steps_first = sequence.axes == (loop.axis, BATCH) and len(sequence.shape) == 1
    return steps_first and all(unmasked(v, None) == equations.nexts[-1] or _kept(v, loop) for v in loop.stacks)


def _kept(value: Value, loop: Loop) -> bool:
    """Whether a stack is the new `h` itself, which in padding keeps the old one: the operator has zeros there."""
    return value == loop.carries[-1].next and value == unmasked(value, loop.carries[-1].param)


def _writer(given: Chosen, node: Node, cell: Cell) -> Callable[..., tuple[str, ...]]:
    loop = loop_of(node)
    sequence = next(i for i, v in enumerate(loop.outer) if v in [s.sequence for s in loop.slices if s.param.type.shape])
    arrays = ONNX.write(cell, {name: given.weights[full] for name, full in cell.weights.items()})
    path = ".".join(cell.path)
    padded = given.graph.inputs.get(f"{LENGTHS}{loop.axis}") if given.wanted.lengths else None

    def write(s: Scope, *inputs: str) -> tuple[str, ...]:
        weights = {local: s.tensor(array, f"{path}.{local}") for local, array in arrays.items()}
        lengths = s.emit("Cast", s.names[padded], to=6) if padded is not None else ""
        first = {c.param: s.unsqueeze(name, [0]) for c, name in zip(loop.carries, inputs, strict=False)}
        states = [first[c.param] for c in loop.carries]
        given = [inputs[sequence], weights["W"], weights["R"], weights["B"], lengths, states[-1]]
        if cell.kind == "LSTM":
            given += [states[0], weights.get("P", "")]
        made = s.emit(
            cell.kind, *_without_end(given), results=3 if cell.kind == "LSTM" else 2,
            **attributes(cell, loop.reverse),
        )
        y = s.emit("Squeeze", made[0], s.ints(1))
        finals = [s.emit("Squeeze", name, s.ints(0)) for name in reversed(made[1:])]
        if lengths:  # the operator's states of an empty row are zeros, not what they were
            some = s.unsqueeze(s.emit("Greater", s.names[padded], s.number(0, "int")), [1])
            finals = [s.emit("Where", some, new, old) for new, old in zip(finals, inputs, strict=False)]
        return (*finals, *[y] * len(loop.stacks))

    return write


def _without_end(names: list[str]) -> list[str]:
    """The names without the empty ones at the end, which the format wants left out."""
    while names and not names[-1]:
        names = names[:-1]
    return names


def attributes(cell: Cell, reverse: bool) -> Mapping[str, Any]:
    """The attributes of the operator that is this cell."""
    chosen = ACTIVATIONS[cell.activation]
    names = {"RNN": [chosen], "GRU": ["Sigmoid", chosen], "LSTM": ["Sigmoid", chosen, chosen]}[cell.kind]
    found: dict[str, Any] = {
        "hidden_size": cell.units, "direction": "reverse" if reverse else "forward", "activations": names,
    }
    if cell.kind == "GRU":
        found["linear_before_reset"] = int(bool(cell.options["reset_after"]))
    return found
