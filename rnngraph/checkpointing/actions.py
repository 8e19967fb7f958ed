"""A schedule as data: what to do, one thing after another, with the chunks that the steps of an axis are cut into.

What is kept lies in places that are numbered: a state takes one, a tape several, the last of them for the state behind
its chunk.

Each generator of actions is a law about memory and work; `tests/checkpointing/test_schedules.py` plays them on a toy
machine that only counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeGuard

HERE = -1
"""The tape that stays where it was made: good until the next chunk is computed."""


class Visit(NamedTuple):
    """The first time that a chunk is computed: outputs are written; what its backward pass needs is kept on a tape."""

    chunk: int
    tape: int | None = None


class Advance(NamedTuple):
    """A chunk once more, for the state behind it; and for a tape, where there is to be one."""

    chunk: int
    tape: int | None = None


class Save(NamedTuple):
    """Keeps the state in a place."""

    place: int


class Load(NamedTuple):
    """Takes the state from a place."""

    place: int


class Back(NamedTuple):
    """The backward pass over a chunk: from its tape, or computing it once more from the state before it."""

    chunk: int
    tape: int | None = None


Action = Visit | Advance | Save | Load | Back


def evaluates(action: Action) -> TypeGuard[Visit | Advance | Back]:
    """Whether a chunk is computed, for the first time or again; going back alone is not counted."""
    return isinstance(action, Visit | Advance) or (isinstance(action, Back) and action.tape is None)


# --- what actions come to -------------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """The places that are needed, and how often each kind of computing is done, of one chunk set apart and the others.

    The kinds are those of parts: `first`, `again` (with what the backward pass needs), `advance` (for the state alone).
    """

    places: int
    times: Mapping[tuple[str, bool], int]


def counted(actions: Iterable[Action], apart: int, tape: int) -> Counts:
    """By going through all actions; a tape takes `tape` places."""
    places, times = 0, Counter[tuple[str, bool]]()
    for action in actions:
        if isinstance(action, Save):
            places = max(places, action.place + 1)
            continue
        if isinstance(action, Visit | Advance) and action.tape is not None and action.tape != HERE:
            places = max(places, action.tape + tape)
        if evaluates(action):
            times[_kind(action), action.chunk == apart] += 1
    return Counts(places, times)


def _kind(action: Visit | Advance | Back) -> str:
    if isinstance(action, Visit):
        return "first"
    return "advance" if isinstance(action, Advance) and action.tape is None else "again"


# --- each chunk from its own state ----------------------------------------------------------------------------------


def from_each(chunks: int) -> Iterator[Action]:
    """The state before each chunk is kept, and each chunk but the last is computed twice (`every:K`, `sqrt`)."""
    for i in range(chunks - 1):
        yield Save(i)
        yield Visit(i)
    yield from _last(chunks)
    for i in reversed(range(chunks - 1)):
        yield Load(i)
        yield Back(i)


def _last(chunks: int) -> Iterator[Action]:
    """The last chunk goes back at once."""
    if chunks:
        yield Visit(chunks - 1, HERE)
        yield Back(chunks - 1, HERE)


def from_tapes(chunks: int, tape: int) -> Iterator[Action]:
    """Everything is kept, and nothing computed twice; a tape takes `tape` places."""
    for i in range(chunks - 1):
        yield Visit(i, i * tape)
    yield from _last(chunks)
    for i in reversed(range(chunks - 1)):
        yield Back(i, i * tape)
