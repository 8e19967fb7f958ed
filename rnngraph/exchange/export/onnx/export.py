"""A model as an ONNX file: from the compiled graph, loops as `Scan`, an unrolled loop as its plain nodes.

Inputs and outputs are the arrays of `run`, batch-major, under their names; `initial.h` is the state that `run`
calls `final.h` when it is given; `x.lengths` are the real lengths. Batch and time are free where they are not
fixed by a static unrolling.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rnngraph import __version__
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.diagnostics.optional import needed
from rnngraph.exchange.export.grid_lengths import axes_of_lengths
from rnngraph.exchange.export.numpy.choice import WORDS
from rnngraph.exchange.export.request import Chosen, Port, Wanted, axes_of, cannot_say, chosen
from rnngraph.ir.graph import Graph, Node
from rnngraph.ir.types import Type, every
from rnngraph.model import Model


def to_onnx(model: Model, weights: Mapping[str, Any], wanted: Wanted, operators: bool = False) -> bytes:
    """The content of an ONNX file.

    With `operators`, a library cell that is exactly one of the operators LSTM, GRU and RNN becomes it; then the
    graph is exported as elaborated, loops as loops. Raises CannotDo, at the user's expression, for what ONNX
    cannot say, or where the package `onnx` is missing.
    """
    with needed("onnx"):
        from rnngraph.exchange.export.onnx.operators import operator_rules
        from rnngraph.exchange.export.onnx.scope import model_of
    if operators and wanted.unroll != "dynamic":
        raise UserError(
            "an operator is a loop of its own: it is not for a static export",
            "E681",
            "leave out `--operators`, or take `--unroll dynamic`",
        )
    given = chosen(model, wanted, weights)
    graph = given.source if operators else given.graph
    _refuse(graph)
    extra = operator_rules(given, graph) if operators else {}
    whole = model_of(_graph(given, graph, extra), wanted.note, _facts(model))
    made: bytes = whole.SerializeToString(deterministic=True)
    return made


def _facts(model: Model) -> dict[str, str]:
    """What the metadata of a file say: the model, its settings, and the version that exported it."""
    settings = ", ".join(f"{name} = {value}" for name, value in model.block.settings.items())
    return {"rnngraph.model": model.block.definition, "rnngraph.settings": settings, "rnngraph.version": __version__}


def operators_in(content: bytes) -> set[str]:
    """Which of the operators LSTM, GRU and RNN an ONNX file has."""
    import onnx

    return {node.op_type for node in onnx.load_from_string(content).graph.node} & {"LSTM", "GRU", "RNN"}


def rules() -> dict[str, Any]:
    """How each op is said, by its name."""
    from rnngraph.exchange.export.onnx import choice, loop, rules, sequence, special

    return {**rules.RULES, **sequence.RULES, **choice.RULES, **special.RULES, "loop": loop.loop}


def _refuse(graph: Graph) -> None:
    """CannotDo with every expression that ONNX has no words for, each told once."""
    known = rules()
    unsaid = [n for n in graph.all_nodes() if n.op.kind != "leaf" and n.op.name not in known]
    errors = [cannot_say("ONNX", n, "NumPy" if n.op.name in WORDS else "") for n in unsaid]
    if errors:
        found = dict.fromkeys(d for error in errors for d in error.diagnostics)
        raise CannotDo(tuple(found))


def _graph(given: Chosen, graph: Graph, extra: Mapping[Node, Any]) -> Any:
    from rnngraph.exchange.export.onnx.scope import Scope, Whole

    known = rules()
    loop = known["loop"]
    known["loop"] = lambda s, node, *names: extra[node](s, *names) if node in extra else loop(s, node, *names)
    top = Scope(Whole(given.wanted.dtype, known))
    inputs, outputs = given.inputs(graph), given.outputs(graph)
    _distinct(given, inputs, outputs)
    _sizes(top, given, graph, inputs)
    taken = {port.name for port in outputs}
    for value in graph.inputs.values():
        if value.node.attrs["kind"] == "weight":
            name = value.node.attrs["name"]
            top.names[value] = top.tensor(given.weights[name], f"weight {name}" if name in taken else name)
    defaults = {port: array for port in inputs if (array := given.default_array(port)) is not None}
    for port in inputs:
        top.names[port.value] = _turned(top, _filled(top, port, defaults.get(port)), port, into=True)
    top.convert(graph.nodes())
    for port in outputs:
        made = _turned(top, top.names[port.value], port, into=False)
        top.nodes.append(_named(made, port.name))
    fixed = {axis: n for axis in top.whole.sizes if (n := given.steps_of(axis)) is not None}
    own = {port: f" of {port.name}, or 1" for port in defaults}
    infos = [
        [top.info(p.name, p.value.type, p.order, fixed, own.get(p, "")) for p in ports] for ports in (inputs, outputs)
    ]
    from onnx import helper

    used = {name for node in _every(top.nodes) for name in node.input}
    tensors = [t for t in top.whole.tensors if t.name in used]
    return helper.make_graph(top.nodes, given.model.block.name, infos[0], infos[1], initializer=tensors)


def _every(nodes: Any) -> Iterator[Any]:
    """The nodes of every level."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from _every(attribute.g.node)


def _named(source: str, target: str) -> Any:
    from onnx import helper

    return helper.make_node("Identity", [source], [target], name=f"output {target}")


def _filled(top: Any, port: Port, default: Any) -> str:
    """What is given, or else its default, for every row. Lengths out of range count as the nearest in it."""
    if default is None:
        return port.name
    type = port.value.type
    lead = tuple(type.axes[i] for i in port.order[: len(type.axes)])
    whole = str(top.emit("Expand", top.tensor(default, port.name), top.shape(Type(lead, type.shape, type.dtype))))
    if port.kind != "lengths":
        return whole
    sizes = [top.whole.sizes[axis] for axis in axes_of_lengths(port.value.node.attrs["name"])]
    steps = top.emit("Concat", *sizes, axis=0)
    return str(top.emit("Max", top.emit("Min", whole, steps), top.number(0, "int")))


def _turned(top: Any, name: str, port: Port, into: bool) -> str:
    """An array brought from the order outside to the one inside, or back."""
    order = list(port.order)
    if order == sorted(order):
        return name
    perm = sorted(range(len(order)), key=order.__getitem__) if into else order
    return str(top.emit("Transpose", name, perm=perm))


def _sizes(top: Any, given: Chosen, graph: Graph, inputs: list[Port]) -> None:
    """The size of every axis, from the shape of an input that has it, or fixed."""
    for axis in sorted(axes_of(graph), key=len):
        steps, (base, by) = given.steps_of(axis), every(axis)
        if steps is not None:
            top.whole.sizes[axis] = top.ints(steps)
        elif base:
            more = top.emit("Add", top.whole.sizes[base], top.ints(by - 1))
            top.whole.sizes[axis] = str(top.emit("Div", more, top.ints(by)))
        else:
            port = next(p for p in inputs if axis in p.value.type.axes and not p.optional)
            place = port.order.index(port.value.type.axes.index(axis))
            top.whole.sizes[axis] = str(top.emit("Shape", port.name, start=place, end=place + 1))


def _distinct(given: Chosen, inputs: list[Port], outputs: list[Port]) -> None:
    both = {p.name for p in inputs} & {p.name for p in outputs}
    for name in sorted(both):
        raise UserError(
            [
                Diagnostic(
                    "E684",
                    f"`{name}` is an input and an output, but names in ONNX are unique",
                    given.made.output_spans.get(name),
                    help=f"give the output another name: `output {name} as ...`",
                )
            ]
        )
