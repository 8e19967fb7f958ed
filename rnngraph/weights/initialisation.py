"""How weights begin.

Every weight is drawn from a generator of its own, keyed by (seed, name): neither the order of the weights nor
the presence of others changes a number.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.precision import becomes, cast, wider
from rnngraph.files.safetensors import Arrays
from rnngraph.ir.graph import INPUT, Graph, Node, Value, ordered
from rnngraph.ir.types import BATCH
from rnngraph.language.elaboration.elaborated import Drawn, Weight
from rnngraph.language.elaboration.initialisers import INITIALISERS

Shape = tuple[int, ...]
Draw = Callable[..., NDArray[Any]]


def init(weights: Sequence[Weight], seed: int, dtype: str = "float64") -> Arrays:
    """First values of all weights by full name, frozen ones too. Raises UserError where an initialiser cannot draw.

    The same (seed, name, shape, initialiser) gives the same numbers; float32 ones are the float64 ones
    rounded. What is no finite number in this type is refused, as nothing that begins so could be trained, and a weight
    that is not 0 but all 0 in this type.
    """
    found: Arrays = {}
    with np.errstate(all="ignore"):
        for weight in weights:
            found[weight.name] = _first_value(weight, seed, found)
            _refuse_unheld(weight, found[weight.name], dtype)
        return {name: array.astype(dtype) for name, array in found.items()}


def _refuse_unheld(weight: Weight, array: NDArray[Any], dtype: str) -> None:
    held = cast(array, dtype)
    bad = array[~np.isfinite(held)]
    note, help = "which is not a finite number", ""
    if not bad.size and array.any() and not held.any():
        bad = array[array != 0]
    if bad.size and np.isfinite(bad).all():
        note, help = f"which is {becomes(float(bad.flat[0]), dtype)} in {dtype}", wider(dtype)
    if bad.size:
        raise UserError(
            [Diagnostic("E653", f"`{weight.name}` would begin with {bad.flat[0]:g}", weight.span, note, help=help)]
        )


def computed(value: Value, weights: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """A value of the graph that depends on weights alone; one row of it, where it has rows. UserError where it chooses
    by an index that lies outside."""
    from rnngraph.planning.lowering import lower
    from rnngraph.planning.plan import plan
    from rnngraph.runtime.execution import Bound
    from rnngraph.runtime.numpy import NumpyBackend

    inputs = {n.attrs["name"]: Value(n) for n in ordered([value.node]) if n.op is INPUT}
    looks = {f"index {i}": n for i, n in enumerate(ordered([value.node])) if n.op.name == "inside"}
    program = lower(Graph(inputs, {"value": value, **{name: n.inputs[0] for name, n in looks.items()}}))
    results = Bound(program, plan(program, {BATCH: 1}, "float64"), NumpyBackend()).run({}, weights)
    for name, node in looks.items():
        _refuse_outside(node, results[name])
    return np.array(results["value"])


def _refuse_outside(node: Node, ids: NDArray[Any]) -> None:
    bad, size = ids[(ids < 0) | (ids >= node.attrs["size"])], node.attrs["size"]
    if bad.size:
        raise UserError(
            [Diagnostic("E540", f"an index is {bad.flat[0]}, expected 0 to {size - 1}", node.origin.span)],
        )


def generator(seed: int, name: str) -> np.random.Generator:
    """A stream of random numbers that depends on `seed` and `name` alone (Philox: Salmon et al., SC 2011)."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def _first_value(weight: Weight, seed: int, before: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    initial = weight.initial
    try:
        if initial.value is None:
            return _drawn(Drawn(weight.name, weight.shape, initial), seed)
        return computed(initial.value, {**before, **{d.name: _drawn(d, seed) for d in initial.draws}})
    except (ValueError, OverflowError) as error:
        raise UserError([Diagnostic("E653", f"`{weight.name}`: {error}", weight.span)]) from error


def _drawn(one: Drawn, seed: int) -> NDArray[Any]:
    arguments = {**INITIALISERS[one.initial.name], **one.initial.arguments}
    return DRAWS[one.initial.name](generator(seed, one.name), one.shape, **arguments)


# --- initialisers: (generator, shape, arguments) -> array ------------------------------------------------


def fans(shape: Shape) -> tuple[int, int]:
    """Values in and values out of a weight: the rows and the columns of a matrix.

    A vector counts as (n, n), a single number as (1, 1); dimensions before the last two are those of a
    convolution's window and multiply both.
    """
    if len(shape) < 2:
        size = math.prod(shape)
        return size, size
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def _constant(rng: np.random.Generator, shape: Shape, value: float) -> NDArray[Any]:
    return np.full(shape, float(value))


def _uniform(rng: np.random.Generator, shape: Shape, low: float, high: float) -> NDArray[Any]:
    if not low <= high:
        raise ValueError(f"`uniform` from {low:g} to {high:g} is empty")
    return np.asarray(rng.uniform(low, high, shape))


def _normal(rng: np.random.Generator, shape: Shape, mean: float, std: float) -> NDArray[Any]:
    if not std >= 0:
        raise ValueError(f"`normal` has a negative std, {std:g}")
    return np.asarray(rng.normal(mean, std, shape))


def _truncated_normal(rng: np.random.Generator, shape: Shape, mean: float, std: float) -> NDArray[Any]:
    """Normal values of which those beyond two deviations are drawn again."""
    if not std >= 0:
        raise ValueError(f"`truncated_normal` has a negative std, {std:g}")
    values = np.asarray(rng.standard_normal(shape))
    while (far := np.abs(values) > 2).any():
        values[far] = rng.standard_normal(int(far.sum()))
    return mean + std * values


def _scaled(share: Callable[[int, int], float], normal: bool) -> Draw:
    """Values of variance gain^2 / share(fan_in, fan_out)."""

    def draw(rng: np.random.Generator, shape: Shape, gain: float) -> NDArray[Any]:
        deviation = gain / math.sqrt(max(share(*fans(shape)), 1.0))
        if normal:
            return np.asarray(rng.normal(0.0, deviation, shape))
        return np.asarray(rng.uniform(-1.0, 1.0, shape)) * (deviation * math.sqrt(3.0))

    return draw


def _orthogonal(rng: np.random.Generator, shape: Shape, gain: float) -> NDArray[Any]:
    """Rows or columns, whichever are fewer, of length `gain` and at right angles (Saxe et al., ICLR 2014)."""
    if len(shape) < 2:
        raise ValueError(f"`orthogonal` is for matrices, not for a shape of {list(shape)}")
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)  # else the signs would not be evenly spread
    return np.asarray(gain * (q if rows >= columns else q.T).reshape(shape))


def _identity(rng: np.random.Generator, shape: Shape, gain: float) -> NDArray[Any]:
    """Ones on the diagonal (Le, Jaitly, Hinton 2015: recurrent networks of rectified units)."""
    if len(shape) != 2:
        raise ValueError(f"`identity` is for matrices, not for a shape of {list(shape)}")
    return gain * np.eye(*shape)


def _mean_fan(rows: int, columns: int) -> float:
    return (rows + columns) / 2


def _fan_in(rows: int, columns: int) -> float:
    return float(rows)


def _half_fan_in(rows: int, columns: int) -> float:
    return rows / 2


DRAWS: dict[str, Draw] = {
    "constant": _constant,
    "zeros": lambda rng, shape: _constant(rng, shape, 0.0),
    "ones": lambda rng, shape: _constant(rng, shape, 1.0),
    "uniform": _uniform,
    "normal": _normal,
    "truncated_normal": _truncated_normal,
    "glorot_uniform": _scaled(_mean_fan, normal=False),  # Glorot, Bengio, AISTATS 2010
    "glorot_normal": _scaled(_mean_fan, normal=True),
    "he_uniform": _scaled(_half_fan_in, normal=False),  # He et al., ICCV 2015
    "he_normal": _scaled(_half_fan_in, normal=True),
    "lecun_uniform": _scaled(_fan_in, normal=False),  # LeCun et al., Efficient BackProp 1998
    "lecun_normal": _scaled(_fan_in, normal=True),
    "orthogonal": _orthogonal,
    "identity": _identity,
}
"""How each initialiser of the language draws."""
