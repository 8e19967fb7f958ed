"""How a loop is spread over a device: which blocks have which rows and units, and what they keep near.

A team of blocks has some rows of the batch; its `parts` share out the units. More parts have less to compute and to
read at each step, but meet: in far memory, or sooner, where they are few enough to be a cluster. The blocks of a
cluster hand over what they make in far memory or in shared memory. What a step takes is estimated for each number of
parts and both ways, and the least is taken. Bits do not depend on any of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from rnngraph.kernels.gpu.cluster_shared_memory import Rows
from rnngraph.kernels.gpu.functions import Tiles
from rnngraph.kernels.gpu.products import Products
from rnngraph.kernels.gpu.target import GpuTarget

MEETING, CLUSTER_MEETING, HANDOVER = 2000.0, 800.0, 500.0
"""Clocks until the blocks of a team have met and have what was handed over: in far memory; at a cluster's barrier and
in far memory; in a cluster alone. The other figures are of one processor, per clock. `.ci/gpu` measures all three."""
NEIGHBOURS = 16
"""So many processors at least can have the blocks of one cluster."""
FAR_BYTES, SENT_BYTES, OPERATIONS = 24.0, 14.0, 20.0
STAGED_BYTES: dict[Rows, float] = {"far": FAR_BYTES, "near": 128.0, "in place": inf}
STAGED = 32
"""The most rows that are staged at a time."""
LONGEST = 512
"""The most terms that are staged at a time."""


class Factor(Struct, frozen=True):
    """A product of a loop: its group by identity, its terms, its width as units times gates, whether its matrix is the
    same at all steps, and where it finds its rows when blocks hand over near."""

    group: int
    terms: int
    units: int
    gates: int
    fixed: bool
    rows: Rows = "far"

    def columns(self, parts: int) -> int:
        """Columns of a block."""
        return -(-self.units // parts) * self.gates

    def entries(self, parts: int, products: Products) -> int:
        """Entries of its matrix that a block has."""
        return products.matrix(self.terms, self.columns(parts))


class Facts(Struct, frozen=True):
    """What a step of a loop does: products, operations on entries of a row, and meetings of a team."""

    factors: tuple[Factor, ...]
    operations: int
    meetings: int
    widest: int
    """The largest number of units: more parts have nothing to do."""
    alone: bool = False
    """Whether one team has all rows: something is summed over them at each step."""
    copied: int = 0
    """Bytes for each row that every block has near beside matrices and what is staged."""
    near: int = 0
    """Numbers of each row that blocks have near where they hand over there; 0 where nothing can be handed over so."""
    moved: int = 0
    """Numbers of each row that are then sent to each block at a step."""


class LoopShape(Struct, frozen=True):
    """Parts of a team, rows of each team, teams, blocks in all, the tiles of each product, and bytes of near memory."""

    parts: int
    rows_each: int
    teams: int
    blocks: int
    tiles: Mapping[int, Tiles]
    bytes: int
    copies: int
    """Where in near memory copies of small slots begin, in bytes."""
    clocks: float
    """The estimate for one step."""
    clustered: bool = False
    """Whether a team is a cluster."""
    handed: int | None = None
    """Where in near memory begins what blocks hand over, in bytes; None where they do it in far memory."""
    why_far: str = ""
    """Why they do."""

    @property
    def kept(self) -> int:
        """Matrices that are kept near."""
        return sum(tiles.kept is not None for tiles in self.tiles.values())

    @property
    def cluster(self) -> int:
        """Blocks that are launched as a cluster."""
        return self.parts if self.clustered else 1

    def told(self, facts: Facts, target: GpuTarget) -> str:
        """The shape in words."""
        team = "cluster" if self.clustered else "team"
        teams = f"{self.teams:,} {team}{'s' * (self.teams > 1)} of {self.parts} block{'s' * (self.parts > 1)}"
        rows = f"{self.rows_each:,} row{'s' * (self.rows_each > 1)} each"
        meetings = facts.meetings if self.parts > 1 else 0
        met = f"{meetings} meeting{'s' * (meetings != 1)} a step"
        kept = [f for f in facts.factors if self.tiles[f.group].kept is not None]
        bytes = sum(f.entries(self.parts, target.products) for f in kept) * target.itemsize
        near = f", {bytes:,} bytes of matrices near" if kept else ""
        far = len(facts.factors) - len(kept)
        read = f", {far} read at each step" if far else ""
        return f"{teams}, {rows}, {met}{near}{read}{self.handed_over(facts, target)}"

    def handed_over(self, facts: Facts, target: GpuTarget) -> str:
        """Which way blocks hand over what they make, in words."""
        if self.parts == 1 or not facts.meetings:
            return ""
        if self.handed is None:
            return f", handed over in far memory: {self.why_far}"
        return f", handed over in {facts.near * self.rows_each * target.itemsize:,} bytes of each block's shared memory"


def loop_shape(facts: Facts, batch: int, target: GpuTarget) -> LoopShape | None:
    """The best shape; None where not even the smallest tiles fit near."""
    ways = [(parts, near) for parts in _parts(facts, target) for near in (True, False)]
    found = [shape for parts, near in ways if (shape := _shaped(facts, batch, target, parts, near))]
    best = min(found, key=lambda shape: (shape.clocks, shape.parts), default=None)
    return best and replace(best, why_far=_why_far(best, facts, batch, target))


def _why_far(shape: LoopShape, facts: Facts, batch: int, target: GpuTarget) -> str:
    """Why the blocks of a team hand over in far memory; "" where they do not."""
    if shape.handed is not None:
        return ""
    if not target.cluster:
        return "this device has no clusters"
    if not shape.clustered:
        return f"{shape.parts} blocks are no cluster"
    if not facts.near:
        return "nothing of it can be in shared memory"
    near = _shaped(facts, batch, target, shape.parts, near=True)
    if near is None or near.kept < shape.kept:
        return "there is no room for it in shared memory beside matrices"
    return "for so much that is sooner, by the estimate"


def shapes_at_once(
    all_facts: Sequence[Facts], steps: Sequence[int], batch: int, target: GpuTarget
) -> list[LoopShape] | None:
    """Shapes of loops that have equal parts of the processors; None where they take less time one after another.

    As they are launched together, those that are clusters are of one size, and each begins with a cluster.
    """

    def clocks(shapes: Sequence[LoopShape]) -> list[float]:
        return [shape.clocks * n for shape, n in zip(shapes, steps, strict=True)]

    alone = _shapes(all_facts, batch, target)
    part = replace(target, processors=max(1, target.processors // len(all_facts)))
    shapes = _shapes(all_facts, batch, part)
    if len({shape.cluster for shape in shapes if shape.parts > 1}) > 1:
        apart = _shapes(all_facts, batch, replace(part, cluster=0))
        shapes = [replace(shape, why_far="loops at once have clusters of one size") for shape in apart]
    if len(shapes) < len(all_facts) or max(clocks(shapes)) >= sum(clocks(alone)):
        return None
    cluster = max(shape.cluster for shape in shapes)
    return [replace(shape, blocks=-(-shape.blocks // cluster) * cluster) for shape in shapes]


def _shapes(all_facts: Sequence[Facts], batch: int, target: GpuTarget) -> list[LoopShape]:
    """Of those loops that fit."""
    return [shape for facts in all_facts if (shape := loop_shape(facts, batch, target))]


def _parts(facts: Facts, target: GpuTarget) -> Iterator[int]:
    if target.parts:
        yield min(target.parts, max(1, facts.widest))
        return
    parts = 1
    while parts <= min(target.processors, max(1, facts.widest)):
        yield parts
        parts *= 2


def _shaped(facts: Facts, batch: int, target: GpuTarget, parts: int, near: bool) -> LoopShape | None:
    """The shape of so many parts that hand over near or in far memory; None where that cannot be."""
    clustered = 1 < parts <= target.cluster and parts & (parts - 1) == 0
    if near and not (clustered and facts.near):
        return None
    at_once = 1 if facts.alone else _at_once(target.processors, parts, clustered)
    rows = max(1, -(-batch // at_once))
    teams = max(1, -(-batch // rows))
    tall = target.products.tall(rows)
    staged = min(STAGED, -(-rows // tall) * tall)
    copied = _whole(facts.copied * rows)
    handed = _whole(facts.near * rows * target.itemsize) if near else 0
    room = replace(target, shared=target.shared - copied - handed - 16)
    factors = [replace(f, rows=_found(f.rows, near, target.products)) for f in facts.factors]
    tiles = _tiles(factors, parts, tall, staged, room)
    if tiles is None:
        return None
    placed, entries = tiles
    copies = _whole(entries * target.itemsize)
    first, bytes = copies + copied if near else None, copies + copied + handed
    clocks = sum(_clocks(f, parts, rows, placed[f.group], target) for f in factors)
    clocks += facts.operations * rows / parts / OPERATIONS + _meeting(parts, clustered, near) * facts.meetings
    clocks += facts.moved * rows * target.itemsize / SENT_BYTES * near
    blocks = min(teams, at_once) * parts
    return LoopShape(parts, rows, teams, blocks, placed, bytes, copies, clocks, clustered, first)


def _whole(bytes: int) -> int:
    """So many bytes and what is beside them to the next that anything may begin at."""
    return -(-bytes // 16) * 16


def _at_once(processors: int, parts: int, clustered: bool) -> int:
    """The teams that have processors at the same time."""
    return max(1, processors // NEIGHBOURS * (NEIGHBOURS // parts) if clustered else processors // parts)


def _meeting(parts: int, clustered: bool, near: bool) -> float:
    return 0.0 if parts == 1 else HANDOVER if near else CLUSTER_MEETING if clustered else MEETING


def _found(rows: Rows, near: bool, products: Products) -> Rows:
    """Where a product finds its rows that could be `rows`."""
    return "far" if not near else "near" if rows == "in place" and not products.in_place else rows


def _clocks(factor: Factor, parts: int, rows: int, tiles: Tiles, target: GpuTarget) -> float:
    staging = rows * factor.terms * target.itemsize / STAGED_BYTES[factor.rows]
    entries = factor.terms * factor.columns(parts)
    reading = 0.0 if tiles.kept is not None else entries * target.itemsize / FAR_BYTES
    return target.products.clocks(rows, factor.terms, factor.columns(parts)) + staging + reading


def _tiles(
    factors: Sequence[Factor], parts: int, tall: int, staged: int, target: GpuTarget
) -> tuple[dict[int, Tiles], int] | None:
    """Of each product its tiles, and the entries of near memory in all: matrices are kept, the smallest first, as long
    as there is room beside them."""
    room, products = target.shared // target.itemsize, target.products
    kept, at = dict[int, int](), 0
    for factor in sorted((f for f in factors if f.fixed), key=lambda f: f.entries(parts, products)):
        beside = [f for f in factors if f.group not in kept and f is not factor]
        entries = factor.entries(parts, products)
        if at + entries + _needed(beside, factors, parts, staged, products.turn, products) <= room:
            kept[factor.group] = at
            at += entries
    others = [f for f in factors if f.group not in kept]
    chunk = LONGEST
    while chunk > products.turn and at + _needed(others, factors, parts, staged, chunk, products) > room:
        chunk //= 2
    needed = _needed(others, factors, parts, staged, chunk, products)
    if at + needed > room:
        return None
    return {
        f.group: Tiles(tall, staged, _chunk(f, chunk, products), kept.get(f.group), at, f.rows == "in place")
        for f in factors
    }, at + needed


def _needed(
    others: Sequence[Factor], factors: Sequence[Factor], parts: int, staged: int, chunk: int, products: Products
) -> int:
    """Entries for staging: rows of any product, and the matrix of one that is not kept."""

    def rows(factor: Factor) -> int:
        return 0 if factor.rows == "in place" else products.rows(staged, _chunk(factor, chunk, products))

    def matrix(factor: Factor) -> int:
        return products.matrix(_chunk(factor, chunk, products), factor.columns(parts))

    return max(max(map(rows, factors), default=0), max((rows(f) + matrix(f) for f in others), default=0))


def _chunk(factor: Factor, most: int, products: Products) -> int:
    """Terms of a part: whole turns, so that the terms are shared out in the same way whatever it is."""
    return min(most, -(-factor.terms // products.turn) * products.turn)
