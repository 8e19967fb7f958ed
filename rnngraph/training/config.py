"""The settings of a training run: from the model's `train` block, overridden by flags."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import asdict

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.training.learning_rates import Constant, RateSchedule, rate_schedule
from rnngraph.training.optimisers import OPTIMISERS, Adam, Optimiser, is_number, optimiser, shown

Split = Literal["random", "last"]


class FitConfig(Struct, frozen=True):
    """How to train. A run with the same settings, data and first weights gives the same bits.

    An update is made of the mean of the gradients of `accumulate` batches. Each batch is cut into `shards`, whose
    gradients are computed one by one and added up in their order, by any number of processes; None means one for each
    process. `clip_norm` shortens longer gradients, to `clip_norm / (norm + clip_epsilon)` of them. The rate is
    multiplied by `rate_decay` after each epoch, by what `rate_schedule` says, and over the first `warmup` updates by a
    factor that grows to 1. `segment` cuts sequences into pieces of so many steps, an update for each, and carries
    states on from piece to piece. `similar_lengths` puts rows of similar lengths into a batch. `validation` is the
    fraction of the rows held back, drawn at random or the `last` ones; `patience` is the number of epochs without a
    better held-back loss after which training stops.
    """

    optimizer: Optimiser = field(default_factory=Adam)
    batch: int = 32
    epochs: int = 10
    accumulate: int = 1
    shards: int | None = None
    clip_norm: float | None = None
    clip_epsilon: float = 0.0
    rate_decay: float = 1.0
    rate_schedule: RateSchedule = field(default_factory=Constant)
    warmup: int = 0
    segment: int | None = None
    similar_lengths: bool = False
    validation: float = 0.0
    split: Split = "random"
    patience: int | None = None
    seed: int = 0

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any], **overrides: Any) -> FitConfig:
        """Of a `train` block: `optimizer` is a name or (name, settings). None overrides nothing.

        Raises UserError that names every option that is unknown or out of range.
        """
        chosen = {**recipe, **{name: value for name, value in overrides.items() if value is not None}}
        unknown = [name for name in chosen if name not in _RULES and name not in _NAMED]
        problems = [_unknown(name) for name in unknown[:MOST_UNKNOWN]]
        problems += [
            d for name, value in chosen.items() if name in _RULES and (d := _out_of_range(name, value))
        ]
        for name, made in _NAMED.items():
            try:
                chosen[name] = made(chosen.get(name))
            except UserError as error:
                problems += error.diagnostics
        if problems:
            raise UserError(problems)
        return cls(**{name: _RULES[name][2](v) if name in _RULES else v for name, v in chosen.items()})

    def as_json(self) -> dict[str, Any]:
        named = {name: getattr(self, name) for name in _NAMED}
        return {**asdict(self), **{n: {"name": type(v).__name__.lower(), **asdict(v)} for n, v in named.items()}}


def _optimiser(given: Any) -> Optimiser:
    """Of a name, of a name with settings, or of one that is ready."""
    match given:
        case None:
            return Adam()
        case Optimiser():
            return given
        case str(name):
            return optimiser(name)
        case (str(name), Mapping() as settings):
            return optimiser(name, settings)
    raise UserError(
        f"`optimizer` should name an optimizer, got {shown(given)}", "E701", f"as in `{'`, `'.join(OPTIMISERS)}`"
    )


def _number(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def _whole(value: Any) -> bool:
    return _number(value) and value % 1 == 0


_RULES: dict[str, tuple[str, Any, Any]] = {
    "batch": ("a whole number of rows, at least 1", lambda v: _whole(v) and v >= 1, int),
    "epochs": ("a whole number, at least 0", lambda v: _whole(v) and v >= 0, int),
    "accumulate": ("a whole number of batches, at least 1", lambda v: _whole(v) and v >= 1, int),
    "shards": ("a whole number, at least 1", lambda v: _whole(v) and v >= 1, int),
    "clip_norm": ("above 0", lambda v: _number(v) and v > 0, float),
    "clip_epsilon": ("at least 0", lambda v: _number(v) and v >= 0, float),
    "warmup": ("a whole number of updates, at least 0", lambda v: _whole(v) and v >= 0, int),
    "segment": ("a whole number of steps, at least 1", lambda v: _whole(v) and v >= 1, int),
    "similar_lengths": ("true or false", lambda v: isinstance(v, bool), bool),
    "rate_decay": ("above 0 and at most 1", lambda v: _number(v) and 0 < v <= 1, float),
    "validation": ("a fraction, at least 0 and below 1", lambda v: _number(v) and 0 <= v < 1, float),
    "split": ("`random` or `last`", lambda v: isinstance(v, str) and v in ("random", "last"), str),
    "patience": ("a whole number of epochs, at least 1", lambda v: _whole(v) and v >= 1, int),
    "seed": ("a whole number", _whole, int),
}
"""Option -> what it should be, whether it is, and its type."""
_NAMED = {"optimizer": _optimiser, "rate_schedule": rate_schedule}
"""Options that are a name with settings, and how they are made."""
OPTIONS = frozenset((*_NAMED, *_RULES))
"""All options of a recipe."""
MOST_UNKNOWN = 10
"""So many unknown options are told."""


def _unknown(name: str) -> Diagnostic:
    known = [*_NAMED, *_RULES]
    return Diagnostic(
        "E703",
        f"training has no option `{name}`",
        help=did_you_mean(name, known) or f"it has {', '.join(known)}",
    )


def _out_of_range(name: str, value: Any) -> Diagnostic | None:
    words, holds, _ = _RULES[name]
    try:
        fine = bool(holds(value))
    except OverflowError:  # a whole number that no float can hold
        fine = False
    return None if fine else Diagnostic("E704", f"`{name}` should be {words}, got {shown(value)}")
