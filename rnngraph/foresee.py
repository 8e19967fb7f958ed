"""What a run will take, told without running anything: bytes by category, at the peak, and by source line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rnngraph.compiled import CompiledProgram, Signature, Variant
from rnngraph.model import Model
from rnngraph.program.memory import lifetimes
from rnngraph.program.program import CATEGORIES, Program


@dataclass(frozen=True)
class Line:
    """Bytes alive at the peak that one line of source (or the data, or the weights) answers for."""

    place: str
    text: str
    bytes: int


@dataclass(frozen=True)
class Cost:
    """The prediction for one schedule and size: exact bytes of arrays, as a run allocates them."""

    sizes: Mapping[str, int]
    dtype: str
    bytes: Mapping[str, int]
    laws: Mapping[str, str]
    peak: int
    """Bytes alive at once at most: the least that any placing of the arrays could take."""
    lines: tuple[Line, ...]

    @property
    def total(self) -> int:
        return sum(self.bytes.values())

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "total": self.total}


def cost(model: Model, program: CompiledProgram, steps: int, batch: int) -> Cost:
    """The cost of the loss's gradients (where the program has them), or of a forward run."""
    outputs = tuple(n for n in model.outputs if model.graph.outputs[n].type.dtype == "float")
    wanted = ("loss",) if "loss" in model.graph.outputs else outputs
    variant = program.variant(Signature(cotangents=wanted if program.schedule.gradient else None))
    sizes = model.sizes(steps, batch)
    made = variant.plan(sizes)
    peak, lines = _peak(variant.program, made.slot_bytes)
    laws = {c: _law(model, variant, c, program.schedule.static, steps, batch) for c in CATEGORIES}
    return Cost(sizes, made.dtype, made.bytes, laws, peak, lines)


# --- the peak ----------------------------------------------------------------------------------------------------


def _peak(program: Program, slot_bytes: Sequence[int]) -> tuple[int, tuple[Line, ...]]:
    """The most bytes alive at once, and which lines made them, the largest first."""
    lives = lifetimes(program)
    changes: dict[int, int] = {}
    for (first, last), size in zip(lives, slot_bytes, strict=True):
        if first >= 0:
            changes[first] = changes.get(first, 0) + size
            changes[last + 1] = changes.get(last + 1, 0) - size
    now = most = at = 0
    for position in sorted(changes):
        now += changes[position]
        if now > most:
            most, at = now, position
    alive = [i for i, (first, last) in enumerate(lives) if 0 <= first <= at <= last]
    return most, _by_line(program, alive, slot_bytes)


def _by_line(program: Program, slots: Sequence[int], slot_bytes: Sequence[int]) -> tuple[Line, ...]:
    makers = _makers(program)
    totals: dict[tuple[str, str], int] = {}
    for slot in slots:
        key = makers.get(slot, (program.categories[slot], ""))
        totals[key] = totals.get(key, 0) + slot_bytes[slot]
    found = [Line(place, text, size) for (place, text), size in totals.items() if size]
    return tuple(sorted(found, key=lambda line: -line.bytes))


def _makers(program: Program) -> dict[int, tuple[str, str]]:
    """For each slot the place and the text of the line whose step first writes it."""
    found: dict[int, tuple[str, str]] = {}
    for step in program.steps:
        span = step.node.origin.span
        for ref in (*step.outs, *step.scratch):
            if ref.slot not in found and span is not None:
                number = span.line
                found[ref.slot] = (f"{span.source.name}:{number}", span.source.line(number).strip())
    return found


# --- laws --------------------------------------------------------------------------------------------------------


def _law(model: Model, variant: Variant, category: str, static: bool, steps: int, batch: int) -> str:
    """The bytes of a category as a formula in steps T and batch B (in B alone for a static program).

    Fitted at multiples of 64, where rounding to the alignment plays no part, and then checked at others.
    """

    def at(t: int, b: int) -> int:
        return variant.plan(model.sizes(steps if static else t, b)).bytes[category]

    t0, t1, b0, b1 = (steps, steps + 1, 64, 128) if static else (64, 128, 64, 128)
    base = at(t0, b0)
    both = 0 if static else (at(t1, b1) - at(t0, b1) - at(t1, b0) + base) // ((t1 - t0) * (b1 - b0))
    per_step = 0 if static else (at(t1, b0) - base) // (t1 - t0) - both * b0
    per_row = (at(t0, b1) - base) // (b1 - b0) - both * t0 * (not static)
    rest = base - both * t0 * b0 - per_step * t0 - per_row * b0
    terms = [(rest, ""), (per_step, " T"), (per_row, " B"), (both, " T B")]
    text = " + ".join(f"{n:,}{unit}" for n, unit in terms if n) or "0"
    told = rest + per_step * steps + per_row * batch + both * steps * batch
    real = at(steps, batch)
    return text if told == real else f"about {text}"
