"""What `compare`, a profile and a walk through memory found, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field, to_builtins

CATEGORIES = ("parameters", "inputs", "outputs", "saved", "gradients", "workspace")
"""Of the ledger, in the order they are told: `saved` is for the backward pass."""


class LedgerEntry(Struct, frozen=True):
    """Bytes of one category, predicted before and measured after; `law` says how they grow with the steps, where that
    was asked for."""

    category: str
    predicted: int
    measured: int
    law: str


class Spread(Struct, frozen=True):
    """The median of several times, and the interval that the true one lies in with 95 % of likelihood."""

    middle: float
    low: float
    high: float

    def __mul__(self, factor: float) -> Spread:
        return Spread(self.middle * factor, self.low * factor, self.high * factor)

    def meets(self, other: Spread) -> bool:
        """Whether the intervals have a time in common, so that a difference may be noise."""
        return self.low <= other.high and other.low <= self.high


class CompareRow(Struct, frozen=True):
    """One mode at one number of steps: sizes in nodes, edges, bytes; times in seconds and milliseconds.

    Nodes and edges with gradient, times and bytes are those of a step of training, where the model has gradients. The
    bytes of graph and program are None where they were not asked for.
    """

    mode: str
    steps: int
    nodes_forward: int
    edges_forward: int
    nodes_gradient: int
    edges_gradient: int
    graph_bytes: int | None
    program_bytes: int | None
    compile_seconds: float
    first_ms: float
    later_ms: Spread
    ledger: tuple[LedgerEntry, ...]
    evaluations: float = 1.0
    """Forward steps that are computed for each step of the sequence."""
    gradient_error: float = 0.0
    """Of a gradient that is cut off, how far it is from the right one, relative to that."""

    @property
    def array_bytes(self) -> int:
        return sum(entry.measured for entry in self.ledger)

    def measured(self, category: str) -> int:
        return sum(entry.measured for entry in self.ledger if entry.category == category)


class Difference(Struct, frozen=True):
    """One output or gradient in all modes: its largest absolute difference, and whether the bits agree."""

    name: str
    max_abs: float
    equal: bool


class Comparison(Struct, frozen=True):
    """The whole run of `compare`: the verdict first, then a row for each mode and number of steps."""

    model: str
    batch: int
    dtype: str
    backend: str
    equal: bool
    differences: tuple[Difference, ...]
    rows: tuple[CompareRow, ...]
    notes: tuple[str, ...] = ()
    machine: str = ""
    repeats: int = 0
    """How many of the later runs were timed, of all modes in turns."""
    beside: Mapping[str, int] = field(default_factory=dict)
    """Axes whose steps are the same in all rows."""

    @property
    def facts(self) -> str:
        """What all rows have in common."""
        along = "".join(f", {steps:,} steps of {axis}" for axis, steps in self.beside.items())
        return f"batch {self.batch:,}{along}, {self.dtype}, {self.backend}"

    @property
    def modes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.mode for row in self.rows))

    def of(self, mode: str) -> list[CompareRow]:
        """The rows of one mode by number of steps."""
        return sorted((row for row in self.rows if row.mode == mode), key=lambda row: row.steps)

    def pairs(self) -> Mapping[int, Mapping[str, CompareRow]]:
        """For each number of steps, the row of each mode."""
        found: dict[int, dict[str, CompareRow]] = {}
        for row in sorted(self.rows, key=lambda r: r.steps):
            found.setdefault(row.steps, {})[row.mode] = row
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain lists, mappings, numbers and text."""
        told: dict[str, Any] = to_builtins(self)
        return told


class LineTime(Struct, frozen=True):
    """Seconds of one run that the kernels of one line of source take, forward and backward."""

    place: str
    text: str
    forward: float
    backward: float

    @property
    def seconds(self) -> float:
        return self.forward + self.backward


class Profile(Struct, frozen=True):
    """The lines of a run, the slowest first, and the seconds of that run, with clocks in between; the multiplications
    and additions of its products, 0 where these were not counted."""

    lines: tuple[LineTime, ...]
    seconds: float
    flops: int = 0

    @property
    def shown(self) -> tuple[LineTime, ...]:
        """The lines, and what is left beside them, where there is any."""
        left = self.seconds - sum(line.seconds for line in self.lines)
        beside = LineTime("", "beside the kernels: clocks, calls, copies", left, 0.0)
        return (*self.lines, beside) if left > 0 else self.lines

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(self)
        return told


class Panel(Struct, frozen=True):
    """One schedule. `starts` are the kernels that ran before each moment, `bytes` what is alive in it by category, in
    the order of `CATEGORIES`; `measured` are pairs of kernels that ran before and bytes as a tracer saw them.
    """

    title: str
    starts: tuple[int, ...]
    bytes: tuple[tuple[int, ...], ...]
    end: int
    backward: int | None
    """Kernels that run before the backward pass; None where there is none."""
    measured: tuple[tuple[int, int], ...]
    allocated: int
    peak_line: str

    @property
    def peak(self) -> tuple[int, int]:
        """Where the most is alive, in kernels, and how much."""
        highest = max(range(len(self.starts)), key=lambda i: sum(self.bytes[i]))
        stop = self.starts[highest + 1] if highest + 1 < len(self.starts) else self.end
        return (self.starts[highest] + stop) // 2, sum(self.bytes[highest])
