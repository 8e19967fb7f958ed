"""How long each slot of a program is alive: from the step that first touches it to the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rnngraph.planning.program import AFTER, BEFORE, Code, Fork, Program, Repeat, moments_of, places, watched


def lifetimes(program: Program, sizes: Mapping[str, int]) -> list[tuple[int, int]]:
    """First and last position of each slot in the order of the program; a slot used inside a loop that it does not
    belong to lives for the whole loop."""
    lives: list[tuple[int, int]] = [(-1, -1)] * len(program.slots)
    end = _mark(program, program.code, 0, lives)
    for fork in program.forked(sizes):
        _at_once(program, fork, lives)
    kept = {ref.slot for ref in program.outputs.values()}
    for slot in kept:
        lives[slot] = (max(lives[slot][0], 0), end)
    constants = (slot for _, slot in program.constants)
    for slot in (*program.inputs.values(), *program.weights.values(), *constants):
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
    for slot in {ref.slot for moment in moments_of((repeat,)) for ref in moment.refs} | set(watched((repeat,))):
        if program.slots[slot].level not in own:
            _extend(lives, slot, start, end)


def _at_once(program: Program, fork: Fork, lives: list[tuple[int, int]]) -> None:
    """What strands touch is alive all through a fork; what runs before them from its start on, what runs after them to
    its end. Only the first strand gives room on, as it would if it ran alone: to itself, as all others have theirs."""
    start = sum(map(places, program.code[: fork.first]))
    items = program.code[fork.first : fork.last]
    end = start + sum(map(places, items)) - 1
    for item, label in zip(items, fork.labels, strict=True):
        if label == 0:
            continue
        for slot in {ref.slot for moment in moments_of((item,)) for ref in moment.refs} | set(watched((item,))):
            first, last = lives[slot]
            _extend(lives, slot, first if label == AFTER else start, last if label == BEFORE else end)


def _inside(repeat: Repeat) -> set[int]:
    found = {repeat.loop}
    for item in repeat.body:
        if isinstance(item, Repeat):
            found |= _inside(item)
    return found


def _extend(lives: list[tuple[int, int]], slot: int, first: int, last: int) -> None:
    start, end = lives[slot]
    lives[slot] = (first if start < 0 or first < start else start, end if end > last else last)
