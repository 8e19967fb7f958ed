"""Optimisers: the equations by which weights, and what is kept for each, follow their gradients.

An optimiser is its settings, its numbers for one update, and its rule for one weight: equations that NumPy computes,
and of which a compiled kernel is made (`kernels/chain_tracing.py`). A text is checked without NumPy, so it is imported
where a rule is computed.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError, told_of
from rnngraph.diagnostics.suggestions import did_you_mean

Numbers = Mapping[str, Any]


class _Decaying(Struct, frozen=True, kw_only=True):
    """What is given by its name alone."""

    decay: float = 0.0


class Optimiser(_Decaying, frozen=True):
    """The settings that all share.

    `decay` adds so much of a weight to its gradient (but see `AdamW`).
    """

    rate: float = 0.001

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the arrays that it keeps for every weight."""
        raise NotImplementedError

    def numbers(self, update: int) -> dict[str, float]:
        """The numbers of the rule at one update, which counts from 1; they are rounded to the weights' type."""
        raise NotImplementedError

    @staticmethod
    def rule(weight: Any, gradient: Any, kept: tuple[Any, ...], n: Numbers) -> tuple[Any, ...]:
        """The new weight, then what is kept for it."""
        raise NotImplementedError


class SGD(Optimiser, frozen=True):
    """Gradient descent; with momentum v' = momentum v + g (Polyak 1964), Nesterov's step along g + momentum
    v'.

    Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep learning,
    ICML 2013.
    """

    rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def numbers(self, update: int) -> dict[str, float]:
        return {
            "momentum": self.momentum,
            "rate": self.rate,
            "of gradient": float(bool(self.nesterov)),
            "of velocity": self.momentum if self.nesterov else 1.0,
        }

    @staticmethod
    def rule(weight: Any, gradient: Any, kept: tuple[Any, ...], n: Numbers) -> tuple[Any, ...]:
        velocity = n["momentum"] * kept[0] + gradient if kept else gradient
        along = n["of gradient"] * gradient + n["of velocity"] * velocity
        return (weight - n["rate"] * along, velocity)[: 1 + len(kept)]


class Adam(Optimiser, frozen=True):
    """Kingma, Ba: Adam, a method for stochastic optimization, ICLR 2015 (algorithm 1)."""

    rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    @property
    def slots(self) -> tuple[str, ...]:
        return ("m", "v")

    def numbers(self, update: int) -> dict[str, float]:
        return {
            "beta1": self.beta1,
            "rest1": 1.0 - self.beta1,
            "beta2": self.beta2,
            "rest2": 1.0 - self.beta2,
            "scale": self.rate / (1.0 - self.beta1**update),
            "seen": 1.0 - self.beta2**update,
            "epsilon": self.epsilon,
        }

    @staticmethod
    def rule(weight: Any, gradient: Any, kept: tuple[Any, ...], n: Numbers) -> tuple[Any, ...]:
        m = n["beta1"] * kept[0] + n["rest1"] * gradient
        v = n["beta2"] * kept[1] + n["rest2"] * gradient * gradient
        return weight - n["scale"] * m / (_sqrt(v / n["seen"]) + n["epsilon"]), m, v


class AdamW(Adam, frozen=True, kw_only=True):
    """Loshchilov, Hutter: Decoupled weight decay regularization, ICLR 2019 (algorithm 2; the decay times
    rate).
    """

    decay: float = 0.01

    def numbers(self, update: int) -> dict[str, float]:
        return {**super().numbers(update), "shrinking": self.rate * self.decay}

    @staticmethod
    def rule(weight: Any, gradient: Any, kept: tuple[Any, ...], n: Numbers) -> tuple[Any, ...]:
        moved, m, v = Adam.rule(weight, gradient, kept, n)
        return moved - n["shrinking"] * weight, m, v


class RMSprop(Optimiser, frozen=True):
    """Tieleman, Hinton: Lecture 6.5, rmsprop (2012); with momentum as in Graves, arXiv 1308.0850 (not
    centred).
    """

    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-8

    @property
    def slots(self) -> tuple[str, ...]:
        return ("square", "velocity") if self.momentum else ("square",)

    def numbers(self, update: int) -> dict[str, float]:
        return {
            "rho": self.rho,
            "rest": 1.0 - self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "rate": self.rate,
        }

    @staticmethod
    def rule(weight: Any, gradient: Any, kept: tuple[Any, ...], n: Numbers) -> tuple[Any, ...]:
        square = n["rho"] * kept[0] + n["rest"] * gradient * gradient
        along = gradient / (_sqrt(square) + n["epsilon"])
        velocity = along if len(kept) == 1 else n["momentum"] * kept[1] + along
        return (weight - n["rate"] * velocity, square, velocity)[: 1 + len(kept)]


class Adagrad(Optimiser, frozen=True):
    """Duchi, Hazan, Singer: Adaptive subgradient methods for online learning and stochastic optimization, JMLR 2011
    (the diagonal form)."""

    rate: float = 0.01
    epsilon: float = 1e-10

    @property
    def slots(self) -> tuple[str, ...]:
        return ("square",)

    def numbers(self, update: int) -> dict[str, float]:
        return {"rate": self.rate, "epsilon": self.epsilon}

    @staticmethod
    def rule(weight: Any, gradient: Any, kept: tuple[Any, ...], n: Numbers) -> tuple[Any, ...]:
        square = kept[0] + gradient * gradient
        return weight - n["rate"] * gradient / (_sqrt(square) + n["epsilon"]), square


OPTIMISERS: dict[str, type[Optimiser]] = {
    "sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "adagrad": Adagrad,
}  # fmt: skip


def optimiser(name: str, arguments: Mapping[str, Any] | None = None) -> Optimiser:
    """An optimiser by its name in a recipe (`adam`) and its settings. UserError for what it does not have."""
    arguments = arguments or {}
    if name not in OPTIMISERS:
        raise UserError(
            f"no optimizer is called `{name}`",
            code="E701",
            help=did_you_mean(name, OPTIMISERS) or f"there are {', '.join(OPTIMISERS)}",
        )
    known = list(OPTIMISERS[name].__struct_fields__)
    problems = [_unknown(name, given, known) for given in arguments if given not in known]
    problems += [
        d for given, value in arguments.items() if given in known and (d := _out_of_range(given, value))
    ]
    if problems:
        raise UserError(problems)
    return OPTIMISERS[name](**arguments)


def _sqrt(x: Any) -> Any:
    """Of an array, or of one whose operations are traced."""
    import numpy as np

    return np.sqrt(x)


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
