"""States and tapes kept together at the least work.

A. Gruslys, R. Munos, I. Danihelka, M. Lanctot, A. Graves (2016), "Memory-Efficient Backpropagation Through Time",
arXiv 1606.03401, section 3.4.

A state takes one unit of memory; a tape, all that the backward pass over a chunk needs and the state behind it, some
more and saves computing the chunk again. What is kept lies on a stack: what is kept later is needed earlier.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnngraph.checkpointing.actions import HERE, Action, Advance, Back, Load, Save, Visit


class Optimum(NamedTuple):
    """For numbers of chunks and units of memory: how many chunks must be computed, and what to do first.

    `kept` where the state before the chunks is kept (beside the memory), `loose` where it is only there now.
    """

    kept: NDArray[np.float64]
    far: NDArray[np.int64]
    """How far to go before something is kept; 0: a tape of the first chunk."""
    loose: NDArray[np.float64]
    tape: NDArray[np.bool_]
    """Whether a tape of the first chunk is kept, not the state before it."""


@lru_cache(maxsize=8)
def optimum(chunks: int, memory: int, tape: int) -> Optimum:
    """By dynamic programming over both; a tape takes `tape` units."""
    shape = (chunks + 1, memory + 1)
    kept, loose = np.zeros(shape), np.zeros(shape)
    far, taped = np.ones(shape, np.int64), np.zeros(shape, bool)
    kept[1:2], loose[1:2] = 1, 1
    steps = np.arange(chunks + 1)[:, None]
    for t in range(2, chunks + 1):
        there = steps[1:t] + loose[t - 1 : 0 : -1] + kept[1:t]
        far[t] = 1 + there.argmin(0)
        kept[t] = there.min(0)
        from_tape = np.full(memory + 1, np.inf)
        from_tape[tape:] = 1 + kept[t - 1, : max(0, memory + 1 - tape)]
        far[t][from_tape < kept[t]] = 0
        kept[t] = np.minimum(kept[t], from_tape)
        saved = np.concatenate(([np.inf], kept[t, :-1]))
        taped[t] = from_tape < saved
        loose[t] = np.minimum(saved, from_tape)
    return Optimum(kept, far, loose, taped)


def work(chunks: int, memory: int, tape: int) -> float:
    """How many chunks are computed at least; the first state takes one unit of the memory."""
    return float(optimum(chunks, memory, tape).loose[chunks, memory])


def mixed(chunks: int, memory: int, tape: int) -> Iterator[Action]:
    """The optimal actions with so many units of memory, at least one."""
    return _Mixing(chunks, memory, tape).actions()


class _Part(NamedTuple):
    """Chunks to go back over; the state before them is kept `at` a place, or loose (None).

    `top` is the first free place. With `taped` it is one chunk that has a tape there.
    """

    first: int
    behind: int
    top: int
    at: int | None = None
    taped: bool = False


class _Mixing:
    def __init__(self, chunks: int, memory: int, tape: int) -> None:
        self.chunks, self.memory, self.tape = chunks, memory, tape
        self.best = optimum(chunks, memory, tape)
        self.fresh = self.here = 0
        self.todo = [_Part(0, chunks, 0)] if chunks else []

    def actions(self) -> Iterator[Action]:
        while self.todo:
            part = self.todo.pop()
            if part.taped:
                yield Back(part.first, part.top)
            elif part.behind - part.first == 1:
                yield from self.back(part)
            elif part.at is None:
                yield from self.loose(part)
            else:
                yield from self.kept(part)

    def back(self, part: _Part) -> Iterator[Action]:
        yield from self.loaded(part)
        last = part.first == self.chunks - 1
        if last:
            yield Visit(part.first, HERE)
        yield Back(part.first, HERE if last else None)
        self.here = -1

    def loaded(self, part: _Part) -> Iterator[Action]:
        if part.at is not None and self.here != part.first:
            yield Load(part.at)
            self.here = part.first

    def loose(self, part: _Part) -> Iterator[Action]:
        if self.best.tape[part.behind - part.first, self.memory - part.top]:
            yield from self.on_tape(part)
        else:
            yield Save(part.top)
            self.todo.append(part._replace(at=part.top, top=part.top + 1))

    def kept(self, part: _Part) -> Iterator[Action]:
        yield from self.loaded(part)
        far = int(self.best.far[part.behind - part.first, self.memory - part.top])
        if not far:
            yield from self.on_tape(part)
            return
        for i in range(part.first, part.first + far):
            yield self.forward(i, None)
        self.todo.append(part._replace(behind=part.first + far))
        self.todo.append(_Part(part.first + far, part.behind, part.top))

    def on_tape(self, part: _Part) -> Iterator[Action]:
        yield self.forward(part.first, part.top)
        self.todo.append(_Part(part.first, part.first + 1, part.top, taped=True))
        top = part.top + self.tape
        self.todo.append(_Part(part.first + 1, part.behind, top, at=top - 1))

    def forward(self, chunk: int, tape: int | None) -> Action:
        self.here = chunk + 1
        if chunk < self.fresh:
            return Advance(chunk, tape)
        self.fresh = chunk + 1
        return Visit(chunk, tape)
