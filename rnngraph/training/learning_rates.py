"""Learning rates over a training: by what the optimiser's rate is multiplied at an update, by its place alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from msgspec import Struct

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.training.optimisers import is_number, shown


class Place(Struct, frozen=True):
    """Where a training stands: updates done, those of an epoch, epochs in all, and the loss of each epoch that is over
    (the held-back one where rows are held back)."""

    update: int
    per_epoch: int
    epochs: int
    losses: Sequence[float] = ()

    @property
    def epoch(self) -> int:
        return self.update // max(1, self.per_epoch)


class RateSchedule(Protocol):
    """What a `train` block names under `rate_schedule`; `over_all` says that it depends on the number of epochs."""

    over_all: ClassVar[bool]

    def factor(self, place: Place) -> float: ...


class Constant(Struct, frozen=True):
    """The rate as it is."""

    over_all: ClassVar[bool] = False

    def factor(self, place: Place) -> float:
        return 1.0


class Step(Struct, frozen=True):
    """Times `by` after every so many epochs."""

    over_all: ClassVar[bool] = False

    every: int = 10
    by: float = 0.1

    def factor(self, place: Place) -> float:
        return self.by ** (place.epoch // int(self.every))


class Cosine(Struct, frozen=True):
    """From 1 down to `to` along half a cosine, over all updates.

    Loshchilov, Hutter: SGDR, stochastic gradient descent with warm restarts, ICLR 2017 (without restarts).
    """

    over_all: ClassVar[bool] = True

    to: float = 0.0

    def factor(self, place: Place) -> float:
        done = min(1.0, place.update / max(1, place.per_epoch * place.epochs))
        return self.to + (1 - self.to) * 0.5 * (1 + math.cos(math.pi * done))


class Linear(Struct, frozen=True):
    """From 1 to `to` in a straight line, over all updates."""

    over_all: ClassVar[bool] = True

    to: float = 0.0

    def factor(self, place: Place) -> float:
        return 1 + (self.to - 1) * min(1.0, place.update / max(1, place.per_epoch * place.epochs))


class Plateau(Struct, frozen=True):
    """Times `by` whenever the loss has not been better than its best for more than `patience` epochs in a row."""

    over_all: ClassVar[bool] = False

    patience: int = 10
    by: float = 0.1

    def factor(self, place: Place) -> float:
        best, waited, factor = math.inf, 0, 1.0
        for loss in place.losses:
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited > self.patience:
                waited, factor = 0, factor * self.by
        return factor


SCHEDULES: Mapping[str, type[Any]] = {
    "constant": Constant, "step": Step, "cosine": Cosine, "linear": Linear, "plateau": Plateau,
}  # fmt: skip


def rate_schedule(given: Any) -> RateSchedule:
    """A schedule by its name, or its name and settings, or ready. UserError for what it does not have."""
    match given:
        case None:
            return Constant()
        case Constant() | Step() | Cosine() | Linear() | Plateau():
            return given
        case str(name):
            return _made(name, {})
        case (str(name), Mapping() as settings):
            return _made(name, settings)
    raise UserError(f"`rate_schedule` should name a schedule, got {shown(given)}", "E705", _known())


def warmed_up(place: Place, updates: int) -> float:
    """Grows in a straight line over so many updates: 1 / updates at the first, 1 from the last on."""
    return min(1.0, (place.update + 1) / updates) if updates else 1.0


def _known() -> str:
    return f"there are {', '.join(SCHEDULES)}"


def _made(name: str, settings: Mapping[str, Any]) -> RateSchedule:
    if name not in SCHEDULES:
        raise UserError(f"no rate schedule is called `{name}`", "E705", did_you_mean(name, SCHEDULES) or _known())
    known = SCHEDULES[name].__struct_fields__
    told = f"it has {', '.join(known)}" if known else "it has none"
    problems = [
        Diagnostic("E705", f"`{name}` has no setting `{n}`", help=did_you_mean(n, known) or told)
        for n in settings
        if n not in known
    ]
    problems += [d for n, value in settings.items() if n in known and (d := _out_of_range(n, value))]
    if problems:
        raise UserError(problems)
    made: RateSchedule = SCHEDULES[name](**settings)
    return made


def _out_of_range(name: str, value: Any) -> Diagnostic | None:
    if name in ("every", "patience"):
        least = 1 if name == "every" else 0
        fine, wanted = is_number(value) and value % 1 == 0 and value >= least, f"a whole number of at least {least}"
    else:
        fine, wanted = is_number(value) and 0 <= value <= 1, "at least 0 and at most 1"
    return None if fine else Diagnostic("E705", f"`{name}` should be {wanted}, got {shown(value)}")
