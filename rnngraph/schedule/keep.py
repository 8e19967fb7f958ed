"""What a user may ask for: what is kept for the way back, and what is computed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isqrt

from rnngraph.diagnostics import UserError, did_you_mean
from rnngraph.ops.units import unit
from rnngraph.schedule.actions import from_each
from rnngraph.schedule.course import Course

WORDS = ("all", "every", "sqrt")
NEEDS_NUMBER = {"every": "steps between kept states, as in every:100"}


@dataclass(frozen=True)
class Keep:
    """A kind of schedule, with its number where it has one."""

    kind: str
    number: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}" if self.kind in NEEDS_NUMBER else self.kind


ALL = Keep("all")


def parsed(text: str) -> Keep:
    """`all`, `sqrt`, `every:100`; UserError where it is none of these."""
    kind, _, number = text.partition(":")
    if kind not in WORDS:
        hint = did_you_mean(kind, WORDS) or f"there are {', '.join(WORDS)}"
        raise UserError(f"`{text}` is no schedule of what to keep", "E613", hint)
    if kind not in NEEDS_NUMBER:
        if number:
            raise UserError(f"`{text}`: `{kind}` takes no number", "E613", f"write `{kind}`")
        return Keep(kind)
    if not number.isdecimal() or int(number) < 1:
        raise UserError(f"`{text}` does not say how many", "E613", f"give the number of {NEEDS_NUMBER[kind]}")
    return Keep(kind, int(number))


def course(keep: Keep, steps: int, batch: int, reverse: bool = False) -> Course:
    """The schedule for sequences of so many steps; chunks are whole units of steps."""
    return replace(_COURSES[keep.kind](keep.number, steps, unit(batch)), reverse=reverse)


def _units(steps: int, width: int) -> int:
    """The least whole number of units that holds so many steps, in steps."""
    return max(1, -(-steps // width)) * width


def _every(number: int, steps: int, width: int) -> Course:
    return Course(steps, _units(number, width), from_each)


def _sqrt(number: int, steps: int, width: int) -> Course:
    return Course(steps, _units(isqrt(max(0, steps - 1)) + 1, width), from_each)


_COURSES: dict[str, Callable[[int, int, int], Course]] = {"every": _every, "sqrt": _sqrt}
