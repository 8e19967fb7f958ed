"""Bytes alive in the order in which a cut program is run: what lasts for the run, and beside it a part at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from rnngraph.checkpointing.actions import HERE, Advance, Back, Visit
from rnngraph.checkpointing.arenas import SHARED
from rnngraph.checkpointing.plan import Key, Walking
from rnngraph.checkpointing.stages import AFTER, BEFORE, BETWEEN
from rnngraph.planning.program import CATEGORIES, Program
from rnngraph.planning.timeline import Moment, timeline

SAVED = CATEGORIES.index("saved")


class Piece(NamedTuple):
    """A part as it is run once: over its forward pass, its backward pass, or both."""

    key: Key
    there: bool = True
    back: bool = True
    leaves: bool = False
    """Whether its tape stays where it was made, for the next chunk that goes back."""
    turned: bool = False
    """Whether the first walk is over."""


def moments(walking: Walking) -> Iterator[tuple[bool, Moment]]:
    """Every moment of a run in its order, in bytes, and whether the first walk is over by then."""
    rest = _lasting(walking)
    lines = {key: _halves(walking, key) for key in walking.parts}
    left = 0
    for piece in pieces(walking):
        there, back = lines[piece.key]
        tape = left if piece.key[0] == "whole" else 0  # a chunk's own moments count its tape
        for moment in (*there * piece.there, *back * piece.back):
            bytes = [a + b for a, b in zip(rest, moment.bytes, strict=True)]
            bytes[SAVED] += tape
            yield piece.turned, replace(moment, bytes=tuple(bytes))
        if piece.key[0] != "whole":
            left = there[-1].bytes[SAVED] if piece.leaves and there else 0


def pieces(walking: Walking) -> Iterator[Piece]:
    """The parts in the order in which `Walker.run` runs them."""
    course, turned, taped = walking.course, False, dict[int, str]()
    yield Piece(("whole", BEFORE))
    for action in course.actions:
        if isinstance(action, Back) and not turned:
            turned = True
            yield Piece(("whole", BETWEEN), turned=True)
        if isinstance(action, Visit | Advance | Back):
            first, behind = course.span(action.chunk)
            steps = behind - first
        match action:
            case Visit(chunk, tape) | Advance(chunk, tape):
                again = "advance" if tape is None else "again"
                taped[chunk] = "first" if isinstance(action, Visit) else again
                yield Piece((taped[chunk], steps), back=False, leaves=tape == HERE, turned=turned)
            case Back(chunk, tape):
                kind = "again" if tape is None else taped[chunk]
                yield Piece((kind, steps), there=tape is None, turned=True)
    if not turned:
        yield Piece(("whole", BETWEEN), turned=True)
    yield Piece(("whole", AFTER), turned=True)


def own_bytes(program: Program, slot_bytes: Sequence[int]) -> list[int]:
    """The bytes of what a part does not only read or write where it stands."""
    return [0 if c == "parameters" else n for c, n in zip(program.categories, slot_bytes, strict=True)]


def _halves(walking: Walking, key: Key) -> tuple[tuple[Moment, ...], tuple[Moment, ...]]:
    """The moments of a part in its forward pass and in its backward pass."""
    program, plan = walking.parts[key].program, walking.plans[key]
    found = timeline(program, plan.sizes, own_bytes(program, plan.slot_bytes))
    return found[: program.turn], found[program.turn :]


def _lasting(walking: Walking) -> list[int]:
    """The bytes that a run has from its first to its last kernel, by category: kept states, tapes, held values."""
    found: Mapping[str, list[int]] = {c: [] for c in CATEGORIES}
    for name, (category, _, size) in walking.layout.regions.items():
        if name not in SHARED:
            found[category].append(size)
    found["parameters"].append(walking.bytes["parameters"])
    return [sum(found[category]) for category in CATEGORIES]
