"""What a walk takes, before it: its parts, their plans, and where everything stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from rnngraph.checkpointing.arenas import Layout, Regions, bytes_of, shared
from rnngraph.checkpointing.chunks import Course
from rnngraph.checkpointing.segment_programs import Part, Parts
from rnngraph.checkpointing.segments import COTANGENT, STATE, Carried, Cut
from rnngraph.ir.types import Type
from rnngraph.planning.plan import ALIGN, Plan, rounded

Key = tuple[str, int]
"""A part: `whole` and its stage, or what is computed of a chunk and of how many steps."""

KEPT, HELD = "kept", "held:"
"""The region of what is kept for the backward pass, and the first part of the names of those of held values."""


class Walking(Struct, frozen=True, eq=False):
    """What is known before a run: the parts and their plans, the course, and where everything stands."""

    cut: Cut
    course: Course
    parts: Mapping[Key, Part]
    plans: Mapping[Key, Plan]
    layout: Layout

    @property
    def bytes(self) -> Mapping[str, int]:
        return self.layout.bytes

    @property
    def total(self) -> int:
        return self.layout.total

    @property
    def width(self) -> int:
        """The bytes of a place for what is kept."""
        return state_bytes(self.cut, self.sizes, self.dtype) * self.course.wide

    @property
    def swapped(self) -> int:
        """The bytes that are kept elsewhere than in the arenas."""
        return self.course.places * self.width if self.course.swap else 0

    @property
    def dtype(self) -> str:
        return self.layout.dtype

    @property
    def sizes(self) -> Mapping[str, int]:
        return self.layout.sizes


def walking(parts: Parts, course: Course, sizes: Mapping[str, int], dtype: str) -> Walking:
    """Everything but arrays, for these sizes of all axes."""
    states = course.tape if course.swap else course.places  # of what lies elsewhere, one tape is on its way
    made, plans, layout = _planned(parts, course.kinds, sizes, dtype, states * course.wide)
    return Walking(parts.cut, course, made, plans, layout)


def least(parts: Parts, chunks: Iterable[int], sizes: Mapping[str, int], dtype: str) -> int:
    """The bytes of a run that computes chunks of these numbers of steps in every way and keeps nothing."""
    kinds = [(kind, n) for kind in ("first", "again", "advance") for n in chunks]
    return _planned(parts, kinds, sizes, dtype, 0)[2].total


def _planned(
    parts: Parts, kinds: Iterable[Key], sizes: Mapping[str, int], dtype: str, states: int
) -> tuple[dict[Key, Part], dict[Key, Plan], Layout]:
    keys = [*(("whole", stage) for stage in parts.cut.wholes), *sorted(kinds)]
    made = {key: parts.part(*key) for key in keys}
    plans = {key: parts.plan(*key, sizes, dtype) for key in keys}
    return made, plans, _layout(parts.cut, made, plans, sizes, dtype, states)


def state_bytes(cut: Cut, sizes: Mapping[str, int], dtype: str) -> int:
    """What one kept state takes."""
    return max(ALIGN, packed_bytes(cut.states, sizes, dtype))


def packed_bytes(carried: Iterable[Carried], sizes: Mapping[str, int], dtype: str) -> int:
    return sum(rounded(bytes_of(one.type, sizes, dtype)) for one in carried)


def tape_bytes(parts: Parts, chunk: int, sizes: Mapping[str, int], dtype: str) -> int:
    """What the backward pass over a chunk needs of the forward pass."""
    return max(parts.plan(kind, chunk, sizes, dtype).bytes["saved"] for kind in ("first", "again"))


def _layout(
    cut: Cut, parts: Mapping[Key, Part], plans: Mapping[Key, Plan], sizes: Mapping[str, int], dtype: str, states: int
) -> Layout:
    regions = Regions()
    for category, size in shared(plans.values()).items():
        regions.add(category, category, size)
    for name, (type, category) in lasting(cut, parts).items():
        regions.add(HELD + name, category, bytes_of(type, sizes, dtype))
    regions.add(STATE, "workspace", state_bytes(cut, sizes, dtype))
    regions.add(COTANGENT, "workspace", packed_bytes(cut.cotangents, sizes, dtype))
    regions.add(KEPT, "saved", states * state_bytes(cut, sizes, dtype))
    weights = {n: p.types[n] for p in parts.values() for n, kind in p.kinds.items() if kind == "weight"}
    return regions.layout(sizes, dtype, sum(bytes_of(t, sizes, dtype) for t in weights.values()))


def lasting(cut: Cut, parts: Mapping[Key, Part]) -> dict[str, tuple[Type, str]]:
    """The arrays that last for the whole run, with their categories: held values, and inputs that have no time."""
    users = {held: result for result, held in cut.results.items()}
    found = {}
    for name, held in cut.held.items():
        long = "saved" if cut.axis in held.type.axes else "workspace"
        category = "gradients" if users.get(name, "").startswith("grad:") else "outputs" if name in users else long
        found[name] = (held.type, category)
    for part in parts.values():
        for name in part.program.weights:
            if part.kinds.get(name) not in (None, "weight", "held"):
                found[name] = (part.types[name], "inputs")
    return found
