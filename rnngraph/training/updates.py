"""Steps of an optimiser: weights, and what is kept for each, follow their gradients.

What is kept is a flat mapping from names (`m/encoder.kernel`) to arrays, so that it is saved like weights are; the
number of updates made stands in it under `updates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec.structs import asdict
from numpy.typing import NDArray

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.precision import becomes, wider
from rnngraph.files.safetensors import Arrays
from rnngraph.kernels.chain_tracing import Formula
from rnngraph.runtime.array_updates import WholeArrays
from rnngraph.training.optimisers import OPTIMISERS, AdamW, Optimiser

Array = NDArray[Any]
UPDATES = "updates"


def start(optimiser: Optimiser, weights: Mapping[str, Array]) -> Arrays:
    """The state before the first update: zeros."""
    state = {f"{slot}/{name}": np.zeros_like(w) for name, w in weights.items() for slot in optimiser.slots}
    return {**state, UPDATES: np.array(0, np.int64)}


def update(
    optimiser: Optimiser,
    weights: Mapping[str, Array],
    gradients: Mapping[str, Array],
    state: Mapping[str, Array],
    arrays: WholeArrays,
    factor: float = 1.0,
) -> Arrays:
    """The new state. Weights, and what is kept for them, are written over where they lie; gradients are taken
    `factor` times, as clipping tells. A weight without a gradient (a frozen one) stays as it is."""
    count = int(state[UPDATES]) + 1
    groups = [
        (weights[name], gradients[name], *(state[f"{slot}/{name}"] for slot in optimiser.slots))
        for name in weights
        if name in gradients
    ]
    written = (0, *range(2, 2 + len(optimiser.slots)))
    decays = optimiser.decay > 0 and not isinstance(optimiser, AdamW)
    told = {**optimiser.numbers(count), "factor": factor, **({"decay": optimiser.decay} if decays else {})}
    arrays.update((_DECAYING if decays else _RULES)[type(optimiser)], groups, told, written)
    return {**state, UPDATES: np.array(count, np.int64)}


def _scaled(optimiser: type[Optimiser], decays: bool) -> Formula:
    """The rule of an optimiser with its gradient taken `factor` times, and `decay` times the weight added."""

    def formula(weight: Any, gradient: Any, *rest: Any) -> tuple[Any, ...]:
        *kept, n = rest
        gradient = n["factor"] * gradient + n["decay"] * weight if decays else n["factor"] * gradient
        return optimiser.rule(weight, gradient, tuple(kept), n)

    return formula


_RULES = {optimiser: _scaled(optimiser, False) for optimiser in OPTIMISERS.values()}
_DECAYING = {optimiser: _scaled(optimiser, True) for optimiser in OPTIMISERS.values() if optimiser is not AdamW}


def refuse_unheld(chosen: Optimiser, dtype: str) -> None:
    """UserError for each setting that is infinite in the type of the weights, or 0 though it is none."""
    told = {name: float(value) for name, value in asdict(chosen).items()}
    problems = [
        Diagnostic("E702", f"`{name}` is {value:g}, which is {become} in {dtype}", help=wider(dtype))
        for name, value in told.items()
        if (become := becomes(value, dtype))
    ]
    if problems:
        raise UserError(problems)
