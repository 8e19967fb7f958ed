"""Runs graphs for the tests: values by name in, arrays by name out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.ir.graph import Graph, Value, graph_input
from rnngraph.ir.types import Type
from rnngraph.ir.verify import verify
from rnngraph.ops import TABLE
from rnngraph.passes.pipeline import stages
from rnngraph.planning.lowering import lower
from rnngraph.planning.plan import plan
from rnngraph.runtime.execution import Bound
from rnngraph.runtime.numpy import NumpyBackend


def same_bits(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether arrays of the same names, shapes and types are equal to the last bit: -0.0 is not 0.0, nan is nan."""
    return one.keys() == other.keys() and all(_bits(one[name]) == _bits(other[name]) for name in one)


def _bits(array: Any) -> tuple[Any, ...]:
    array = np.asarray(array)
    return array.shape, array.dtype, array.tobytes()


SIZES = {"time": 4, "batch": 3, "label": 2, "time/2": 2, "time/1": 4, "a": 2, "3@for": 3}


def array_of(type: Type, rng: np.random.Generator, low: float = 0.3, high: float = 0.9) -> Any:
    """Random contents: floats away from kinks, ints 0 and 1, booleans."""
    shape = [SIZES[a] for a in type.axes] + list(type.shape)
    if type.dtype == "float":
        return rng.uniform(low, high, shape)
    return rng.integers(0, 2, shape).astype("int64" if type.dtype == "int" else "bool")


def evaluate(graph: Graph, arrays: Mapping[str, Any], sizes: Mapping[str, int] = SIZES) -> dict[str, Any]:
    """The outputs of a graph whose inputs are all data, in the program's own order of axes."""
    program = lower(graph)
    made = plan(program, sizes, "float64")
    results = Bound(program, made, NumpyBackend()).run({n: arrays[n] for n in program.inputs}, {})
    return {name: np.array(array) for name, array in results.items()}


def op_graph(name: str, attrs: Mapping[str, Any], types: tuple[Type, ...]) -> tuple[Graph, list[Value], Value]:
    """One op over inputs `x0`, `x1`, ...; its output is `y`."""
    inputs = [graph_input(f"x{i}", "data", t) for i, t in enumerate(types)]
    from rnngraph.ir.graph import make

    y = Value(make(TABLE[name], inputs, attrs))
    return Graph({f"x{i}": v for i, v in enumerate(inputs)}, {"y": y}), inputs, y


def differentiated(
    graph: Graph, y: Value, wrt: Mapping[str, Value], turn: str | int = "dynamic", steps: int = 4
) -> Graph:
    """The graph with `grad:` outputs for the cotangent input `cot`; every stage is verified."""
    cot = graph_input("cot", "data", y.type)
    graph = Graph({**graph.inputs, "cot": cot}, graph.outputs)
    for name, stage in stages(graph, [(y, cot)], wrt, turn, {"time": steps}):
        verify(stage, "static" if name == "unroll" and turn == "static" else "")
    return stage
