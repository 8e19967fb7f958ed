"""Optimisers: from weights, gradients and state to new weights and new state. Nothing is changed in place.

State is a flat mapping from names (`m/encoder.kernel`) to arrays, so that it is saved like weights are; the
number of updates made stands in it under `updates`. An optimiser is its settings, and its rule for one
weight.
"""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError, told_of
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.files.tensors import Arrays

Array = NDArray[Any]
UPDATES = "updates"


@dataclass(frozen=True)
class Optimiser(ABC):
    """The settings that all share, and the names of the arrays that each keeps for every weight."""

    slots: ClassVar[tuple[str, ...]] = ()

    rate: float = 0.001

    @abstractmethod
    def rule(
        self, weight: Array, gradient: Array, kept: tuple[Array, ...], update: int
    ) -> tuple[Array, tuple[Array, ...]]:
        """The new weight and what is kept for it; `update` counts from 1."""


@dataclass(frozen=True)
class SGD(Optimiser):
    """Gradient descent; with momentum v' = momentum v + g (Polyak 1964), Nesterov's step along g + momentum
    v'.

    Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep learning,
    ICML 2013.
    """

    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def rule(
        self, weight: Array, gradient: Array, kept: tuple[Array, ...], update: int
    ) -> tuple[Array, tuple[Array, ...]]:
        velocity = self.momentum * kept[0] + gradient
        along = gradient + self.momentum * velocity if self.nesterov else velocity
        return weight - self.rate * along, (velocity,)


@dataclass(frozen=True)
class Adam(Optimiser):
    """Kingma, Ba: Adam, a method for stochastic optimization, ICLR 2015 (algorithm 1)."""

    slots: ClassVar[tuple[str, ...]] = ("m", "v")

    rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def rule(
        self, weight: Array, gradient: Array, kept: tuple[Array, ...], update: int
    ) -> tuple[Array, tuple[Array, ...]]:
        m = self.beta1 * kept[0] + (1.0 - self.beta1) * gradient
        v = self.beta2 * kept[1] + (1.0 - self.beta2) * gradient * gradient
        scale = self.rate / (1.0 - self.beta1**update)
        root = np.sqrt(v / (1.0 - self.beta2**update))
        return weight - scale * m / (root + self.epsilon), (m, v)


@dataclass(frozen=True)
class AdamW(Adam):
    """Loshchilov, Hutter: Decoupled weight decay regularization, ICLR 2019 (algorithm 2; the decay times
    rate).
    """

    decay: float = 0.01

    def rule(
        self, weight: Array, gradient: Array, kept: tuple[Array, ...], update: int
    ) -> tuple[Array, tuple[Array, ...]]:
        moved, kept = super().rule(weight, gradient, kept, update)
        return moved - self.rate * self.decay * weight, kept


@dataclass(frozen=True)
class RMSprop(Optimiser):
    """Tieleman, Hinton: Lecture 6.5, rmsprop (2012); with momentum as in Graves, arXiv 1308.0850 (not
    centred).
    """

    slots: ClassVar[tuple[str, ...]] = ("square", "velocity")

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-8

    def rule(
        self, weight: Array, gradient: Array, kept: tuple[Array, ...], update: int
    ) -> tuple[Array, tuple[Array, ...]]:
        square = self.rho * kept[0] + (1.0 - self.rho) * gradient * gradient
        velocity = self.momentum * kept[1] + gradient / (np.sqrt(square) + self.epsilon)
        return weight - self.rate * velocity, (square, velocity)


OPTIMISERS: dict[str, type[Optimiser]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}


def start(optimiser: Optimiser, weights: Mapping[str, Array]) -> Arrays:
    """The state before the first update: zeros."""
    state = {f"{slot}/{name}": np.zeros_like(w) for name, w in weights.items() for slot in optimiser.slots}
    return {**state, UPDATES: np.array(0, np.int64)}


def update(
    optimiser: Optimiser,
    weights: Mapping[str, Array],
    gradients: Mapping[str, Array],
    state: Mapping[str, Array],
) -> tuple[Arrays, Arrays]:
    """New weights and new state. A weight without a gradient (a frozen one) stays as it is."""
    count = int(state[UPDATES]) + 1
    new_weights, new_state = dict(weights), dict(state)
    for name in weights:
        if name in gradients:
            kept = tuple(state[f"{slot}/{name}"] for slot in optimiser.slots)
            new_weights[name], kept = optimiser.rule(weights[name], gradients[name], kept, count)
            new_state.update(zip((f"{slot}/{name}" for slot in optimiser.slots), kept, strict=True))
    return new_weights, {**new_state, UPDATES: np.array(count, np.int64)}


def global_norm(gradients: Mapping[str, Array]) -> float:
    """The length of all gradients as one vector, added up in float64."""
    return math.sqrt(
        sum(
            float(np.vdot(g, g)) if g.dtype == np.float64 else float(np.sum(np.square(g, dtype=np.float64)))
            for g in gradients.values()
        )
    )


def clip_by_global_norm(gradients: Mapping[str, Array], limit: float) -> tuple[Arrays, float]:
    """Gradients shortened together to at most `limit`, and their norm before.

    Pascanu, Mikolov, Bengio: On the difficulty of training recurrent neural networks, ICML 2013.
    """
    norm = global_norm(gradients)
    scale = limit / norm if norm > limit else 1.0
    return {name: g * scale if scale != 1.0 else g for name, g in gradients.items()}, norm


def optimiser(name: str, arguments: Mapping[str, Any] | None = None) -> Optimiser:
    """An optimiser by its name in a recipe (`adam`) and its settings. UserError for what it does not have."""
    arguments = arguments or {}
    if name not in OPTIMISERS:
        raise UserError(
            f"no optimizer is called `{name}`",
            code="E701",
            help=did_you_mean(name, OPTIMISERS) or f"there are {', '.join(OPTIMISERS)}",
        )
    known = [f.name for f in fields(OPTIMISERS[name])]
    problems = [_unknown(name, given, known) for given in arguments if given not in known]
    problems += [
        d for given, value in arguments.items() if given in known and (d := _out_of_range(given, value))
    ]
    if problems:
        raise UserError(problems)
    return OPTIMISERS[name](**arguments)


def is_number(value: Any) -> bool:
    """Whether it is an int or a float, of Python's or of NumPy's, and no truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """What was given where something else is needed: a number, a word, `adam(...)`."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case int() if abs(value) < 10**40:
            return str(value)
        case (str(name), Mapping()):
            return f"`{name}(...)`"
    return told_of(value)


def _unknown(name: str, argument: str, known: list[str]) -> Diagnostic:
    return Diagnostic(
        "E702",
        f"`{name}` has no setting `{argument}`",
        help=did_you_mean(str(argument), known) or f"it has {', '.join(known)}",
    )


def _out_of_range(argument: str, value: Any) -> Diagnostic | None:
    if argument == "nesterov":
        fine, wanted = isinstance(value, bool) or value in (0, 1), "true or false"
    else:
        high = math.inf if argument in ("rate", "epsilon", "decay") else 1.0
        wanted = "at least 0" if high == math.inf else f"at least 0 and below {high:g}"
        fine = is_number(value) and 0.0 <= value < high and math.isfinite(_as_float(value))
    return None if fine else Diagnostic("E702", f"`{argument}` should be {wanted}, got {shown(value)}")


def _as_float(number: Any) -> float:
    """Infinite where the number is too large for one."""
    try:
        return float(number)
    except OverflowError:
        return math.inf
