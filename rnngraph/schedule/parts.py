"""The parts of a cut as programs: what each is given by reference, by rows, or copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rnngraph.ir.graph import INPUT, Graph, Node
from rnngraph.ir.types import Type
from rnngraph.passes.unroll import in_turns, unroll
from rnngraph.program.lower import lower
from rnngraph.program.program import Code, Program, steps_of
from rnngraph.program.roles import saved
from rnngraph.schedule.cut import COTANGENT, END, STATE, WITHIN

COPIED = (STATE, COTANGENT, END, WITHIN)
"""What a segment is given anew each time, beside the rows of what is long."""


@dataclass(frozen=True, eq=False)
class Part:
    """A program whose `weights` are all that it reads or writes where it stands: weights and held values.

    Its other inputs and outputs are copied.
    """

    graph: Graph
    program: Program
    types: Mapping[str, Type]
    """Of every input and output, by name."""
    kinds: Mapping[str, str]
    """What each input is: "data", "weight", "held" ..."""


def part(graph: Graph, axis: str, unrolling: str | int, steps: Mapping[str, int], segment: bool) -> Part:
    """The part of a graph, for all steps at once or for a segment of those on `axis`.

    `steps` are the numbers of steps, where they must be known.
    """
    inputs = {n.attrs["name"]: n for n in graph.nodes() if n.op is INPUT}
    types = {name: node.types[0] for name, node in inputs.items()} | {n: v.type for n, v in graph.outputs.items()}
    there = {n for n, node in inputs.items() if _stands(node, axis, segment)}
    laid_out = _laid_out(graph, unrolling, steps)
    program = lower(laid_out, there_first=True)
    sums = {n for n, v in graph.outputs.items() if "onto" in v.node.attrs}
    kinds = {name: node.attrs["kind"] for name, node in inputs.items()}
    held = sums if segment else _alone(program)
    shown = _by_reference(program, there, held, saved(program) if segment else set())
    return Part(laid_out, replace(shown, turn=_turning(program.code)), types, kinds)


def _stands(node: Node, axis: str, segment: bool) -> bool:
    """Whether an input is read where it stands: what has no time, and what is held whole."""
    flat = axis not in node.types[0].axes
    return not node.attrs["name"].startswith(COPIED) and (flat or (node.attrs["kind"] == "held" and not segment))


def _laid_out(graph: Graph, unrolling: str | int, steps: Mapping[str, int]) -> Graph:
    if unrolling == "static":
        return unroll(graph, steps)
    return in_turns(graph, unrolling) if isinstance(unrolling, int) and unrolling > 1 else graph


def _alone(program: Program) -> set[str]:
    """The outputs that have a slot for themselves, which can then stand anywhere."""
    slots = [ref.slot for ref in program.outputs.values()]
    return {n for n, ref in program.outputs.items() if ref.whole and slots.count(ref.slot) == 1}


def _by_reference(program: Program, inputs: set[str], outputs: set[str], kept: set[int]) -> Program:
    """The program that reads these inputs where they stand, and writes these outputs in their place.

    The slots that are `kept` have a place that no other part uses while the tape is wanted.
    """
    held = {n: program.outputs[n].slot for n in outputs}
    weights = {**program.weights, **{n: s for n, s in program.inputs.items() if n in inputs}, **held}
    copied = {n: s for n, s in program.inputs.items() if n not in inputs}
    fixed = set(weights.values())
    categories = tuple(
        "parameters" if i in fixed else "inputs" if i in copied.values() else "saved" if i in kept else "workspace"
        for i in range(len(program.slots))
    )
    return replace(program, inputs=copied, weights=weights, categories=categories)


def _turning(code: tuple[Code, ...]) -> int:
    """How many items come before the first one of the way back."""
    return next((i for i, item in enumerate(code) if _is_back(item)), len(code))


def _is_back(item: Code) -> bool:
    return any(step.node.origin.backward for step in steps_of((item,)))
