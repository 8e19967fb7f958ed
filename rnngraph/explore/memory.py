"""Bytes alive over a run, array by array: what is in memory at each moment, from which line, until when."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from msgspec.structs import replace

from rnngraph.compilation.calls import COTANGENT
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.explore.graph_json import clipped
from rnngraph.explore.tables import Tables
from rnngraph.model import Model
from rnngraph.planning.lifetimes import lifetimes
from rnngraph.planning.plan import Plan
from rnngraph.planning.program import CATEGORIES, Program, Step
from rnngraph.planning.timeline import timeline
from rnngraph.run_options import RunOptions
from rnngraph.viz.box_texts import op_text, source_text

Json = dict[str, Any]

LARGEST = 6000
"""Nodes of the static graph that is shown: with more of them, fewer steps are."""


def memory_json(model: Model, options: RunOptions, steps: int, batch: int) -> Json:
    """A panel for each mode: the moments of a training step (or of a run, where nothing can be differentiated)."""
    tables = Tables()
    plain = replace(options, keep="all", memory_limit="", truncate="", swap="")
    shown = fitting(model, steps)
    panels = [_panel(model, replace(plain, unroll=mode), shown, batch, tables) for mode in ("static", "dynamic")]
    return {"panels": panels, "categories": CATEGORIES, "steps": shown, "batch": batch, **tables.to_json()}


def fitting(model: Model, steps: int) -> int:
    """As many of the steps as make no more than the largest static graph that is shown."""
    per_step = 3 * max(1, sum(model.nodes_per_step.values()))
    return max(2, min(steps, LARGEST // per_step))


def _panel(model: Model, options: RunOptions, steps: int, batch: int, tables: Tables) -> Json:
    wanted = model.differentiated or None
    program = options.training_step(model, steps) if wanted else options.compiled(model, steps)
    variant = program.variant(Signature(cotangents=wanted))
    made = variant.everything(model.sizes(steps, batch))
    return {"mode": options.unroll, "allocated": made.total, **_moments(variant, made, tables)}


def _moments(variant: Variant, made: Plan, tables: Tables) -> Json:
    """`starts` are the kernels that ran before each moment; a slot tells the first and the last moment that it is
    alive in."""
    program = variant.program
    moments = timeline(program, made.sizes, made.slot_bytes)
    starts = [0, *accumulate(moment.calls for moment in moments)]
    backward = [bool(m.step and m.step.node.origin.backward) for m in moments]
    return {
        "starts": starts[:-1],
        "end": starts[-1],
        "backward": backward.index(True) if True in backward else len(backward),
        "bytes": [list(moment.bytes) for moment in moments],
        "runs": [_line(moment.step, tables) for moment in moments],
        "slots": list(_slots(program, made, [moment.at for moment in moments], tables)),
    }


def _line(step: Step | None, tables: Tables) -> Json:
    if step is None:
        return {"name": "", "text": "", "span": -1}
    span = step.node.origin.span
    return {"name": _name(step), "text": clipped(source_text(span)) if span else "", "span": tables.of_span(span)}


def _name(step: Step) -> str:
    origin = step.node.origin
    plain = origin.name or op_text(step.node)
    return f"gradient of {plain}" if origin.backward else plain


def _slots(program: Program, made: Plan, places: Sequence[int], tables: Tables) -> Iterator[Json]:
    """What is alive in a moment at least, the largest first."""
    makers, given = _makers(program), _given(program)
    alive = []
    for slot, (first, last) in enumerate(lifetimes(program, made.sizes)):
        begin, end = bisect_left(places, first), bisect_right(places, last) - 1
        if first >= 0 and begin <= end and made.slot_bytes[slot]:
            alive.append((made.slot_bytes[slot], slot, begin, end))
    for size, slot, first, last in sorted(alive, key=lambda a: -a[0]):
        step = makers.get(slot)
        yield {
            "bytes": size,
            "category": CATEGORIES.index(program.categories[slot]),
            "first": first,
            "last": last,
            **({"name": given[slot], "text": "", "span": -1} if slot in given else _line(step, tables)),
        }


def _given(program: Program) -> Mapping[int, str]:
    """What is there before the run begins, by slot."""
    found = {slot: name for names in (program.inputs, program.weights) for name, slot in names.items()}
    return {slot: name.replace(COTANGENT, "dL/d ", name.startswith(COTANGENT)) for slot, name in found.items()}


def _makers(program: Program) -> dict[int, Step]:
    """For each slot the step that first writes it."""
    found: dict[int, Step] = {}
    for step in program.steps:
        for ref in (*step.outs, *step.scratch):
            found.setdefault(ref.slot, step)
    return found
