"""The schedule with the least predicted time that fits into a given memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from msgspec import Struct

from rnngraph.checkpointing import revolve, states_and_tapes
from rnngraph.checkpointing.chunks import Course, revolving
from rnngraph.checkpointing.plan import least, state_bytes, tape_bytes
from rnngraph.checkpointing.segment_programs import Parts
from rnngraph.diagnostics.errors import UserError
from rnngraph.ops.summation_order import unit

FEW_CHUNKS = 64
"""Up to so many chunks the optimum over states and tapes is searched for; beyond, that over states is known anyway."""

PLACES_OF_A_TAPE = 8
"""Places are made so wide that a tape takes about so many."""

STARTING = 0.1
"""What it costs to begin a chunk, in steps. Only choices between schedules of nearly the same work depend on it."""

SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def bytes_in(text: str | int) -> int:
    """`512MB` in bytes; UserError where it is no size."""
    given = str(text).strip().upper()
    digits = given.rstrip("KMGIB ")
    unit_name = given[len(digits) :].strip() or "B"
    try:
        found = int(float(digits) * SIZES[unit_name])
    except (ValueError, KeyError, OverflowError):
        found = 0
    if found <= 0:
        raise UserError(f"`{text}` is not a memory size", "E615", "write it as 512MB or 2GB")
    return found


class Choice(Struct, frozen=True):
    """A schedule with the time it is thought to take, in forward steps."""

    time: float
    course: Course


class Fitting(Struct, frozen=True):
    """One length of sequences, for which a schedule is looked for."""

    parts: Parts
    steps: int
    sizes: Mapping[str, int]
    dtype: str
    batch: int
    reverse: bool = False

    @property
    def state(self) -> int:
        return state_bytes(self.parts.cut, self.sizes, self.dtype)

    def chunks(self) -> Iterator[int]:
        """Numbers of steps to try for a chunk: units, doubled until the chunk holds all, as the first may."""
        chunk = first = unit(self.batch)
        while chunk < self.steps + max(self.steps, first):
            yield chunk
            chunk *= 2

    def base(self, chunk: int) -> int:
        """The bytes of a run by such chunks without what it keeps."""
        whole, rest = divmod(self.steps, chunk)
        lengths = {chunk} if not rest else {rest} if not whole else {chunk, rest}
        return least(self.parts, sorted(lengths), self.sizes, self.dtype)

    def least(self) -> int:
        """The fewest bytes that a run can take: one state is kept. Where there are no steps, more than any."""
        return min((self.base(chunk) + self.state for chunk in self.chunks()), default=sys.maxsize)

    def best(self, limit: int) -> Choice | None:
        """The fastest schedule that takes no more bytes; None where there is none."""
        found = (choice for chunk in self.chunks() for choice in self.choices(chunk, limit - self.base(chunk)))
        return min(found, key=lambda choice: choice.time, default=None)

    def choices(self, chunk: int, room: int) -> Iterator[Choice]:
        """Schedules by such chunks that keep no more than there is room for."""
        if room < self.state:
            return
        count = -(-self.steps // chunk)
        slots = min(room // self.state, count)
        work = revolve.advances(count, slots) + count
        yield self.choice(work, revolving(self.steps, chunk, slots, self.reverse))
        if count <= FEW_CHUNKS:
            yield from self.with_tapes(chunk, count, room)

    def with_tapes(self, chunk: int, count: int, room: int) -> Iterator[Choice]:
        kept = max(tape_bytes(self.parts, n, self.sizes, self.dtype) for n in {chunk, min(chunk, self.steps)})
        wide = max(1, kept // (PLACES_OF_A_TAPE * self.state))
        tape = 1 + -(-kept // (wide * self.state))
        memory = min(room // (wide * self.state), count * tape + 1)
        if memory:
            work = states_and_tapes.work(count, memory, tape)
            course = Course(
                self.steps, chunk, lambda n: states_and_tapes.mixed(n, memory, tape), self.reverse, tape, wide
            )
            yield self.choice(work, course)

    def choice(self, work: float, course: Course) -> Choice:
        """`work` is in chunks."""
        return Choice(work * (min(course.chunk, self.steps) + STARTING), course)
