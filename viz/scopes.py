"""Values to places in a picture: scopes, what each value is drawn as, and edges found when all is placed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.ir.graph import INPUT, Origin, Value
from rnngraph.viz.box_texts import own_name, shape_of
from rnngraph.viz.groups import Path
from rnngraph.viz.scene import Box, Columns, Edge, EdgeKind, End, Frame, FrameKind, Scene, Slot


class TooMany(Exception):
    """More boxes than the picture may have."""


class Link(NamedTuple):
    """A value that is drawn as another one, of a scope outside (or of the step before)."""

    scope: Scope
    value: Value
    step: int | None = None


class Rows(NamedTuple):
    """A sequence whose rows are drawn at their own steps; a folded column has its first."""

    axis: str
    steps: Mapping[int, Link]


class Pill(NamedTuple):
    """Where the row of an input may be drawn: the column's frame and place, and what `t` is there."""

    frame: str
    title: str
    axis: str
    column: int
    folded: bool


class Scope(Struct, eq=False):
    """One level of the picture: the top, a loop's open body, or one step."""

    key: str
    frame: str = ""
    base: Path = ()
    row: str = ""
    """What begins the keys of rows here; the same at all steps."""
    pill: Pill | None = None
    loop: Origin | None = None
    """Where the loop comes from that is drawn here."""
    ends: dict[Value, End | Link | Rows | None] = field(default_factory=dict)
    carries: dict[Value, str] = field(default_factory=dict)
    """The names of the values that come from the step before."""

    def slot(self, row: str) -> Slot | None:
        return Slot(self.pill.axis, self.pill.column, f"{self.row}{row}") if self.pill else None


class Wanted(NamedTuple):
    """An edge to be drawn once everything has its place."""

    link: Link
    head: End
    edge: Edge


class Sketch:
    """Gathers boxes, frames and edges; refuses more boxes than the budget."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.boxes: dict[str, Box] = {}
        self.spare: dict[str, Box] = {}
        """Boxes of inputs and parameters, drawn only where something reads them."""
        self.frames: dict[str, Frame] = {}
        self.wanted: list[Wanted] = []
        self.axes: dict[str, Columns] = {}
        self.columns: dict[tuple[str, int], Pill] = {}
        """The columns by axis and step."""

    def box(self, box: Box) -> End:
        self.boxes[box.key] = box
        if len(self.boxes) > self.budget:
            raise TooMany
        return End(box.key)

    def later(self, box: Box) -> End:
        """A box that is drawn only if something begins there."""
        self.spare[box.key] = box
        return End(box.key)

    def frame(self, key: str, kind: FrameKind, title: str, parent: str, tooltip: str = "", owner: Path = ()) -> str:
        self.frames.setdefault(key, Frame(key, kind, title, parent, tooltip, ".".join(owner)))
        return key

    def want(
        self,
        scope: Scope,
        value: Value,
        head: End,
        kind: EdgeKind = "data",
        label: str = "",
        back: bool = False,
        ranked: bool = True,
        step: int | None = None,
    ) -> None:
        """An edge from wherever the value turns out to be drawn; a value from the step before says so."""
        if value in scope.carries:
            kind, label = "state" if kind == "data" else kind, own_name(scope.carries[value])
        self.wanted.append(Wanted(Link(scope, value, step), head, Edge(head, head, kind, label, back, ranked)))

    # --- where a value is drawn ------------------------------------------------------------------------

    def ends(self, scope: Scope, value: Value) -> list[End]:
        """The places a value comes from: one, or one per step of a sequence, or none for a written number."""
        return [end for end, _ in self.places(Link(scope, value))]

    def places(self, link: Link) -> Iterator[tuple[End, Link]]:
        """Each place with the last link that led to it."""
        pending = [link]
        while pending:
            link = pending.pop()
            found = link.scope.ends.get(link.value)
            if isinstance(found, End):
                yield found, link
            elif isinstance(found, Link):
                pending.append(found if found.step is not None else found._replace(step=link.step))
            elif isinstance(found, Rows):
                steps = (
                    [found.steps.get(link.step)]
                    if link.step is not None
                    else list(found.steps.values())[::-1]
                )
                pending += [step._replace(step=None) for step in steps if step is not None]

    # --- the finished picture ------------------------------------------------------------------------------

    def scene(self, notes: tuple[str, ...]) -> Scene:
        edges: dict[tuple[End, End, bool], Edge] = {}
        readers: dict[str, set[tuple[str, str]]] = {}
        for wanted in self.wanted:
            for end, link in self.places(wanted.link):
                tail = self._drawn(end, link)
                key = tail, wanted.head, wanted.edge.back
                edge = replace(wanted.edge, tail=tail)
                if self.boxes[tail.box].kind == "parameter":
                    name = own_name(str(link.value.node.attrs["name"]))
                    readers.setdefault(wanted.head.box, set()).add((tail.box, name))
                elif tail.box != wanted.head.box or edge.back:
                    edges[key] = _merged(edges[key], edge) if key in edges else edge
        boxes, frames = self._with_badges(readers)
        return Scene(boxes, frames, tuple(edges.values()), dict(self.axes), notes)

    def _with_badges(self, readers: Mapping[str, set[tuple[str, str]]]) -> tuple[dict[str, Box], dict[str, Frame]]:
        """Who reads parameters has the badge of their box: the frame of their own instance, else the box."""
        boxes, frames = dict(self.boxes), dict(self.frames)
        for key, read in readers.items():
            box = boxes[key]
            badges = []
            for owner, _ in sorted(read):
                around = self._frame_of(box.frame, self.boxes[owner].title)
                if around is None:
                    badges.append(self.boxes[owner].title)
                else:
                    frames[around] = replace(frames[around], badges=(self.boxes[owner].title,))
            detail = "" if box.kind == "block" and box.detail in badges else box.detail
            names = frozenset(name for _, name in read)
            boxes[key] = replace(box, badges=tuple(dict.fromkeys(badges)), weights=names, detail=detail)
        return boxes, frames

    def _frame_of(self, key: str, owner: str) -> str | None:
        while key and self.frames[key].owner != owner:
            key = self.frames[key].parent
        return key or None

    def _drawn(self, end: End, link: Link) -> End:
        """The end itself; for the row of an input at one step, a pill in the column of that step."""
        if end.box not in self.spare:
            return end
        box = self.spare[end.box]
        axes = [axis for axis in link.value.type.axes if (axis, link.step) in self.columns]
        if link.step is None or not axes or link.value.node.op is not INPUT or box.kind != "input":
            self.box(box)
            return end
        pill = self.columns[axes[0], link.step]
        key = f"{pill.frame}/{end.box}"
        self.box(
            replace(
                box,
                key=key,
                title=f"{box.title}[{pill.title}]",
                detail=shape_of(link.value),
                lines=(),
                frame=pill.frame,
                slot=Slot(pill.axis, pill.column, f"row/{end.box}"),
            )
        )
        return End(key)


def _merged(one: Edge, two: Edge) -> Edge:
    """One edge for two between the same ends."""
    labels = sorted({part for edge in (one, two) for part in edge.label.split(", ") if part})
    kind: EdgeKind = "state" if "state" in (one.kind, two.kind) else one.kind
    return replace(one, label=", ".join(labels), kind=kind, ranked=one.ranked and two.ranked)
