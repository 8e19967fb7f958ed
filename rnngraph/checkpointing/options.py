"""What a user may ask for: what is kept for the backward pass, and what is computed again."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

from msgspec import Struct

from rnngraph.checkpointing.actions import from_each, from_tapes
from rnngraph.checkpointing.chunks import Course, revolving
from rnngraph.checkpointing.states_and_tapes import mixed
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.suggestions import did_you_mean
from rnngraph.ops.summation_order import unit

NUMBERS = {
    "every": "steps between kept states, as in every:100",
    "revolve": "states that are kept at once, as in revolve:50",
    "mixed": "percent of the memory that keeping everything takes, as in mixed:5",
}
OPTIONAL = {"mixed": 5}
WORDS = ("all", "sqrt", *NUMBERS)
MOST_CHUNKS = 1000
"""For `mixed`, whose optimum takes time and memory to find that grow with the square of the number of chunks."""

LONGEST_COUNT = 15
"""Digits of a number of steps or states."""

SWAPPED_CHUNKS = 32
"""Into so many parts a sequence is cut whose tapes lie elsewhere: two of them are in memory at once."""


class Keep(Struct, frozen=True):
    """A kind of schedule, with its number where it has one."""

    kind: str
    number: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}" if self.kind in NUMBERS else self.kind


ALL = Keep("all")


def parsed(text: str) -> Keep:
    """`all`, `sqrt`, `every:100`; UserError where it is none of these."""
    kind, colon, number = text.partition(":")
    if kind not in WORDS:
        hint = did_you_mean(kind, WORDS) or f"there are {', '.join(WORDS)}"
        raise UserError(f"`{text}` is not a schedule of what to keep", "E613", hint)
    if kind not in NUMBERS:
        if colon:
            raise UserError(f"`{text}`: `{kind}` takes no number", "E613", f"write `{kind}`")
        return Keep(kind)
    if not number and kind in OPTIONAL and text == kind:
        return Keep(kind, OPTIONAL[kind])
    if not is_count(number):
        raise UserError(f"`{text}` does not say how many", "E613", f"give the number of {NUMBERS[kind]}")
    if kind == "mixed" and int(number) > 100:
        raise UserError(f"`{text}`: {number} percent is more than all", "E613", f"give the {NUMBERS[kind]}")
    return Keep(kind, int(number))


def is_count(text: str) -> bool:
    """Whether it is a number from 1 on, of reasonable size."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_COUNT and int(text) >= 1


def course(keep: Keep, steps: int, batch: int, places: Callable[[int], int]) -> Course:
    """The schedule for sequences of so many steps; chunks are whole units of steps.

    `places` tells how many states take as much memory as a tape of a chunk, by its number of steps.
    """
    width = unit(batch)
    match keep.kind:
        case "every":
            return Course(steps, _units(keep.number, width), from_each)
        case "sqrt":
            return Course(steps, _units(isqrt(max(0, steps - 1)) + 1, width), from_each)
        case "revolve":
            return revolving(steps, width, keep.number)
        case _:
            return _mixed(keep.number, steps, width, places)


def truncated(steps: int, every: int) -> Course:
    """Chunks as long as the stretches of steps that gradients through states stay in."""
    return Course(steps, every, from_each)


def swapped(steps: int, batch: int, swap: str, places: Callable[[int], int]) -> Course:
    """Everything is kept, elsewhere, by chunks that are a small part of the sequence."""
    chunk = _units(-(-steps // SWAPPED_CHUNKS), unit(batch))
    tape = places(chunk)
    return Course(steps, chunk, lambda chunks: from_tapes(chunks, tape), tape=tape, swap=swap)


def telling(keep: Keep, truncate: int | None, swap: str, steps: int, batch: int) -> tuple[tuple[int, ...], bool]:
    """A few numbers of steps at which such a schedule does what it does at `steps`, to tell by how bytes grow; and
    whether they are squares, as bytes grow with the root of the steps.

    They are whole units, and make whole chunks.
    """
    width = unit(batch)
    match keep.kind:
        case _ if swap:
            chunks = SWAPPED_CHUNKS if steps > width * SWAPPED_CHUNKS else 8
            return _three(width * chunks * max(1, steps // (width * chunks * 4))), False
        case _ if truncate:
            return (_three(truncate) if steps > truncate else within(truncate)), False
        case "every":
            chunk = _units(keep.number, width)
            return (_three(chunk) if steps > chunk else within(chunk)), False
        case "sqrt":
            return (256 * width**2, 1024 * width**2, 2304 * width**2), True
        case "revolve" if steps > width * keep.number:
            return _three(width * keep.number), False
        case "mixed" if steps > width * MOST_CHUNKS:
            return (width * MOST_CHUNKS, 2 * width * MOST_CHUNKS), False
        case "mixed":
            return _three(width * 100), False
    return within(width * keep.number), False


def within(steps: int) -> tuple[int, ...]:
    """Three numbers below this one, by sixteens where they can be."""
    first = min(16, max(1, steps // 4))
    return first, 2 * first, 3 * first


def _three(steps: int) -> tuple[int, ...]:
    return 2 * steps, 3 * steps, 4 * steps


def _units(steps: int, width: int) -> int:
    """The least whole number of units that holds so many steps, in steps."""
    return max(1, -(-steps // width)) * width


def _mixed(percent: int, steps: int, width: int, places: Callable[[int], int]) -> Course:
    chunk = _units(-(-steps // MOST_CHUNKS), width)
    tape = places(chunk)
    memory = max(1, -(-steps // chunk) * tape * percent // 100)
    return Course(steps, chunk, lambda chunks: mixed(chunks, memory, tape), tape=tape)
