"""What a run will take, told without running anything: bytes by category, over time, at the peak, by source line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from rnngraph.analysis.memory_formulas import Formula
from rnngraph.analysis.memory_growth import Compiled, Growth
from rnngraph.checkpointing.arenas import SHARED
from rnngraph.checkpointing.chunks import Course
from rnngraph.checkpointing.plan import HELD, Walking
from rnngraph.checkpointing.timeline import own_bytes
from rnngraph.compilation.variant import Variant
from rnngraph.diagnostics.source import Span
from rnngraph.ir.text import counts
from rnngraph.model import Model
from rnngraph.planning.lifetimes import lifetimes
from rnngraph.planning.object_sizes import object_bytes
from rnngraph.planning.plan import Plan
from rnngraph.planning.program import CATEGORIES, ITEMSIZE, Program, Step
from rnngraph.planning.timeline import Moment, timeline
from rnngraph.training.config import FitConfig

SHOWN = 1000
"""So many moments are told in JSON: of more, the highest of each group that stands for one."""


class Line(Struct, frozen=True):
    """Bytes alive at the peak that one line of source (or the data, or the weights) answers for."""

    place: str
    text: str
    bytes: int


class Peak(Struct, frozen=True):
    """The most bytes alive at once, and the line of source that runs then, forward or backward."""

    bytes: int
    place: str
    text: str
    backward: bool


class Objects(Struct, frozen=True):
    """The bytes of the Python objects that are the graph and the program, and the nodes of the graph."""

    nodes: int
    graph: int
    program: int

    @property
    def per_node(self) -> float:
        return (self.graph + self.program) / max(1, self.nodes)


class Cost(Struct, frozen=True):
    """The prediction for one schedule and size: exact bytes of arrays, as a run allocates them."""

    sizes: Mapping[str, int]
    dtype: str
    bytes: Mapping[str, int]
    laws: Mapping[str, Formula]
    peak: Peak
    """Bytes alive at once at most: the least that any placing of the arrays could take."""
    lines: tuple[Line, ...]
    moments: tuple[Moment, ...]
    """None where steps are computed a few at a time."""
    objects: Objects
    optimiser: int
    """Bytes that training keeps beside a run: the state of the model's optimiser, or of Adam where it names none."""
    axis: str = ""
    """The axis of which T in a law is the steps; "" where it is those of all axes."""
    course: Course | None = None
    """How steps are computed a few at a time, where they are."""

    swapped: int = 0
    """Bytes that are kept elsewhere: in a file, or in memory of the host beside a GPU."""

    @property
    def law(self) -> str:
        """What the letters of a law stand for."""
        return f"law (T steps{f' of {self.axis}' if self.axis else ''}, B rows, U units)"

    @property
    def evaluations(self) -> float:
        """Forward steps that are computed, for each step of the sequence."""
        return self.course.evaluations if self.course else 1.0

    @property
    def total(self) -> int:
        return sum(self.bytes.values())

    def to_json(self) -> dict[str, Any]:
        """Plain data; `over_time` has at most `SHOWN` moments, each with the kernels that ran before it."""
        known = {name: getattr(self, name) for name in ("sizes", "dtype", "bytes", "optimiser", "total", "evaluations")}
        if self.course:
            known |= {"piece": self.course.chunk, "kept": self.course.places, "swapped": self.swapped}
        told = {"peak": asdict(self.peak), "objects": asdict(self.objects), "lines": [asdict(n) for n in self.lines]}
        laws = {category: str(law) for category, law in self.laws.items()}
        return {**known, **told, "laws": laws, "over_time": _series(self.moments)}


def cost(
    model: Model, compiled: Compiled, steps: int | Mapping[str, int], batch: int, padded: bool = False
) -> Cost:
    """The cost of a run of what `compiled` makes: of a training step where that has gradients, else forward.

    `steps` are those of all axes, or of each. `padded`: of data whose rows have lengths of their own.
    """
    growth = Growth(model, compiled, steps, batch, padded)
    variant, made = growth.variant, growth.made
    moments: tuple[Moment, ...] = ()
    if isinstance(made, Walking):
        (peak, lines), course = _walked(made), made.course
    else:
        moments = timeline(variant.program, made.sizes, made.slot_bytes)
        peak, lines, course = _peak(moments), _lines(variant.program, made.sizes, made.slot_bytes, moments), None
    return Cost(
        model.sizes(steps, batch),
        made.dtype,
        made.bytes,
        growth.laws(),
        peak,
        lines,
        moments,
        _objects(variant, made),
        optimiser_bytes(model, made.dtype),
        growth.axis,
        course,
        made.swapped if isinstance(made, Walking) else 0,
    )


def optimiser_bytes(model: Model, dtype: str) -> int:
    """What the optimiser keeps for the weights that are trained, and its count of updates (8 bytes)."""
    return optimiser_slots(model) * trained_values(model) * ITEMSIZE["float", dtype] + 8


def optimiser_slots(model: Model) -> int:
    """The numbers that the optimiser keeps for each weight."""
    return len(FitConfig.from_recipe(model.recipe).optimizer.slots)


def trained_values(model: Model) -> int:
    """The entries of all weights that are trained."""
    return sum(prod(weight.shape) for weight in model.weights if not weight.frozen)


def _objects(variant: Variant, made: Plan | Walking) -> Objects:
    """What the text of the model was elaborated to is there once for all programs, and not counted."""
    parts = [(variant.graph, variant.program)]
    if isinstance(made, Walking):
        parts = [(part.graph, part.program) for part in made.parts.values()]
    seen: set[int] = set()
    object_bytes(variant.elaborated, seen)
    graph, program = (sum(object_bytes(one, seen) for one in kind) for kind in zip(*parts, strict=True))
    return Objects(sum(counts(one)[0] for one, _ in parts), graph, program)


# --- over time ---------------------------------------------------------------------------------------------------


def _highest(moments: Sequence[Moment]) -> Moment:
    return max(moments, key=lambda moment: moment.total)


def _peak(moments: Sequence[Moment]) -> Peak:
    if not moments:
        return Peak(0, "", "", False)
    highest = _highest(moments)
    place, text = _line(highest.step) if highest.step else ("", "")
    return Peak(highest.total, place, text, bool(highest.step and highest.step.node.origin.backward))


def _series(moments: Sequence[Moment]) -> dict[str, Any]:
    """Kernels run before each moment, and bytes alive in it by category."""
    width = -(-len(moments) // SHOWN) or 1
    calls, shown, before = list[int](), list[Moment](), 0
    for start in range(0, len(moments), width):
        group = moments[start : start + width]
        calls.append(before)
        shown.append(_highest(group))
        before += sum(moment.calls for moment in group)
    bytes = {category: [moment.bytes[i] for moment in shown] for i, category in enumerate(CATEGORIES)}
    return {"calls": calls, "bytes": bytes}


# --- by source line ----------------------------------------------------------------------------------------------


def _lines(
    program: Program, sizes: Mapping[str, int], slot_bytes: Sequence[int], moments: Sequence[Moment]
) -> tuple[Line, ...]:
    """Which lines made what is alive at the peak, the largest first."""
    at = _highest(moments).at if moments else -1
    makers = _makers(program)
    totals: dict[tuple[str, str], int] = {}
    for slot, (first, last) in enumerate(lifetimes(program, sizes)):
        if 0 <= first <= at <= last:
            key = makers.get(slot, (program.categories[slot], ""))
            totals[key] = totals.get(key, 0) + slot_bytes[slot]
    return _sorted(totals)


def _sorted(totals: Mapping[tuple[str, str], int]) -> tuple[Line, ...]:
    found = [Line(place, text, size) for (place, text), size in totals.items() if size]
    return tuple(sorted(found, key=lambda line: -line.bytes))


def _walked(made: Walking) -> tuple[Peak, tuple[Line, ...]]:
    """What lasts for the whole run, and the peak of the largest part beside it."""
    totals: dict[tuple[str, str], int] = {}
    for name, (category, _, size) in made.layout.regions.items():
        if name not in SHARED:
            held = made.cut.held.get(name.removeprefix(HELD))
            span = held.node.origin.span if held else None
            kept = "states and tapes that are kept" if category == "saved" else ""
            key = _place(span) if span else (category, kept)
            totals[key] = totals.get(key, 0) + size
    totals["parameters", ""] = made.bytes["parameters"]
    parts = [(p.program, own_bytes(p.program, made.plans[k].slot_bytes), made.plans[k]) for k, p in made.parts.items()]
    found = [(timeline(program, plan.sizes, own), program, plan.sizes, own) for program, own, plan in parts]
    moments, program, sizes, own = max((f for f in found if f[0]), key=lambda f: _highest(f[0]).total)
    lines = tuple(sorted([*_sorted(totals), *_lines(program, sizes, own, moments)], key=lambda line: -line.bytes))
    return replace(_peak(moments), bytes=sum(line.bytes for line in lines)), lines


def _makers(program: Program) -> dict[int, tuple[str, str]]:
    """For each slot the place and the text of the line whose step first writes it."""
    found: dict[int, tuple[str, str]] = {}
    for step in program.steps:
        if step.node.origin.span is not None:
            for ref in (*step.outs, *step.scratch):
                if ref.slot not in found:
                    found[ref.slot] = _line(step)
    return found


def _line(step: Step) -> tuple[str, str]:
    """`model.rnn:7` and what stands there, of the equation that a step is part of."""
    span = step.node.origin.span
    return _place(span) if span else ("", "")


def _place(span: Span) -> tuple[str, str]:
    return span.at, span.source.line(span.line).strip()
