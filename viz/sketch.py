"""Values to places in a picture: scopes, what each value is drawn as, and edges found when all is placed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rnngraph.ir.graph import INPUT, Value
from rnngraph.viz.groups import Path
from rnngraph.viz.labels import shape_of
from rnngraph.viz.scene import Box, Edge, EdgeKind, End, Frame, FrameKind, Scene


class TooMany(Exception):
    """More boxes than the picture may have."""


class Link(NamedTuple):
    """A value that is drawn as another one, of a scope outside (or of the step before)."""

    scope: Scope
    value: Value
    step: int | None = None


class Rows(NamedTuple):
    """A sequence whose rows are drawn at their own steps; a folded column has its first."""

    steps: Mapping[int, Link]


class Pill(NamedTuple):
    """Where the row of an input may be drawn: the column's frame, and what `t` is there."""

    frame: str
    title: str


@dataclass(eq=False)
class Scope:
    """One level of the picture: the top, a loop's open body, or one step."""

    key: str
    frame: str = ""
    base: Path = ()
    step: int | None = None
    ends: dict[Value, End | Link | Rows | None] = field(default_factory=dict)
    carries: dict[Value, str] = field(default_factory=dict)
    """The names of the values that come from the step before."""
    pill: Pill | None = None
    reverse: bool = False
    """Whether the step before stands to the right."""


class Wanted(NamedTuple):
    """An edge to be drawn once everything has its place."""

    scope: Scope
    value: Value
    head: End
    edge: Edge


class Sketch:
    """Gathers boxes, frames and edges; refuses more boxes than the budget."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.boxes: dict[str, Box] = {}
        self.spare: dict[str, Box] = {}
        """Boxes of inputs, drawn only where an edge begins at them."""
        self.frames: dict[str, Frame] = {}
        self.wanted: list[Wanted] = []
        self.lanes: list[tuple[str, ...]] = []
        self.pills: dict[str, Box] = {}

    def box(self, box: Box) -> End:
        self.boxes[box.key] = box
        if len(self.boxes) > self.budget:
            raise TooMany
        return End(box.key)

    def later(self, box: Box) -> End:
        """A box that is drawn only if something begins there."""
        self.spare[box.key] = box
        return End(box.key)

    def frame(self, key: str, kind: FrameKind, title: str, parent: str, tooltip: str = "") -> str:
        self.frames.setdefault(key, Frame(key, kind, title, parent, tooltip))
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
    ) -> None:
        """An edge from wherever the value turns out to be drawn; a value from the step before says so."""
        backwards = False
        if value in scope.carries:
            kind, label = "state" if kind == "data" else kind, scope.carries[value].rsplit(".", 1)[-1]
            backwards = scope.reverse
        self.wanted.append(Wanted(scope, value, head, Edge(head, head, kind, label, back, backwards, ranked)))

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
        for wanted in self.wanted:
            for end, link in self.places(Link(wanted.scope, wanted.value)):
                edge = replace(wanted.edge, tail=self._drawn(end, link, wanted.scope))
                key = edge.tail, edge.head, edge.back
                if edge.tail.box != edge.head.box or edge.back:
                    edges[key] = _merged(edges[key], edge) if key in edges else edge
        drawn = {**self.boxes, **self.pills}
        styled = tuple(_styled(edge, drawn) for edge in edges.values())
        return Scene(drawn, self.frames, styled, tuple(self.lanes), notes)

    def _drawn(self, end: End, link: Link, reader: Scope) -> End:
        """The end itself; for the row of an input at one step, a pill in the column that reads it."""
        if end.box not in self.spare:
            return end
        box = self.spare[end.box]
        if link.step is None or reader.pill is None or link.value.node.op is not INPUT or box.kind != "input":
            self.box(box)
            return end
        pill = reader.pill
        key = f"{pill.frame}/{end.box}"
        self.pills[key] = replace(
            box,
            key=key,
            title=f"{box.title}[{pill.title}]",
            detail=shape_of(link.value),
            lines=(),
            frame=pill.frame,
        )
        return End(key)


def _merged(one: Edge, two: Edge) -> Edge:
    """One edge for two between the same ends."""
    labels = sorted({part for edge in (one, two) for part in edge.label.split(", ") if part})
    kind: EdgeKind = "state" if "state" in (one.kind, two.kind) else one.kind
    return replace(one, label=", ".join(labels), kind=kind, ranked=one.ranked and two.ranked)


def _styled(edge: Edge, boxes: Mapping[str, Box]) -> Edge:
    """Coloured by where it begins: parameters are pale, what goes into the backward pass has its tint."""
    if edge.kind == "data" and edge.tail.box in boxes and boxes[edge.tail.box].kind == "parameter":
        return replace(edge, kind="parameter", label="")
    if edge.kind == "data" and edge.head.box in boxes and boxes[edge.head.box].kind == "backward":
        return replace(edge, kind="backward")
    return edge
