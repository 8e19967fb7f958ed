"""The proof of an import: the file's own model and ours, run on the same random data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source
from rnngraph.exchange.importing.description import Port, Read
from rnngraph.exchange.importing.values import BATCH_NAME, Axis, Dims, turn
from rnngraph.files.tensors import Arrays
from rnngraph.model import Model


@dataclass(frozen=True)
class NotRun:
    """Why the file's own model gives nothing; whether it could with other data."""

    why: str
    for_data: bool = False


Outcome = Callable[[Mapping[str, Any]], "list[Any] | NotRun"]
"""Runs the file's own model on arrays by its own names of inputs."""
Arguments = Mapping[str, Any]
TOLERANCE = 1e-4
"""Largest difference, relative to the largest output: the other runtime computes in float32."""
ROWS, STEPS, TRIES = 3, 5, 3


def said(error: Exception) -> str:
    """The first line of what another library says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:400]


def compared(made: Read, text: str, weights: Arrays, run: Outcome, runtime: str) -> tuple[str, float | None]:
    """How both were compared, and the largest difference. UserError where they differ."""
    program = _parsed(text).compile(dtype="float64", kernels="numpy")
    exact = {n: np.asarray(w, np.float64) for n, w in weights.items()}
    worst = 0.0
    for seed in range(TRIES):
        both = _both(made, run, lambda data: program.run(data, exact), seed)
        if isinstance(both, NotRun):
            return _by_parts(made, both.why), None
        results, ours = both
        found = [_difference(p, ours[p.ours], r) for p, r in zip(made.outputs, results, strict=True)]
        _refuse(made, found, runtime)
        worst = max(worst, *found)
    return f"checked: {runtime} gives the same on random data, but for {worst:.1g}", worst


def _both(
    made: Read, run: Outcome, ours: Callable[[Arguments], Arguments], seed: int
) -> tuple[list[Any], Arguments] | NotRun:
    """What both models give. Ids may be outside of a table that they reach in some other way; then others are tried."""
    trouble: NotRun | UserError
    for ids in _ranges(made):
        theirs = dict(_data(made, np.random.default_rng(seed), ids))
        results = run(theirs)
        if isinstance(results, NotRun):
            trouble = results
            if not results.for_data:
                break
            continue
        try:
            return results, ours(dict(_given(made, theirs)))
        except UserError as error:
            trouble = error
    if isinstance(trouble, UserError):
        raise trouble
    return trouble


def _by_parts(made: Read, why: str) -> str:
    """What can be checked without the other runtime: recurrent layers, by their definitions."""
    for proof in made.proofs:
        proof()
    parts = f"; {len(made.proofs)} recurrent layers were compared with their definitions" if made.proofs else ""
    return f"the model was NOT compared: {why}{parts}"


def _parsed(text: str) -> Model:
    """The model of the text; where that has an error, it is ours."""
    try:
        return Model.read(Source("<text>", text))
    except UserError as error:
        own = Diagnostic("E760", "what was made of the model is not valid in the language")
        raise UserError([own, *error.diagnostics]) from error


def _refuse(made: Read, found: list[float], runtime: str) -> None:
    wrong = [
        Diagnostic(
            "E763",
            f"the output `{port.theirs}` differs from what {runtime} gives, by {difference:.3g} of its largest number",
            help="nothing was written",
        )
        for port, difference in zip(made.outputs, found, strict=True)
        if not difference <= TOLERANCE
    ]
    if wrong:
        raise UserError(wrong)


# --- data -----------------------------------------------------------------------------------------------------------


def _data(made: Read, rng: np.random.Generator, ids: tuple[int, int]) -> Iterator[tuple[str, Any]]:
    """Random arrays in the file's own order of dimensions."""
    for port in made.inputs:
        shape = tuple(size_of(d) for d in port.dims)
        if port.ours in made.lengths:
            yield port.theirs, rng.integers(1, STEPS + 1, shape)
        elif port.dtype == "int":
            yield port.theirs, rng.integers(*ids, shape)
        elif port.dtype == "bool":
            yield port.theirs, rng.random(shape) < 0.5
        else:
            yield port.theirs, rng.normal(size=shape)


def _ranges(made: Read) -> list[tuple[int, int]]:
    """What is tried for ids: the first one, and the one behind the last. 0 may stand for padding, so it comes later."""
    if all(port.dtype != "int" or port.ours in made.lengths for port in made.inputs):
        return [(0, 1)]
    limit = max(2, _limit(made))
    return [(1, limit), (0, limit), *((0, end) for end in (3, 2) if end < limit), (1, 2), (0, 1)]


def _limit(made: Read) -> int:
    """Rows of the smallest table."""
    tables = [i.weights["table"] for i in made.described.model.instances.values() if "table" in i.weights]
    return min((len(table) for table in tables), default=4)


def size_of(dim: Any) -> int:
    if isinstance(dim, int):
        return dim
    assert isinstance(dim, Axis)
    return dim.size or (ROWS if dim.name == BATCH_NAME else STEPS)


def _given(made: Read, theirs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The same data under our names, the batch first; lengths with the sequences that they are of."""
    for port in made.inputs:
        if port.ours in made.described.model.inputs:
            yield port.ours, turned(port.dims, theirs[port.theirs])
    for name, axis in made.lengths.items():
        rows = next(theirs[p.theirs] for p in made.inputs if p.ours == name)
        yield from ((f"{p.ours}.lengths", rows) for p in made.inputs if axis in _axes(p.dims))


def _axes(dims: Dims) -> list[str]:
    return [d.name for d in dims if isinstance(d, Axis)]


def turned(dims: Dims, array: Any) -> Any:
    """An array with the batch first, then the steps, then what is written in the language."""
    return np.transpose(array, turn(dims))


def _difference(port: Port, ours: Any, theirs: Any) -> float:
    """The largest difference, relative to the largest number; infinite where shapes differ."""
    theirs = turned(port.dims, np.asarray(theirs))
    ours = np.asarray(ours)
    if BATCH_NAME not in _axes(port.dims) and ours.ndim == theirs.ndim + 1:
        ours = ours[0]
    if ours.shape != theirs.shape:
        return np.inf
    one, other = ours.astype(np.float64), theirs.astype(np.float64)
    if not one.size:
        return 0.0
    gap = np.abs(one - other)
    gap[(one == other) | (np.isnan(one) & np.isnan(other))] = 0
    return float(gap.max() / max(1.0, np.abs(other[np.isfinite(other)]).max(initial=0.0)))
