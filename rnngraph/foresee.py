"""What a run will take, told without running anything: bytes by category, at the peak, and by source line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rnngraph.compiled import CompiledProgram, Signature, Variant
from rnngraph.ir.graph import Node
from rnngraph.model import Model
from rnngraph.program.memory import lifetimes
from rnngraph.program.program import CATEGORIES, Program
from rnngraph.schedule.layout import SHARED
from rnngraph.schedule.walk import Walking


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
    evaluations: float = 1.0
    """Forward steps that are computed, for each step of the sequence."""

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
    laws = {c: _law(model, variant, c, program.schedule.static, steps, batch) for c in CATEGORIES}
    if isinstance(made, Walking):
        peak, lines = _walked(made)
        return Cost(sizes, made.dtype, made.bytes, laws, peak, lines, made.course.evaluations)
    peak, lines = _peak(variant.program, made.slot_bytes)
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


def _walked(made: Walking) -> tuple[int, tuple[Line, ...]]:
    """What lasts for the whole run, and the peak of the largest part beside it."""
    totals: dict[tuple[str, str], int] = {}
    for name, (category, _, size) in made.layout.regions.items():
        if name not in SHARED:
            held = made.cut.held.get(name)
            key = _place(held.node) if held else None
            key = key or (category, "states and tapes that are kept" if category == "saved" else "")
            totals[key] = totals.get(key, 0) + size
    weights = made.bytes["parameters"]
    kept = [Line(place, text, size) for (place, text), size in totals.items() if size]
    kept += [Line("parameters", "", weights)] if weights else []
    parts = [_peak(p.program, _own(p.program, made.plans[k].slot_bytes)) for k, p in made.parts.items()]
    _, lines = max(parts, key=lambda found: found[0])
    found = tuple(sorted([*kept, *lines], key=lambda line: -line.bytes))
    return sum(line.bytes for line in found), found


def _own(program: Program, slot_bytes: Sequence[int]) -> list[int]:
    """The bytes of what a part does not only read or write where it stands."""
    return [0 if c == "parameters" else n for c, n in zip(program.categories, slot_bytes, strict=True)]


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
        place = _place(step.node)
        for ref in (*step.outs, *step.scratch):
            if ref.slot not in found and place is not None:
                found[ref.slot] = place
    return found


def _place(node: Node) -> tuple[str, str] | None:
    """The place and the text of the line that a node comes from."""
    span = node.origin.span
    return (f"{span.source.name}:{span.line}", span.source.line(span.line).strip()) if span else None


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
