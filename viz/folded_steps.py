"""Which steps of an unrolled loop are drawn, and which are folded into one box."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

DEFAULT_STEPS = 50


class Column(NamedTuple):
    """One step, by its place on the axis; or `skipped` steps from there on, in one box."""

    step: int
    skipped: int = 0

    @property
    def title(self) -> str:
        if not self.skipped:
            return f"t = {self.step}"
        return f"{self.skipped:,} more step{'s' if self.skipped > 1 else ''}"


def columns(axis: str, steps: int | Mapping[str, int], fold: int = 6) -> tuple[Column, ...]:
    """The columns from left to right, by place on the axis whatever the direction of the loops.

    Up to `fold` steps are drawn each. Of more, the first third of `fold` and the last sixth are (for 6: two
    and one), and the middle is one column. A counted axis (`3@for`) has its own number of steps.
    """
    count = steps_of(axis, steps)
    if count <= max(fold, 3):
        return tuple(Column(t) for t in range(count))
    first, last = max(2, fold // 3), max(1, fold // 6)
    folded = Column(first, count - first - last)
    return (*map(Column, range(first)), folded, *map(Column, range(count - last, count)))


def steps_of(axis: str, steps: int | Mapping[str, int]) -> int:
    """How many steps an axis has, where sequences have `steps` steps (of each axis by name, or of all)."""
    counted = re.match(r"(\d+)@for", axis)
    if counted:
        return int(counted[1])
    return max(1, steps if isinstance(steps, int) else steps.get(axis, DEFAULT_STEPS))
