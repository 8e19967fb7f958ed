"""How a model is to be compiled: static or as a loop, with or without gradients, what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from rnngraph.checkpointing.options import ALL, Keep
from rnngraph.diagnostics.errors import UserError
from rnngraph.ir.types import size_of

Gradient = bool | Literal["weights"]


class Schedule(Struct, frozen=True):
    """How a model is run: what is outside the file and changes only the cost.

    `unroll` is "static", "dynamic" or the number of steps in one turn of the loop; `steps` the number of steps of
    a static program, one number or one for each time axis; `gradient` False, True, or "weights" where the
    gradients of data and states are not wanted.
    """

    unroll: str | int = "dynamic"
    steps: int | Mapping[str, int] | None = None
    dtype: str = "float64"
    gradient: Gradient = False
    keep: Keep = ALL
    """What is kept for the backward pass, and what is computed again."""
    limit: int | None = None
    """The bytes that a run may take: where nothing else is said of what to keep, the fastest way that fits is taken."""
    truncate: int | None = None
    """The number of steps after which gradients through states are cut off."""
    swap: str = ""
    """The folder of a file for what is kept for the backward pass; "" for memory."""

    def keeping_all(self, gradient: Gradient) -> Schedule:
        """The same mode, with these gradients and nothing computed again."""
        return Schedule(self.unroll, self.steps, self.dtype, gradient)

    @property
    def static(self) -> bool:
        return self.unroll == "static"

    @property
    def told(self) -> bool:
        """Whether it is told what is to be computed again."""
        return self.keep != ALL or self.truncate is not None or bool(self.swap)

    def steps_of(self, axis: str) -> int:
        return size_of(axis, self._given_steps)

    def _given_steps(self, axis: str) -> int:
        if isinstance(self.steps, Mapping):
            if axis not in self.steps:
                raise UserError(f"a static program needs a number of steps for the axis `{axis}`", "E601")
            return self.steps[axis]
        assert self.steps is not None
        return self.steps


class Steps(dict[str, int]):
    """The number of steps of each axis of a static program, asked of its schedule."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule

    def __missing__(self, axis: str) -> int:
        return self.schedule.steps_of(axis)
