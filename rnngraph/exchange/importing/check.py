"""The proof of an import: the file's own model and ours, run on the same random data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source
from rnngraph.exchange.importing.description import Port, Read
from rnngraph.exchange.importing.values import BATCH_NAME, Axis, Dims, turn
from rnngraph.files.safetensors import Arrays
from rnngraph.model import Model


class NotRun(Struct, frozen=True):
    """Why the file's own model gives nothing; whether it could with other data."""

    why: str
    for_data: bool = False


Outcome = Callable[[Mapping[str, Any]], "list[Any] | NotRun"]
"""Runs the file's own model on arrays by its own names of inputs."""
Arguments = Mapping[str, Any]


class Compared(Struct, frozen=True):
    """How both models were compared, the largest difference (None where nothing was run), and what else was seen."""

    text: str
    difference: float | None
    notes: tuple[str, ...] = ()


TOLERANCE = 1e-4
"""Largest difference, relative to the largest output: the other runtime computes in float32."""
HALF_TOLERANCE = 2e-2
"""The same for a file that computes with 16 bits."""
ROWS, STEPS, TRIES = 3, 5, 3


def said(error: Exception) -> str:
    """The first line of what another library says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:400]


def compared(made: Read, text: str, weights: Arrays, run: Outcome, runtime: str) -> Compared:
    """Compares both models on random data. UserError where they differ."""
    program = _parsed(text).compile(dtype="float64", kernels="numpy")
    exact = {n: np.asarray(w, np.float64) for n, w in weights.items()}
    worst, padded = 0.0, set[str]()
    for seed in range(TRIES):
        both = _both(made, run, lambda data: program.run(data, exact), seed)
        if isinstance(both, NotRun):
            return Compared(_by_parts(made, both.why), None)
        found = [_differences(made, both, i) for i in range(len(made.outputs))]
        _refuse(made, [real for real, _ in found], runtime)
        worst = max(worst, *(real for real, _ in found))
        padded |= {p.ours for p, (_, behind) in zip(made.outputs, found, strict=True) if behind > _tolerance(made)}
    notes = tuple(f"`{name}` has zeros behind the end of a row here, and not in the file" for name in sorted(padded))
    return Compared(f"checked: {runtime} gives the same on random data, but for {worst:.1g}", worst, notes)


class _Both(Struct, frozen=True):
    """What both models gave for the same data, which are under the file's names."""

    data: Arguments
    theirs: list[Any]
    ours: Arguments


def _both(made: Read, run: Outcome, ours: Callable[[Arguments], Arguments], seed: int) -> _Both | NotRun:
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
            return _Both(theirs, results, ours(dict(_given(made, theirs))))
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


def _tolerance(made: Read) -> float:
    return HALF_TOLERANCE if made.half else TOLERANCE


def _refuse(made: Read, found: list[float], runtime: str) -> None:
    wrong = [
        Diagnostic(
            "E763",
            f"the output `{port.theirs}` differs from what {runtime} gives, by {difference:.3g} of its largest number",
            help="nothing was written",
        )
        for port, difference in zip(made.outputs, found, strict=True)
        if not difference <= _tolerance(made)
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
    for axis, rows in _lengths(made, theirs).items():
        yield from ((f"{p.ours}.lengths", rows) for p in made.inputs if axis in _axes(p.dims))


def _lengths(made: Read, theirs: Arguments) -> Arguments:
    """The lengths of rows by axis."""
    return {made.lengths[p.ours]: theirs[p.theirs] for p in made.inputs if p.ours in made.lengths}


def _axes(dims: Dims) -> list[str]:
    return [d.name for d in dims if isinstance(d, Axis)]


def turned(dims: Dims, array: Any) -> Any:
    """An array with the batch first, then the steps, then what is written in the language."""
    return np.transpose(array, turn(dims))


def _differences(made: Read, both: _Both, i: int) -> tuple[float, float]:
    """The largest difference of an output at real steps, infinite where shapes differ; and that behind ends of rows."""
    port = made.outputs[i]
    theirs, ours = turned(port.dims, np.asarray(both.theirs[i])), np.asarray(both.ours[port.ours])
    if BATCH_NAME not in _axes(port.dims) and ours.ndim == theirs.ndim + 1:
        ours = ours[0]
    if ours.shape != theirs.shape:
        return np.inf, 0.0
    one, other = ours.astype(np.float64), theirs.astype(np.float64)
    real = _real(port, one, _lengths(made, both.data))
    return _difference(one[real], other[real]), _difference(one[~real], other[~real])


def _real(port: Port, array: Any, lengths: Arguments) -> Any:
    """Which (row, step) of an output are no padding; all of it, where it has no lengths."""
    axes = sorted(_axes(port.dims), key=BATCH_NAME.__ne__)
    if len(axes) != 2 or axes[0] != BATCH_NAME or axes[1] not in lengths:
        return np.ones(array.shape[:1], bool)
    return np.arange(array.shape[1]) < lengths[axes[1]][:, None]


def _difference(one: Any, other: Any) -> float:
    """The largest difference, relative to the largest number."""
    if not one.size:
        return 0.0
    gap = np.abs(one - other)
    gap[(one == other) | (np.isnan(one) & np.isnan(other))] = 0
    return float(gap.max() / max(1.0, np.abs(other[np.isfinite(other)]).max(initial=0.0)))
