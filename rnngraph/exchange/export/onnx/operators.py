"""Library cells as ONNX's own operators LSTM, GRU and RNN, where a loop is exactly one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rnngraph.exchange.conversion.onnx import ONNX
from rnngraph.exchange.export.grid_lengths import LENGTHS
from rnngraph.exchange.export.onnx.scope import Scope
from rnngraph.exchange.export.request import Chosen
from rnngraph.exchange.recognise import SIGMOID, Cell, instances, recognised, unmasked, written
from rnngraph.ir.graph import LOOP, Graph, Loop, Node, Value, loop_of
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import Block

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
    return cell.activation in ACTIVATIONS and cell.gate == SIGMOID and not clipped


def _exactly(block: Block, loop: Loop) -> bool:
    """Whether the loop reads one sequence of vectors, runs nothing but the cell, and hands out nothing but `h`."""
    equations = written(block, loop)
    given = {s.param: s for s in loop.slices}
    if set(given) != set(equations.given) or len(given) != 1 or len(loop.carries) != len(block.states):
        return False
    sequence = loop.slices[0].sequence.type
    if sequence.axes != (loop.axis, BATCH) or len(sequence.shape) != 1:
        return False
    leaving: list[tuple[Value, Value | None, Value]] = [
        (c.next, c.param, root) for c, root in zip(loop.carries, equations.nexts, strict=True)
    ]
    leaving += [(v, None, equations.nexts[-1]) for v in loop.stacks]
    return all(_is(value, old, root, loop) for value, old, root in leaving)


def _is(value: Value, old: Value | None, root: Value, loop: Loop) -> bool:
    """Whether what leaves a step is the cell's own value, in padding the old one (zero, for an output)."""
    if value == root:
        return True
    return unmasked(value, old) == root and _real(value.node.inputs[0], loop)


def _real(condition: Value, loop: Loop) -> bool:
    """Whether a condition says which steps are real."""
    if condition.op.name != "lt":
        return False
    step, lengths = condition.node.inputs
    outer = next((c.outer for c in loop.captures if c.param == lengths), None)
    return step == loop.counter and outer is not None and outer.node.attrs.get("kind") == "lengths"


def _writer(given: Chosen, node: Node, cell: Cell) -> Callable[..., tuple[str, ...]]:
    loop = loop_of(node)
    sequence = len(loop.carries)  # the inputs are the first states, then the sequence
    arrays = ONNX.write(cell, {name: given.weights[full] for name, full in cell.weights.items()})
    path = ".".join(cell.path)
    padded = given.graph.inputs.get(f"{LENGTHS}{loop.axis}") if given.wanted.lengths else None

    def write(s: Scope, *inputs: str) -> tuple[str, ...]:
        weights = {local: s.tensor(array, f"{path}.{local}") for local, array in arrays.items()}
        lengths = s.emit("Cast", s.names[padded], to=6) if padded else ""
        first = {c.param: s.unsqueeze(name, [0]) for c, name in zip(loop.carries, inputs, strict=False)}
        states = [first[c.param] for c in loop.carries]
        given = [inputs[sequence], weights["W"], weights["R"], weights["B"], lengths, states[-1]]
        if cell.kind == "LSTM":
            given += [states[0], weights.get("P", "")]
        made = s.emit(
            cell.kind,
            *_without_end(given),
            results=3 if cell.kind == "LSTM" else 2,
            **attributes(cell, loop.reverse),
        )
        y = s.emit("Squeeze", made[0], s.ints(1))
        finals = [s.emit("Squeeze", name, s.ints(0)) for name in reversed(made[1:])]
        if padded:  # the operator's states of an empty row are zeros, not what they were
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
        "hidden_size": cell.units,
        "direction": "reverse" if reverse else "forward",
        "activations": names,
    }
    if cell.options.get("coupled"):
        found["input_forget"] = 1
    if cell.kind == "GRU":
        found["linear_before_reset"] = int(bool(cell.options["reset_after"]))
    return found
