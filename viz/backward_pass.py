"""The backward pass of a scene: each box that a gradient passes has a twin, each edge between such boxes runs back.

The twins are named as in a lecture: dL/dh, through sigmoid(o) * activation(c'). What the compiled backward pass reads
of the forward pass are edges from where it was made: kept, or computed again from what was kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from rnngraph.ir.graph import Graph, Node
from rnngraph.viz.box_texts import wrapped
from rnngraph.viz.saved_activations import Spot, reads
from rnngraph.viz.scene import Box, Edge, EdgeKind, End, Frame, Scene

_GATES = {
    "i": "input gate", "f": "forget gate", "o": "output gate", "j": "candidate", "g": "candidate", "r": "reset gate",
    "u": "update gate", "z": "update gate",
}  # fmt: skip
"""What single letters stand for in the literature of gated cells."""


def mirrored(scene: Scene, nodes: Mapping[str, Sequence[Node]], graph: Graph, compiled: Graph) -> Scene:
    """The scene with its backward pass; `nodes` are those that each box stands for."""
    return _Mirror(scene, nodes, "loss" in graph.outputs, compiled).scene_with_twins()


@dataclass
class _Mirror:
    scene: Scene
    nodes: Mapping[str, Sequence[Node]]
    loss: bool
    compiled: Graph

    def __post_init__(self) -> None:
        self.named: dict[str, dict[str, None]] = defaultdict(dict)
        for edge in self.scene.edges:
            if edge.kind == "state":
                self.named[self._row(edge.tail.box)].update(dict.fromkeys(edge.label.split(", ")))
        self.active = self._active()
        self.before: dict[str, list[str]] = defaultdict(list)
        for edge in self.scene.edges:
            self.before[edge.head.box].append(edge.tail.box)

    def scene_with_twins(self) -> Scene:
        boxes, edges = dict(self.scene.boxes), list(self.scene.edges)
        frames = dict(self.scene.frames)
        for key in self.active:
            box = self._twin(self.scene.boxes[key], frames)
            boxes[box.key] = box
        for box in self.scene.boxes.values():
            if box.kind == "parameter" and any(box.title in self._badges(self.scene.boxes[k]) for k in self.active):
                boxes[f"d/{box.key}"] = _gradient_of(box)
        edges += self._backward_edges()
        edges += self._kept()
        return replace(self.scene, boxes=boxes, frames=frames, edges=tuple(edges))

    def _row(self, key: str) -> str:
        """What is the same at all steps has the same names."""
        slot = self.scene.boxes[key].slot
        return f"{slot.axis}/{slot.row}" if slot else key

    # --- what a gradient passes --------------------------------------------------------------------------------

    def _active(self) -> dict[str, None]:
        """The boxes of floats between parameters and the loss (or, without one, between inputs and outputs)."""
        before: dict[str, list[str]] = defaultdict(list)
        after: dict[str, list[str]] = defaultdict(list)
        for edge in self.scene.edges:
            if self._smooth(edge.tail.box) and self._smooth(edge.head.box):
                before[edge.head.box].append(edge.tail.box)
                after[edge.tail.box].append(edge.head.box)
        boxes = self.scene.boxes
        sources = [k for k, b in boxes.items() if self._smooth(k) and (b.weights or b.badges)]
        targets = [k for k, b in boxes.items() if self._smooth(k) and self._is_target(b)]
        reach = _reached(sources, after) & _reached(targets, before)
        return {key: None for key in boxes if key in reach}

    def _is_target(self, box: Box) -> bool:
        return box.title == "loss" if self.loss else box.kind == "output"

    def _smooth(self, key: str) -> bool:
        """Whether what the box hands out is a float, of a box that hands out anything."""
        box = self.scene.boxes[key]
        if box.kind in ("output", "loss"):
            return not key.startswith("weights") and "int" not in box.detail
        found = self.nodes.get(key)
        return bool(found) and any(t.dtype == "float" for t in found[-1].types) if found else False

    # --- twins -------------------------------------------------------------------------------------------------

    def _badges(self, box: Box) -> tuple[str, ...]:
        """The parameters that the box reads, also where a frame around it has the badge."""
        around = [b for f in self.scene.chain(box.frame) for b in self.scene.frames[f].badges] if box.weights else []
        return tuple(dict.fromkeys([*box.badges, *around]))

    def _twin(self, box: Box, frames: dict[str, Frame]) -> Box:
        slot = box.slot._replace(row=f"d/{box.slot.row}") if box.slot else None
        frame = self._frame(box.frame, frames)
        title, lines = self._words(box)
        tip = "\n".join(["the backward pass of:", *filter(None, [box.tooltip])])
        return Box(
            f"d/{box.key}", "backward", title, box.detail, lines, tip, frame, (), slot, self._badges(box),
            box.weights, box.key,
        )  # fmt: skip

    def _frame(self, key: str, frames: dict[str, Frame]) -> str:
        """The twin of a frame; a step's own stays, for its title is the same."""
        if not key or self.scene.frames[key].kind == "step":
            return key
        frame = self.scene.frames[key]
        twin = f"d/{key}"
        frames[twin] = replace(
            frame, key=twin, title=f"through {frame.title}", parent=self._frame(frame.parent, frames), badges=()
        )
        return twin

    def _words(self, box: Box) -> tuple[str, tuple[str, ...]]:
        """`dL/dh`, and through which equation it goes on."""
        names = list(self.named.get(self._row(box.key), ()))
        if box.kind == "output":
            return f"dL/d{box.title}", ()
        if box.kind == "loss":
            return "dL/dL = 1", wrapped(f"through {' '.join(box.lines) or box.title}")
        if box.kind in ("block", "loop"):
            return f"through {box.title}", wrapped(", ".join(f"dL/d{name}" for name in names))
        title = ", ".join(names) or box.title.replace("'", "")
        lines = wrapped(f"through {' '.join(box.lines)}") if box.lines else ()
        gates = [_GATES[name] for name in title.split(", ") if name in _GATES]
        if len(gates) > 1:
            lines = wrapped(f"through {_listed(gates)}")
        return (f"dL/d({title})" if "," in title else f"dL/d{title}") if title else "", lines

    def _backward_edges(self) -> Iterator[Edge]:
        for edge in self.scene.edges:
            if edge.tail.box in self.active and edge.head.box in self.active and not edge.back:
                label = ", ".join(f"dL/d{name}" for name in edge.label.split(", ")) if edge.label else ""
                yield Edge(End(f"d/{edge.head.box}"), End(f"d/{edge.tail.box}"), "backward", label)
        for key in self.active:
            if self.scene.boxes[key].kind == "loss":
                yield Edge(End(key), End(f"d/{key}"), "backward")

    # --- what is kept ------------------------------------------------------------------------------------------

    def _kept(self) -> Iterator[Edge]:
        """From the box that made it to the twin that reads it; the state before comes from the column before."""
        where: dict[Spot, dict[str, None]] = defaultdict(dict)
        for key, members in self.nodes.items():
            for node in members:
                where[node.origin.span, node.origin.path].setdefault(key)
        found: dict[tuple[str, str], Edge] = {}
        for read in reads(self.compiled):
            kind: EdgeKind = "again" if read.again else "kept"
            for reader in (key for key in where.get(read.reader, ()) if key in self.active):
                makers = [m for m in where.get(read.maker, ()) if self._together(m, reader, read.before)]
                for maker in self._nearest(reader, makers):
                    edge = Edge(End(maker), End(f"d/{reader}"), kind, note=f"{kind}: {read.value}")
                    old = found.get((maker, reader))
                    found[maker, reader] = edge if old is None or old.kind == "again" else old
        yield from found.values()

    def _nearest(self, reader: str, makers: Sequence[str]) -> Sequence[str]:
        """Of the turns of a `for`, which have one line: a gradient reads what its own box made or read, so the last
        one before it."""
        level, seen = [reader], {reader}
        while len(makers) > 1 and level:
            if found := [key for key in level if key in makers]:
                return found
            level = list(dict.fromkeys(k for key in level for k in self.before[key] if k not in seen))
            seen.update(level)
        return makers if len(makers) == 1 else ()

    def _together(self, maker: str, reader: str, before: bool) -> bool:
        """Whether they stand in the same column, or the maker in the column of the step before."""
        one, two = self.scene.boxes[maker].slot, self.scene.boxes[reader].slot
        if one is None or two is None:
            return not before
        if one.axis != two.axis:
            return False
        return two.column - one.column == self._direction(maker) if before else one.column == two.column

    def _direction(self, key: str) -> int:
        """1 where the state goes to the right, -1 in a loop that runs backwards."""
        for edge in self.scene.edges:
            if edge.kind == "state" and edge.tail.box == key:
                one, two = self.scene.boxes[key].slot, self.scene.boxes[edge.head.box].slot
                if one and two and one.axis == two.axis:
                    return two.column - one.column
        return 1


def _gradient_of(box: Box) -> Box:
    return replace(
        box, key=f"d/{box.key}", title=f"dL/dθ {box.title}", lines=("summed over steps and rows",), tooltip=box.tooltip,
        kind="gradient",
    )  # fmt: skip


def _listed(words: Sequence[str]) -> str:
    """`the input gate, candidate and output gate`."""
    return f"the {', '.join(words[:-1])} and {words[-1]}"


def _reached(starts: Iterable[str], after: Mapping[str, list[str]]) -> set[str]:
    found = set(starts)
    pending = list(found)
    while pending:
        for key in after.get(pending.pop(), ()):
            if key not in found:
                found.add(key)
                pending.append(key)
    return found
