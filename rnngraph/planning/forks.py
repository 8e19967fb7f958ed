"""Loops that need nothing of each other, as the two directions of a sequence, and what belongs to each of them.

Each loop, with what only it needs and what needs only it, is a _strand_; the strands of a fork may run at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from rnngraph.planning.program import AFTER, BEFORE, FEW, Code, Fork, Group, Program, Repeat, moments_of, watched


def with_forks(program: Program, few: int = FEW, with_gradients: bool = False) -> Program:
    """The program that tells where loops may run at once, for a batch of fewer rows than `few`; of what kernels do, as
    all else is called from Python. None with gradients, unless they are asked for: there memory may count for more
    than time."""
    gradients = program.turn is not None or not {"saved", "gradients"}.isdisjoint(program.categories)
    if gradients and not with_gradients:
        return program
    found, first = list[Fork](), 0
    for way in program.ways:
        found += (fork._replace(first=first + fork.first) for fork in _of_kernels(way))
        first += len(way)
    return replace(program, forks=tuple(found), few=few)


def _of_kernels(code: Sequence[Code]) -> Iterator[Fork]:
    ends, start = [*(i for i, item in enumerate(code) if not _by_kernels(item)), len(code)], 0
    for end in ends:
        yield from (fork._replace(first=start + fork.first) for fork in _forks(code[start:end]))
        start = end + 1


def _by_kernels(item: Code) -> bool:
    return all(isinstance(moment, Group) for moment in moments_of((item,)))


def _forks(code: Sequence[Code]) -> Iterator[Fork]:
    loops = [i for i, item in enumerate(code) if isinstance(item, Repeat)]
    if len(loops) < 2:
        return
    near = _needed(code)
    far = _needed_by_way_of_others(near)
    found = _independent(loops, far)
    starts = [0, *(together[-1] + 1 for together in found[:-1])]
    ends = [*(together[0] for together in found[1:]), len(code)]
    done = 0  # what is of one fork is of no other
    for together, start, end in zip(found, starts, ends, strict=True):
        if len(together) > 1:
            labels = _labels(range(max(start, done), end), together, near, far)
            over = next((i for i in range(together[-1], end) if labels[i] == AFTER), end)
            strands = [i for i in range(max(start, done), over) if labels[i] >= 0]
            done = strands[-1] + 1
            yield Fork(strands[0], tuple(labels[i] for i in range(strands[0], strands[-1] + 1)))


def _needed(code: Sequence[Code]) -> list[set[int]]:
    """For each item those that must have run before it: which write what it uses, or use what it writes."""
    found, used, written = list[set[int]](), dict[int, set[int]](), dict[int, set[int]]()
    for i, item in enumerate(code):
        moments = list(moments_of((item,)))
        uses = {ref.slot for moment in moments for ref in moment.refs}.union(watched((item,)))
        writes = {ref.slot for moment in moments for ref in moment.outs}
        found.append(set().union(*(written.get(slot, ()) for slot in uses), *(used.get(slot, ()) for slot in writes)))
        for slots, kept in ((uses, used), (writes, written)):
            for slot in slots:
                kept.setdefault(slot, set()).add(i)
    return found


def needed(code: Sequence[Code]) -> list[set[int]]:
    """For each item all that must have run before it."""
    return _needed_by_way_of_others(_needed(code))


def _needed_by_way_of_others(near: Sequence[set[int]]) -> list[set[int]]:
    found = list[set[int]]()
    for own in near:
        found.append(own.union(*(found[i] for i in own)))
    return found


def _independent(loops: Sequence[int], far: Sequence[set[int]]) -> list[list[int]]:
    """The loops in order, cut before each that needs one of those before it since the last cut."""
    found = [[loops[0]]]
    for loop in loops[1:]:
        if far[loop].isdisjoint(found[-1]):
            found[-1].append(loop)
        else:
            found.append([loop])
    return found


def _labels(items: range, loops: Sequence[int], near: Sequence[set[int]], far: Sequence[set[int]]) -> dict[int, int]:
    """For each item the number of its strand, or whether it runs before all strands or after them."""
    found, first = dict[int, int](), set().union(*(far[loop] for loop in loops))
    for i in items:
        needed = {found[j] for j in far[i] if j in found} - {BEFORE}
        if i in loops:
            found[i] = loops.index(i)
        elif i in first or not needed:
            found[i] = BEFORE
        else:
            found[i] = needed.pop() if len(needed) == 1 else AFTER
    for i in reversed(items):
        readers = {found[j] for j in items if i in near[j]} if found[i] == BEFORE else set[int]()
        if len(readers) == 1 and min(readers) >= 0:
            found[i] = readers.pop()
    return found
