"""The loss and the metrics of many rows, found a part of them at a time.

They are means, ratios of sums, or made of several of these. So what a part of the rows gives is the sums over its rows,
which add up; the rest, from the sums on, is computed once, of those of all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from rnngraph.compiled import CompiledProgram
from rnngraph.data.lengths import lengths_of
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import CannotDo
from rnngraph.files.safetensors import Arrays
from rnngraph.ir.graph import INPUT, LOOP, Graph, Node, Rewriter, Value, graph_input, ordered
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import Elaborated
from rnngraph.model import Model
from rnngraph.run_options import RunOptions
from rnngraph.training import batches
from rnngraph.weights.initialisation import computed

TOTAL, SAME = "total:", "same:"
"""What the names of sums over rows begin with, and those of what is the same for any rows."""


class Cut(Struct, frozen=True):
    """A graph cut where rows are added up: `found` of each part of the rows, and the `results` that follow."""

    found: Mapping[str, Value]
    results: Mapping[str, Value]

    def of_all(self, parts: list[Arrays]) -> dict[str, float]:
        """The results of all rows."""
        known = {name: parts[0][name] for name in self.found if name.startswith(SAME)}
        for name in self.found.keys() - known.keys():
            known[name] = np.add.reduce([np.asarray(part[name], np.float64) for part in parts])
        return {name: float(computed(value, known)) for name, value in self.results.items()}


def cut(graph: Graph) -> Cut | None:
    """None where the outputs do not follow from sums over rows alone."""
    nodes, behind = graph.nodes(), set[Node]()
    if any(map(draws, nodes)):
        return None
    for node in nodes:
        if any(adds_up(v.node) or v.node in behind for v in node.inputs):
            behind.add(node)
    ends = dict.fromkeys(v for node in nodes if node in behind for v in node.inputs)
    ends |= dict.fromkeys(graph.outputs.values())
    found = {_name(v, i): v for i, v in enumerate(ends) if v.node not in behind and v.op.name != "const"}
    if any(v.type.axes for v in found.values()) or any(map(_has_axes, behind)):
        return None
    if any(v.node in behind for node in nodes if adds_up(node) for v in node.inputs):
        return None
    if any(_of_rows(v) for name, v in found.items() if name.startswith(SAME)):
        return None
    rest = Rewriter()
    rest.map = {v: graph_input(name, "weight", v.type, v.node.origin) for name, v in found.items()}
    return Cut(found, dict(zip(graph.outputs, rest.run(graph.outputs.values()), strict=True)))


def adds_up(node: Node) -> bool:
    """Whether it adds up rows: of rows that are taken apart it gives what adds up to its value."""
    return node.op.name in ("sum_axes", "size") and BATCH in node.attrs["axes"]


def draws(node: Node) -> bool:
    """Whether something random begins with it. That depends on the number of a row, so that a part of the rows would
    draw what the first rows do."""
    return node.op is INPUT and node.attrs["kind"] == "seed"


def _name(value: Value, place: int) -> str:
    return f"{TOTAL if adds_up(value.node) else SAME}{place}"


def _has_axes(node: Node) -> bool:
    return node.op is LOOP or any(type.axes for type in node.types)


def _of_rows(value: Value) -> bool:
    return any(BATCH in type.axes for node in ordered([value.node]) for type in node.types)


class Evaluator:
    """The loss and the metrics of a model, by name, without what is random in training."""

    def __init__(self, model: Model, options: RunOptions) -> None:
        self.model = model
        self.metrics = tuple(n.removeprefix("metric.") for n in model.graph.outputs if n.startswith("metric."))
        self._outputs = ("loss", *(f"metric.{name}" for name in self.metrics))
        self._program = replace(options, unroll="dynamic").compiled(model, outputs=self._outputs)
        self.check, self.run = self._program.check, self._program.run

    @cached_property
    def _adding(self) -> CompiledProgram:
        return self._program.changed(_with_parts)

    def in_parts(self, data: Mapping[str, Any]) -> Cut | None:
        """How the results of all rows of such data follow from those of `run_part`."""
        fed = [state for state in self.model.states if state.name in data]
        made = self.model.elaborated(bool(lengths_of(self.model.inputs, data)), fed)
        found = cut(made.graph.with_outputs({name: made.graph.outputs[name] for name in self._outputs}))
        return found and replace(found, results={n.removeprefix("metric."): v for n, v in found.results.items()})

    def together(self, data: Mapping[str, Any], rows: int, most: int) -> int:
        """How many of so many rows like those of the data are to run at once: at most so many, half of them where the
        limit to memory asks for that, and so on. CannotDo where not even one fits, or all have to run at once."""
        first, way = batches.take(data, np.arange(1)), self.in_parts(data)
        count = min(rows, most) if way is not None else rows
        while True:
            try:
                (self._program if count == rows else self._adding).refuse_too_large(first, count)
                return count
            except CannotDo as error:
                if way is None or count == 1 or not self._program.schedule.limit:
                    raise CannotDo(map(_of_evaluation, error.diagnostics)) from None
            count = -(-count // 2)

    def run_part(self, data: Mapping[str, Any], weights: Mapping[str, Any]) -> Arrays:
        return self._adding.run(data, weights)


def _of_evaluation(told: Diagnostic) -> Diagnostic:
    return replace(told, message=f"the loss cannot be evaluated: {told.message}")


def _with_parts(made: Elaborated) -> Elaborated:
    """The model whose outputs are what is found of a part of the rows."""
    found = cut(made.graph)
    return made if found is None else replace(made, graph=made.graph.with_outputs(found.found), outputs=())
