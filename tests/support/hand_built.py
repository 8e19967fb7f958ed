"""Graphs made by hand, with their sources, for the tests of pictures and text."""

from __future__ import annotations

from collections.abc import Sequence

from rnngraph.diagnostics.source import Source, Span
from rnngraph.ir.graph import (
    Capture,
    Carry,
    Graph,
    Loop,
    Node,
    Origin,
    Slice,
    Value,
    body_param,
    finals,
    graph_input,
    loop_node,
    stacked,
)
from rnngraph.ir.types import Type
from rnngraph.language.elaboration.elaborated import Block, Initial, StateVar, Weight
from rnngraph.ops import call, const

LSTM = Source(
    "lstm.rnn",
    """\
cell LSTM(units, forget_bias = 1.0) {
  input x: [n]
  state c: [units] = 0
  state h: [units] = 0
  param kernel: [n + units, 4 * units] ~ glorot_uniform
  param bias:   [4 * units] = 0

  i, j, f, o = split([x, h] @ kernel + bias, 4)
  c' = sigmoid(f + forget_bias) * c + sigmoid(i) * tanh(j)
  h' = sigmoid(o) * tanh(c')
  output h'
}

model Stack {
  input x: seq[3]
  y, final = unroll LSTM(4) >> LSTM(5) over x
  error = sum((y - 1) * (y - 1))
  output y, final
  loss error
}
""",
)

BATCH, EACH = ("batch",), ("time", "batch")


def at(text: str, after: int = 0, source: Source = LSTM) -> Span:
    start = source.text.index(text, after)
    return Span(source, start, start + len(text))


def vector(size: int, axes: tuple[str, ...] = BATCH) -> Type:
    return Type(axes, (size,))


def weight(name: str, shape: tuple[int, ...], text: str) -> Value:
    return graph_input(name, "weight", Type((), shape), Origin(at(text), tuple(name.split(".")[:-1])))


def lstm_step(
    path: tuple[str, ...],
    units: int,
    x: Value,
    c: Value,
    h: Value,
    kernel: Value,
    bias: Value,
) -> tuple[Value, Value]:
    """The two next states of one cell; its nodes have the places of the source above."""

    def origin(text: str, name: str = "") -> Origin:
        return Origin(at(text), path, name)

    joined = call("concat", x, h, origin=origin("[x, h]"))
    product = call(
        "contract", joined, kernel, left="n", right="nm", out="m", reduce=(), origin=origin("[x, h] @ kernel")
    )
    total = call("add", product, bias, origin=origin("[x, h] @ kernel + bias"))
    i, j, f, o = (
        call(
            "slice",
            total,
            dim=-1,
            start=k * units,
            stop=(k + 1) * units,
            origin=origin("split([x, h] @ kernel + bias, 4)", name),
        )
        for k, name in enumerate("ijfo")
    )
    one = const(1.0, origin=Origin(at("forget_bias) * c"), path))
    forget = call(
        "sigmoid",
        call("add", f, one, origin=origin("f + forget_bias")),
        origin=origin("sigmoid(f + forget_bias)"),
    )
    kept = call("mul", forget, c, origin=origin("sigmoid(f + forget_bias) * c"))
    new = call(
        "mul",
        call("sigmoid", i, origin=origin("sigmoid(i)")),
        call("tanh", j, origin=origin("tanh(j)")),
        origin=origin("sigmoid(i) * tanh(j)"),
    )
    c_next = call(
        "add", kept, new, origin=origin("sigmoid(f + forget_bias) * c + sigmoid(i) * tanh(j)", "c'")
    )
    h_next = call(
        "mul",
        call("sigmoid", o, origin=origin("sigmoid(o)")),
        call("tanh", c_next, origin=origin("tanh(c')")),
        origin=origin("sigmoid(o) * tanh(c')", "h'"),
    )
    return c_next, h_next


def lstm_loop(
    x: Value, weights: Sequence[tuple[tuple[str, ...], int, Value, Value]], reverse: bool = False
) -> Node:
    """A stack of cells over `x`; stacks the last cell's output."""
    row = body_param("x", vector(3), Origin(at("x: [n]")))
    carries, captures, value = [], [], row
    for path, units, kernel, bias in weights:
        states = []
        for name, size in (("c", units), ("h", units)):
            zero = call(
                "broadcast", call("spread", const(0.0, origin=Origin(at("0\n"))), axes=BATCH), shape=(size,)
            )
            states.append(
                (zero, body_param(f"{path[-1]}.{name}", vector(size), Origin(at(f"{name}: [units]"), path)))
            )
        inner = [body_param(v.node.attrs["name"], v.type, v.node.origin) for v in (kernel, bias)]
        captures += [Capture(v, p) for v, p in zip((kernel, bias), inner, strict=True)]
        c, h = lstm_step(path, units, value, states[0][1], states[1][1], *inner)
        carries += [Carry(zero, param, n) for (zero, param), n in zip(states, (c, h), strict=True)]
        value = h
    loop = Loop(
        "time",
        reverse,
        tuple(carries),
        (Slice(x, row),),
        tuple(captures),
        (value,),
        label="LSTM(4) >> LSTM(5)",
    )
    return loop_node(loop, Origin(at("unroll LSTM(4) >> LSTM(5) over x"), ("stack",), "y"))


def stack_model() -> tuple[Graph, Block]:
    """`Stack` of the source: two LSTM cells over a sequence, with a loss."""
    x = graph_input("x", "data", vector(3, EACH), Origin(at("x: seq[3]")))
    cells = [
        (
            ("stack", f"{k}"),
            units,
            weight(f"stack.{k}.kernel", (width + units, 4 * units), "kernel: [n"),
            weight(f"stack.{k}.bias", (4 * units,), "bias:   [4"),
        )
        for k, (width, units) in enumerate(((3, 4), (4, 5)))
    ]
    loop = lstm_loop(x, cells)
    (y,) = stacked(loop)
    inputs = {"x": x} | {v.node.attrs["name"]: v for _, _, kernel, bias in cells for v in (kernel, bias)}
    outputs = {
        "y": y,
        **{f"final.{k}": v for k, v in zip(("0.c", "0.h", "1.c", "1.h"), finals(loop), strict=True)},
    }
    outputs["loss"] = loss_of(y)
    return Graph(inputs, outputs), stack_block()


def loss_of(y: Value) -> Value:
    origin = Origin(at("y - 1"), (), "error")
    off = call("sub", y, const(1.0), origin=origin)
    square = call("mul", off, off, origin=Origin(at("(y - 1) * (y - 1)"), (), "error"))
    whole = call(
        "sum", square, dims=(0,), keep=False, origin=Origin(at("sum((y - 1) * (y - 1))"), (), "error")
    )
    return call("sum_axes", whole, axes=EACH, origin=Origin(at("loss error"), (), "loss"))


def stack_block() -> Block:
    children = tuple(
        Block(
            f"{k}",
            ("stack", f"{k}"),
            "cell",
            "LSTM",
            (
                Weight(
                    f"stack.{k}.kernel",
                    (width + units, 4 * units),
                    Initial("glorot_uniform"),
                    False,
                    at("kernel: [n"),
                ),
                Weight(
                    f"stack.{k}.bias",
                    (4 * units,),
                    Initial("constant", {"value": 0.0}),
                    k == 1,
                    at("bias:   [4"),
                ),
            ),
            (StateVar(f"{k}.c", (units,), at("c: [")), StateVar(f"{k}.h", (units,), at("h: ["))),
            (),
            at("cell LSTM"),
        )
        for k, (width, units) in enumerate(((3, 4), (4, 5)))
    )
    stack = Block("stack", ("stack",), "cell", "", (), (), children, at("LSTM(4) >> LSTM(5)"), "time")
    return Block("Stack", (), "model", "Stack", (), (), (stack,), at("model Stack"))
