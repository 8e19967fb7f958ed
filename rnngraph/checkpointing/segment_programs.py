"""The parts of a cut as programs: what each is given by reference, by rows, or copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.checkpointing.segments import COTANGENT, END, STATE, WITHIN, Cut
from rnngraph.ir.graph import INPUT, Graph, Node
from rnngraph.ir.types import Type
from rnngraph.passes.unroll import in_turns, unroll
from rnngraph.planning.lowering import lower
from rnngraph.planning.plan import APART, Plan, plan
from rnngraph.planning.program import Code, Program, moments_of, steps_of

COPIED = (STATE, COTANGENT, END, WITHIN)
"""What a segment is given anew each time, beside the rows of what is long."""


class Part(Struct, frozen=True, eq=False):
    """A program whose `weights` are all that it reads or writes where it stands: weights and held values.

    Its other inputs and outputs are copied.
    """

    graph: Graph
    program: Program
    types: Mapping[str, Type]
    """Of every input and output, by name."""
    kinds: Mapping[str, str]
    """What each input is: "data", "weight", "held" ..."""


class Parts(Struct, frozen=True, eq=False):
    """The parts of one cut, made as they are asked for.

    `steps` are those of the axes of a static program; `adapt` makes of a program what the backend runs.
    """

    cut: Cut
    unrolling: str | int
    steps: Mapping[str, int]
    adapt: Callable[[Program], Program]
    _made: dict[tuple[str, int], Part] = field(default_factory=dict)

    def part(self, kind: str, n: int) -> Part:
        """The part `whole` of stage n; or what is computed of a chunk of n steps: `first`, `again`, `advance`."""
        whole = kind == "whole"
        key = (kind, n if whole or self.unrolling == "static" else 0)
        if key not in self._made:
            graph = self.cut.wholes[n] if whole else getattr(self.cut, kind)
            steps = self.steps if whole else _Some(self.steps, self.cut.axis, n)
            self._made[key] = _part(graph, self.cut.axis, self._laid_out(graph, steps), self.adapt, not whole)
        return self._made[key]

    def _laid_out(self, graph: Graph, steps: Mapping[str, int]) -> Graph:
        if self.unrolling == "static":
            return unroll(graph, steps)
        turn = self.unrolling
        return in_turns(graph, turn) if isinstance(turn, int) and turn > 1 else graph

    def plan(self, kind: str, n: int, sizes: Mapping[str, int], dtype: str) -> Plan:
        """The plan of a part, `sizes` being those of the whole run."""
        return plan(self.part(kind, n).program, sizes if kind == "whole" else {**sizes, self.cut.axis: n}, dtype, APART)


class _Some(dict[str, int]):
    """Numbers of steps, other ones for one axis."""

    def __init__(self, steps: Mapping[str, int], axis: str, n: int) -> None:
        super().__init__({axis: n})
        self.steps = steps

    def __missing__(self, axis: str) -> int:
        return self.steps[axis]


def _part(graph: Graph, axis: str, laid_out: Graph, adapt: Callable[[Program], Program], segment: bool) -> Part:
    inputs = {n.attrs["name"]: n for n in graph.nodes() if n.op is INPUT}
    types = {name: node.types[0] for name, node in inputs.items()} | {n: v.type for n, v in graph.outputs.items()}
    there = {n for n, node in inputs.items() if _stands(node, axis, segment)}
    program = lower(laid_out, _back(laid_out.nodes()))
    program = replace(program, turn=_turning(program.code))
    sums = {n for n, v in graph.outputs.items() if "onto" in v.node.attrs}
    kinds = {name: node.attrs["kind"] for name, node in inputs.items()}
    held = sums if segment else _alone(program)
    shown = _by_reference(program, there, held, _crossing(program) if segment else set())
    return Part(laid_out, adapt(shown), types, kinds)


def _stands(node: Node, axis: str, segment: bool) -> bool:
    """Whether an input is read where it stands: what has no time, and what is held whole."""
    flat = axis not in node.types[0].axes
    return not node.attrs["name"].startswith(COPIED) and (flat or (node.attrs["kind"] == "held" and not segment))


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


def _back(nodes: Sequence[Node]) -> set[Node]:
    """The nodes of the backward pass, and all that depend on one."""
    found = set[Node]()
    for node in nodes:
        if node.origin.backward or any(v.node in found for v in node.inputs):
            found.add(node)
    return found


def _turning(code: Sequence[Code]) -> int:
    """How many items come before the first one of the backward pass."""
    back = (any(step.node.origin.backward for step in steps_of((item,))) for item in code)
    return next((i for i, is_back in enumerate(back) if is_back), len(code))


def _crossing(program: Program) -> set[int]:
    """The slots that the forward pass writes and the backward pass reads."""
    there, back = program.ways
    written = {ref.slot for moment in moments_of(there) for ref in moment.outs}
    return {ref.slot for moment in moments_of(back) for ref in moment.ins} & written
