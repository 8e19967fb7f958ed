"""The least work for a number of kept states.

A. Griewank, A. Walther (2000), "Algorithm 799: Revolve", ACM Transactions on Mathematical Software 26 (1).

Chunks are gone back over from the last to the first, each from the state before it. With few slots for states, those
that are missing are made again from the nearest one before. The optimum over all orders is known in closed form.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

from rnngraph.checkpointing.actions import HERE, Action, Advance, Back, Counts, Load, Save, Visit


def advances(chunks: int, slots: int) -> int:
    """How many chunks must be computed beside the one before each backward pass, the first time included.

    `slots` counts the one of the first state.
    """
    if chunks < 2:
        return 0
    r = _repeats(chunks, slots)
    return r * chunks - comb(slots + r, slots + 1)


def _repeats(chunks: int, slots: int) -> int:
    """The least number r of visits to one chunk that suffices: comb(slots + r, slots) chunks can be done with it."""
    high = 1
    while comb(slots + high, slots) < chunks:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if comb(slots + middle, slots) >= chunks else (middle, high)
    return high


def split(chunks: int, slots: int) -> int:
    """How far to go before the next state is kept (section 3 of the paper: any place between two binomials)."""
    r = _repeats(chunks, slots)
    least = comb(slots + r - 2, slots) if r >= 2 else 1
    return max(1, least, chunks - comb(slots - 1 + r, slots - 1))


def counts(chunks: int, slots: int, apart: int) -> Counts:
    """What the actions come to, known without them; the chunk set `apart` is the first or the last.

    Every chunk is computed for the first time once, every one but the last once more in the backward pass, and its
    other times only for the state behind it.
    """
    if not chunks:
        return Counts(0, {})
    last = apart == chunks - 1
    apart_times = 0 if last else _begun(chunks, slots) - 1
    times = {
        ("first", True): 1,
        ("first", False): chunks - 1,
        ("again", True): 0 if last else 1,
        ("again", False): chunks - (1 if last else 2),
        ("advance", True): apart_times,
        ("advance", False): advances(chunks, slots) - (chunks - 1) - apart_times,
    }
    return Counts(min(slots, chunks) if chunks > 1 else 0, {key: n for key, n in times.items() if n > 0})


def _begun(chunks: int, slots: int) -> int:
    """How often the first chunk is gone over on the way to a later one."""
    times = 0
    while chunks > 1 and slots > 1:
        chunks, times = split(chunks, slots), times + 1
    return times + chunks - 1


def revolve(chunks: int, slots: int) -> Iterator[Action]:
    """The optimal actions, at most `slots` states being kept at once."""
    fresh, here, todo = 0, 0, [(0, chunks, 0)] if chunks else []
    if chunks > 1:
        yield Save(0)
    while todo:
        first, behind, slot = todo.pop()
        if here != first:
            yield Load(slot)
        if behind - first == 1:
            yield from _back(first, first == chunks - 1)
            here = -1
            continue
        alone = slot == slots - 1
        middle = behind - 1 if alone else first + split(behind - first, slots - slot)
        for i in range(first, middle):
            yield Visit(i) if i == fresh else Advance(i)
            fresh = max(fresh, i + 1)
        here = middle
        todo.append((first, middle, slot))
        if alone:
            yield from _back(middle, middle == chunks - 1)
            here = -1
        else:
            yield Save(slot + 1)
            todo.append((middle, behind, slot + 1))


def _back(chunk: int, last: bool) -> Iterator[Action]:
    """From the state before the chunk; the last one is computed for the first time."""
    if last:
        yield Visit(chunk, HERE)
    yield Back(chunk, HERE if last else None)
