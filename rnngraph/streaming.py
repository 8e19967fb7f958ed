"""One step at a time: rows come in, results go out, states are kept between."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from rnngraph.compiled import Arrays
from rnngraph.diagnostics import Diagnostic, OutsideIndex, UserError
from rnngraph.front.block import DataInput
from rnngraph.ir.graph import LOOP, Node, loop_of
from rnngraph.learn.data import named_once
from rnngraph.model import Model

LOOKS_ALONG = {"shift", "reverse", "reverse_within", "last", "last_within"}
"""Ops that look at other steps than their own."""


def obstacles(model: Model, outputs: tuple[str, ...]) -> Iterator[Diagnostic]:
    """What keeps a model from being run step by step for these outputs: it looks ahead, or keeps a state unnamed."""
    graph = model.graph.with_outputs({name: model.graph.outputs[name] for name in outputs})
    fed = {s.value for s in model.states}
    for node in graph.nodes():
        span = node.origin.span
        if node.op is LOOP and loop_of(node).reverse:
            yield Diagnostic("E640", "a reversed loop needs the whole sequence", span)
        elif node.op is LOOP and any(c.init not in fed for c in loop_of(node).carries):
            yield Diagnostic(
                "E641",
                "a state of this loop has no name to be handed on under",
                span,
                help="name its final states, as in `y, final = unroll ...`",
            )
        elif node.op.name in LOOKS_ALONG or _sums_time(node):
            yield Diagnostic("E642", f"`{node.op.name}` looks at more than one step", span)


def _sums_time(node: Node) -> bool:
    axes = (*node.attrs.get("axes", ()), *node.attrs.get("reduce", ())) if node.op.name != "spread" else ()
    return node.op.kind != "constant" and any(axis != "batch" for axis in axes)


def can_stream(model: Model, outputs: tuple[str, ...]) -> bool:
    return next(obstacles(model, outputs), None) is None


def per_step(model: Model) -> tuple[str, ...]:
    """The outputs that have a value at every step; final states are kept, not told."""
    states = {s.name for s in model.states}
    return tuple(
        n for n in model.outputs if n not in states and any(a != "batch" for a in model.graph.outputs[n].type.axes)
    )


def stream(model: Model, weights: Mapping[str, Any], lines: Iterable[str], dtype: str, states: Arrays) -> Iterator[str]:
    """For each line of numbers (or JSON) one line of JSON: the outputs of that step.

    `states` are first values, where given; what a step leaves is the next one's.
    """
    outputs = per_step(model)
    if not outputs:
        raise UserError("the model has no output at every step", "E643", "add `output y` for a sequence `y`")
    found = list(obstacles(model, outputs))
    if found:
        raise UserError(found)
    program = model.compile(dtype=dtype, outputs=outputs, states=True)
    inputs = [i for i in program.made.inputs if i.name in program.needed]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            results = program.run({**_row(inputs, line, number), **states}, weights)
        except OutsideIndex as error:
            raise OutsideIndex(error.plain, error.row, f"line {number}") from None
        states = {s.name: results[s.name] for s in program.made.states if s.name in results}
        yield json.dumps({name: results[name][0, -1].tolist() for name in outputs})


def _row(inputs: list[DataInput], line: str, number: int) -> Arrays:
    """One line as data of one row and one step: a JSON object by name, or the numbers of all inputs in order."""
    try:
        told = named_once(line)
    except json.JSONDecodeError:
        told = line.replace(",", " ").replace(";", " ").split()
    except ValueError as error:
        raise UserError(f"line {number}: {error}", "E644") from None
    try:
        if isinstance(told, dict):
            return {name: np.asarray(value)[None, None] for name, value in told.items()}
        numbers = np.atleast_1d(np.asarray(told, float)).reshape(-1)
    except ValueError:
        raise UserError(f"line {number}: `{line.strip()}` is not numbers", "E644") from None
    sizes = [int(np.prod(i.type.shape)) for i in inputs]
    if len(numbers) != sum(sizes):
        names = ", ".join(f"{i.name} ({n})" for i, n in zip(inputs, sizes, strict=True))
        raise UserError(f"line {number} has {len(numbers)} numbers, expected {sum(sizes)}: {names}", "E645")
    parts = np.split(numbers, np.cumsum(sizes)[:-1])
    return {i.name: _typed(i, part).reshape((1, 1, *i.type.shape)) for i, part in zip(inputs, parts, strict=True)}


def _typed(item: DataInput, numbers: Any) -> Any:
    if item.type.dtype == "float":
        return numbers
    return numbers.astype(np.int64 if item.type.dtype == "int" else bool)
