"""One step at a time: rows come in, results go out, states are kept between."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from rnngraph.compiled import Arrays, CompiledProgram
from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import OutsideIndex, UserError
from rnngraph.files.results import plain_values
from rnngraph.files.untrusted_files import parsed_json
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import DataInput
from rnngraph.language.elaboration.streamable import obstacles as along
from rnngraph.language.elaboration.streamable import without_next_step
from rnngraph.model import Model


def obstacles(model: Model, outputs: tuple[str, ...]) -> Iterator[Diagnostic]:
    """What keeps a model from being run step by step for these outputs: it looks ahead, or keeps a state unnamed."""
    graph = model.graph.with_outputs({name: model.graph.outputs[name] for name in outputs})
    handed_on = {s.value for s in model.states}
    yield from without_next_step(model.inputs)
    for axis in dict.fromkeys(axis for i in model.inputs for axis in i.axes):
        yield from along(graph, axis, handed_on)
    yield from (
        Diagnostic("E642", "`every` needs more than one step", n.origin.span)
        for n in graph.all_nodes()
        if n.op.name == "every" and n.attrs["by"] > 1
    )


def can_stream(model: Model, outputs: tuple[str, ...]) -> bool:
    return next(obstacles(model, outputs), None) is None


def per_step(model: Model) -> tuple[str, ...]:
    """The outputs that have a value at every step of the data; final states are kept, not told."""
    sequences = {axis for i in model.inputs for axis in i.axes}
    axes = {n: [a for a in model.graph.outputs[n].type.axes if a != BATCH] for n in model.outputs}
    return tuple(n for n in model.outputs if len(axes[n]) == 1 and axes[n][0] in sequences)


def handed_on(program: CompiledProgram, results: Arrays) -> Arrays:
    """What a run of a piece of the data leaves for the run of the next one."""
    sequences = {axis for i in program.made.inputs for axis in i.axes}
    return {s.name: results[s.name] for s in program.made.states if s.axis in sequences and s.name in results}


def stream(
    model: Model, weights: Mapping[str, Any], lines: Iterable[str], dtype: str, data: Mapping[str, Any]
) -> Iterator[str]:
    """For each line of numbers (or JSON) one line of JSON: the outputs of that step.

    `data` hold what is the same at every step, the seed, and first states; what a step leaves is the next one's.
    """
    outputs = per_step(model)
    if not outputs:
        raise UserError("the model has no output at every step", "E643", "add `output y` for a sequence `y`")
    found = list(obstacles(model, outputs))
    if found:
        raise UserError(found)
    program = model.compile(dtype=dtype, outputs=outputs, states=True)
    sequences = [i for i in program.made.inputs if i.axes]
    if twice := next((i.name for i in sequences if i.name in data), None):
        raise UserError(f"`{twice}` is in the data, and comes a line at a time", "E644", "leave it out of the data")
    states: Arrays = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            results = program.run({**_row(sequences, program.needed, line, number), **data, **states}, weights)
        except OutsideIndex as error:
            raise OutsideIndex(error.plain, error.row, f"line {number}") from None
        states = handed_on(program, results)
        yield json.dumps({name: plain_values(results[name][0, -1]) for name in outputs})


def _row(sequences: list[DataInput], needed: Collection[str], line: str, number: int) -> Arrays:
    """One line as data of one row and one step: a JSON object by name, or the numbers that are needed in order."""
    try:
        told = parsed_json(line)
    except json.JSONDecodeError:
        told = line.replace(",", " ").replace(";", " ").split()
    except ValueError as error:
        raise UserError(f"line {number}: {error}", "E644") from None
    try:
        if isinstance(told, dict):
            _refuse_others(sequences, told, number)
            return {name: np.asarray(value)[None, None] for name, value in told.items()}
        numbers = np.atleast_1d(np.asarray(told, float)).reshape(-1)
    except ValueError:
        raise UserError(f"line {number}: `{line.strip()}` is not numbers", "E644") from None
    inputs = [i for i in sequences if i.name in needed]
    sizes = [int(np.prod(i.type.shape)) for i in inputs]
    if len(numbers) != sum(sizes):
        names = ", ".join(f"{i.name} ({n})" for i, n in zip(inputs, sizes, strict=True))
        raise UserError(f"line {number} has {len(numbers)} numbers, expected {sum(sizes)}: {names}", "E645")
    parts = np.split(numbers, np.cumsum(sizes)[:-1])
    shaped = [(i, part.reshape((1, 1, *i.type.shape))) for i, part in zip(inputs, parts, strict=True)]
    return {i.name: _typed(i, part, number) for i, part in shaped}


def _refuse_others(sequences: list[DataInput], told: Iterable[str], line: int) -> None:
    names = [i.name for i in sequences]
    if other := next((name for name in told if name not in names), None):
        known = f"a line holds {', '.join(f'`{n}`' for n in names)}; what is the same at every step goes with the data"
        raise UserError(f"line {line}: the model has no sequence `{other}`", "E644", known)


def _typed(item: DataInput, numbers: Any, line: int) -> Any:
    """Numbers as the input has them; UserError where an integer or a truth value is none."""
    if item.type.dtype == "float":
        return numbers
    wanted, holds = {
        "int": ("whole numbers", np.isfinite(numbers) & (abs(numbers) < 2**53) & (numbers == np.trunc(numbers))),
        "bool": ("0 or 1", (numbers == 0) | (numbers == 1)),
    }[item.type.dtype]
    if not holds.all():
        raise UserError(f"line {line}: `{item.name}` should hold {wanted}, got {numbers[~holds].flat[0]:g}", "E644")
    return numbers.astype(np.int64 if item.type.dtype == "int" else bool)
