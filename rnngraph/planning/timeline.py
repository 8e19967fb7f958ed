"""Bytes alive over the order of a program: what holds memory while each kernel runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from rnngraph.planning.lifetimes import lifetimes
from rnngraph.planning.program import CATEGORIES, Code, Group, Program, Repeat, Step


class Moment(Struct, frozen=True):
    """A step at the top level of a program, or a loop, shown as it is at the place inside where most is alive.

    `at` is that place, counted like lifetimes are; `calls` is the number of kernels that run in it, and `bytes` what
    is alive by category, in the order of `CATEGORIES`.
    """

    at: int
    step: Step | None
    """What runs there, of several that one kernel does the first; None where nothing of the graph is computed."""
    calls: int
    bytes: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.bytes)


def timeline(program: Program, sizes: Mapping[str, int], slot_bytes: Sequence[int]) -> tuple[Moment, ...]:
    """The moments of a program in their order. Sizes are bytes as asked for, without rounding to the alignment."""
    alive = _alive(program, sizes, slot_bytes)
    found, start = list[Moment](), 0
    for item in program.code:
        steps = list(_placed_steps(item))
        at = max(range(start, start + len(steps)), key=lambda place: sum(alive[place]))
        found.append(Moment(at, steps[at - start], calls(item, sizes), alive[at]))
        start += len(steps)
    return tuple(found)


def calls(item: Code, sizes: Mapping[str, int]) -> int:
    """How many kernels run in a step (one) or a loop."""
    if not isinstance(item, Repeat):
        return 1
    return sizes[item.axis] * sum(calls(inner, sizes) for inner in item.body)


def _placed_steps(item: Code) -> Iterator[Step | None]:
    """The step at each place of the program; a loop ends with a place of its own, where nothing runs."""
    if isinstance(item, Repeat):
        for inner in (*item.body, *item.rest):
            yield from _placed_steps(inner)
        yield None
    elif isinstance(item, Group):
        yield next(iter(item.steps), None)
    else:
        yield item


def _alive(program: Program, sizes: Mapping[str, int], slot_bytes: Sequence[int]) -> list[tuple[int, ...]]:
    """For each place of the program the bytes alive there, by category."""
    lives = lifetimes(program, sizes)
    changes = [[0] * len(CATEGORIES) for _ in range(2 + max((last for _, last in lives), default=0))]
    for (first, last), size, category in zip(lives, slot_bytes, program.categories, strict=True):
        if first >= 0:
            kind = CATEGORIES.index(category)
            changes[first][kind] += size
            changes[last + 1][kind] -= size
    now, found = [0] * len(CATEGORIES), list[tuple[int, ...]]()
    for change in changes:
        now = [a + b for a, b in zip(now, change, strict=True)]
        found.append(tuple(now))
    return found
