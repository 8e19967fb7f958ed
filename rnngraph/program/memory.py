"""The plan: one lifetime per slot, one place per slot in the arena of its category.

The prediction of memory is the allocation: each category is one array of exactly `Plan.bytes[category]` bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from rnngraph.program.program import CATEGORIES, Code, Program, Repeat, moments_of

ALIGN = 64
"""Every slot starts at a multiple of this many bytes, so that kernels meet the same alignment in both modes."""

PLANNED = tuple(c for c in CATEGORIES if c != "parameters")
"""Parameters stay where the user has them; all else is placed."""


@dataclass(frozen=True)
class Plan:
    """For given sizes: the bytes of each slot, its place in its category's arena, and the bytes of each arena."""

    sizes: Mapping[str, int]
    dtype: str
    slot_bytes: tuple[int, ...]
    offsets: tuple[int, ...]
    bytes: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.bytes.values())


def plan(program: Program, sizes: Mapping[str, int], dtype: str) -> Plan:
    """Places every slot for the given axis sizes."""
    lives = lifetimes(program)
    slot_bytes = tuple(slot.bytes(sizes, dtype) for slot in program.slots)
    offsets = [0] * len(program.slots)
    totals = {}
    for category in PLANNED:
        members = [i for i, c in enumerate(program.categories) if c == category]
        total = _arranged(members, lives, slot_bytes, offsets)
        totals[category] = total + ALIGN if total else 0
    totals["parameters"] = sum(slot_bytes[i] for i in program.weights.values())
    return Plan(dict(sizes), dtype, slot_bytes, tuple(offsets), {c: totals[c] for c in CATEGORIES})


# --- lifetimes --------------------------------------------------------------------------------------------------


def lifetimes(program: Program) -> list[tuple[int, int]]:
    """First and last position of each slot in the order of the program; a slot used inside a loop that it does not
    belong to lives for the whole loop."""
    lives: list[tuple[int, int]] = [(-1, -1)] * len(program.slots)
    end = _mark(program, program.code, 0, lives)
    kept = {ref.slot for ref in program.outputs.values()}
    for slot in kept:
        lives[slot] = (max(lives[slot][0], 0), end)
    for slot in (*program.inputs.values(), *(slot for _, slot in program.constants)):
        lives[slot] = (0, end)
    return lives


def _mark(program: Program, code: Sequence[Code], position: int, lives: list[tuple[int, int]]) -> int:
    for item in code:
        if not isinstance(item, Repeat):
            for ref in item.refs:
                _extend(lives, ref.slot, position, position)
            position += 1
        else:
            start = position
            position = _mark(program, (*item.body, *item.rest), position, lives) + 1
            _stretch(program, item, start, position - 1, lives)
    return position


def _stretch(program: Program, repeat: Repeat, start: int, end: int, lives: list[tuple[int, int]]) -> None:
    """What a loop touches and does not own is alive all through it."""
    own = _inside(repeat)
    for slot in {ref.slot for moment in moments_of((repeat,)) for ref in moment.refs}:
        if program.slots[slot].level not in own:
            _extend(lives, slot, start, end)


def _inside(repeat: Repeat) -> set[int]:
    found = {repeat.loop}
    for item in repeat.body:
        if isinstance(item, Repeat):
            found |= _inside(item)
    return found


def _extend(lives: list[tuple[int, int]], slot: int, first: int, last: int) -> None:
    start, end = lives[slot]
    lives[slot] = (first if start < 0 else min(start, first), max(end, last))


# --- the arena -----------------------------------------------------------------------------------------------

LARGE = 150
"""So many of the largest slots are placed first, in several orders; the rest fills what is between them."""

TIGHT = 1.01
"""A placing within this factor of the lower bound is good enough."""

TRIES = 40
"""How many shaken orders are tried where the plain ones are not good enough."""

Life = tuple[int, int]
Room = tuple[int, int]
"""Where a slot starts in its arena, and where it ends."""


def _arranged(members: Sequence[int], lives: Sequence[Life], sizes: Sequence[int], offsets: list[int]) -> int:
    """Gives each member an offset so that slots alive together do not overlap; returns the bytes needed.

    A slot takes the lowest gap that holds it for all its life. The order decides how tight that is: the best of a few
    is taken for the large slots; the many small ones of a static program follow in the order of time.
    """
    alive = {m: -(-sizes[m] // ALIGN) * ALIGN for m in members if lives[m][0] >= 0 and sizes[m]}
    by_size = sorted(alive, key=lambda m: (-alive[m], lives[m]))
    large, small = by_size[:LARGE], sorted(by_size[LARGE:], key=lambda m: lives[m])
    bound = _bound(large, lives, alive)
    best: dict[int, Room] = {}
    for order in _orders(large, lives, alive):
        placed = _placed(order, lives, alive)
        if not best or _top(placed) < _top(best):
            best = placed
        if _top(best) <= bound * TIGHT:
            break
    _fill(small, lives, alive, best)
    for member, (start, _) in best.items():
        offsets[member] = start
    return _top(best)


def _orders(large: list[int], lives: Sequence[Life], sizes: Mapping[int, int]) -> Iterator[list[int]]:
    """By size; by time; by size times length of life; then by size shaken, the same way each time."""
    yield large
    yield sorted(large, key=lambda m: (lives[m][0], -sizes[m]))
    yield sorted(large, key=lambda m: (-sizes[m] * (lives[m][1] - lives[m][0] + 1), lives[m]))
    dice = Random(0)
    for _ in range(TRIES):
        weight = {m: sizes[m] * (1 + dice.random()) for m in large}
        yield sorted(large, key=lambda m: -weight[m])


def _top(placed: Mapping[int, Room]) -> int:
    return max((end for _, end in placed.values()), default=0)


def _bound(members: Sequence[int], lives: Sequence[Life], sizes: Mapping[int, int]) -> int:
    """The largest sum of sizes alive at once: no arrangement takes less."""
    changes: dict[int, int] = {}
    for m in members:
        changes[lives[m][0]] = changes.get(lives[m][0], 0) + sizes[m]
        changes[lives[m][1] + 1] = changes.get(lives[m][1] + 1, 0) - sizes[m]
    now = most = 0
    for position in sorted(changes):
        now += changes[position]
        most = max(most, now)
    return most


def _placed(order: Sequence[int], lives: Sequence[Life], sizes: Mapping[int, int]) -> dict[int, Room]:
    placed: dict[int, Room] = {}
    for m in order:
        first, last = lives[m]
        taken = sorted(room for o, room in placed.items() if lives[o][0] <= last and lives[o][1] >= first)
        start = _gap(taken, sizes[m])
        placed[m] = (start, start + sizes[m])
    return placed


def _gap(taken: Sequence[Room], size: int) -> int:
    """The lowest place between sorted rooms that holds so many bytes."""
    end = 0
    for start, stop in taken:
        if start - end >= size:
            break
        end = max(end, stop)
    return end


def _fill(order: Sequence[int], lives: Sequence[Life], sizes: Mapping[int, int], placed: dict[int, Room]) -> None:
    """Places slots in the order of time, beside those that are placed already."""
    fixed = sorted((lives[o], room) for o, room in placed.items())
    current: list[tuple[Life, Room]] = []
    for m in order:
        first, last = lives[m]
        current = [(life, room) for life, room in current if life[1] >= first]
        taken = [room for life, room in fixed if life[0] <= last and life[1] >= first]
        start = _gap(sorted([*taken, *(room for _, room in current)]), sizes[m])
        placed[m] = (start, start + sizes[m])
        current.append((lives[m], placed[m]))
