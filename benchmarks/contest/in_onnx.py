"""onnxruntime, which does not train: its LSTM, GRU and RNN, and `Scan` with the step inside. Weights are constants."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from contest.problem import Absent, Prepared, Problem, reordered

OPERATORS = {"lstm": "LSTM", "peephole_lstm": "LSTM", "lstm_stack": "LSTM", "gru": "GRU", "rnn": "RNN"}
GATES = {"LSTM": (0, 3, 2, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where the gates of its operators stand in ours."""


class Writer:
    """The nodes and constants of a graph that is being written; a body of it shares the constants."""

    def __init__(self, outer: Writer | None = None) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = outer.constants if outer else {}
        self.prefix = f"body{len(outer.nodes)}." if outer else ""

    def add(self, operator: str, *inputs: Symbol, outputs: int = 1, **attributes: Any) -> tuple[Symbol, ...]:
        names = [f"{self.prefix}v{len(self.nodes)}.{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(operator, [i.name for i in inputs], names, **attributes))
        return tuple(Symbol(self, name) for name in names)

    def constant(self, array: Any) -> Symbol:
        name = f"c{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return Symbol(self, name)


class Symbol:
    """A value of the graph, on which operators write nodes."""

    def __init__(self, writer: Writer, name: str) -> None:
        self.writer, self.name = writer, name

    def _with(self, operator: str, left: Any, right: Any) -> Symbol:
        both = [v if isinstance(v, Symbol) else self.writer.constant(np.float32(v)) for v in (left, right)]
        return self.writer.add(operator, *both)[0]

    def __add__(self, other: Any) -> Symbol:
        return self._with("Add", self, other)

    def __sub__(self, other: Any) -> Symbol:
        return self._with("Sub", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return self._with("Sub", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return self._with("Mul", self, other)

    def __truediv__(self, other: Any) -> Symbol:
        return self._with("Div", self, other)

    def __matmul__(self, other: Any) -> Symbol:
        return self._with("MatMul", self, other)


class Ops:
    @staticmethod
    def sigmoid(a: Symbol) -> Symbol:
        return a.writer.add("Sigmoid", a)[0]

    @staticmethod
    def tanh(a: Symbol) -> Symbol:
        return a.writer.add("Tanh", a)[0]

    @staticmethod
    def relu(a: Symbol) -> Symbol:
        return a.writer.add("Relu", a)[0]

    @staticmethod
    def sqrt(a: Symbol) -> Symbol:
        return a.writer.add("Sqrt", a)[0]

    @staticmethod
    def mean(a: Symbol) -> Symbol:
        return a.writer.add("ReduceMean", a, a.writer.constant(np.array([-1])), keepdims=1)[0]

    @staticmethod
    def split(a: Symbol, parts: int) -> tuple[Symbol, ...]:
        return a.writer.add("Split", a, outputs=parts, axis=-1, num_outputs=parts)


def operator(p: Problem, task: str, cell: str) -> Prepared:
    """The operator for the cell; four in a row for the stack."""
    if cell not in OPERATORS:
        raise Absent("ONNX has no such operator")
    name = OPERATORS[cell]
    writer = Writer()
    y, axis = Symbol(writer, "x"), writer.constant(np.array([1]))
    for leaves in p.leaves():
        w, u, b = (reordered(leaves[n], GATES[name]) for n in ("kernel_x", "kernel_h", "bias"))
        second = np.zeros_like(b)
        if cell == "gru":
            second[2 * p.size.units :] = leaves["candidate_state_bias"]
        given = [writer.constant(a[None]) for a in (w.T, u.T, np.concatenate([b, second]))]
        if cell == "peephole_lstm":
            none = Symbol(writer, "")
            given += [none] * 3 + [writer.constant(np.concatenate([leaves[n] for n in ("w_i", "w_o", "w_f")])[None])]
        more = {"linear_before_reset": 1} if cell == "gru" else {}
        y = writer.add("Squeeze", *writer.add(name, y, *given, hidden_size=p.size.units, **more), axis)[0]
    return _prepared(p, task, writer, y)


def scan(p: Problem, task: str, cell: str) -> Prepared:
    """The step as the body of a `Scan`, the input's product before it."""
    if cell in OPERATORS:
        raise Absent("ONNX has an operator for it")
    writer = Writer()
    x = Symbol(writer, "x")
    for leaves in p.leaves():
        weights = {name: writer.constant(a) for name, a in leaves.items()}
        zero = writer.constant(np.zeros((p.size.batch, p.size.units), "float32"))
        parts = p.cell.inputs(x, weights)
        body = _body(p, writer, weights, len(parts))
        given = [*[zero] * p.cell.states, *parts]
        x = writer.add("Scan", *given, outputs=p.cell.states + 1, num_scan_inputs=len(parts), body=body)[-1]
    return _prepared(p, task, writer, x)


def _body(p: Problem, outer: Writer, weights: Mapping[str, Symbol], parts: int) -> Any:
    writer = Writer(outer)
    states = tuple(Symbol(writer, f"{writer.prefix}s{k}") for k in range(p.cell.states))
    now = tuple(Symbol(writer, f"{writer.prefix}p{k}") for k in range(parts))
    inside = {name: Symbol(writer, value.name) for name, value in weights.items()}
    new = p.cell.step(Ops, now, states, inside)
    (shown,) = writer.add("Identity", new[-1])
    return helper.make_graph(writer.nodes, "step", _infos([*states, *now]), _infos([*new, shown]))


def _infos(values: Sequence[Symbol]) -> list[Any]:
    return [helper.make_tensor_value_info(v.name, TensorProto.FLOAT, None) for v in values]


def _prepared(p: Problem, task: str, writer: Writer, y: Symbol) -> Prepared:
    if task == "train":
        raise Absent("onnxruntime does not train")
    x = np.ascontiguousarray(np.swapaxes(p.x, 0, 1))
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    graph = helper.make_graph(writer.nodes, "contest", [info], _infos([y]), list(writer.constants.values()))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0], lambda found: {"y": np.swapaxes(found, 0, 1)}
