"""The numbers of a run in the boxes of an unrolled picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from rnngraph.viz.scene import Box, Scene

MOST = 4
"""So many numbers of a vector stand in its box."""


def with_values(scene: Scene, values: Mapping[str, Any]) -> Scene:
    """Each box of a step with what it is at that step; `values` are one row of data, (steps, ...) each, by name.

    Of equations in several instances the names are told with the instance; a name that two boxes of a step have
    otherwise tells neither of them.
    """
    names = Counter((_name(box), box.slot[:2]) for box in scene.boxes.values() if box.slot)
    found = dict(scene.boxes)
    for key, box in scene.boxes.items():
        if box.slot is None:
            continue
        owned = f"{scene.frames[box.frame].owner}.{_name(box)}" if box.frame else ""
        if owned in values:
            found[key] = _shown(scene, box, values[owned])
        elif _name(box) in values and names[_name(box), box.slot[:2]] - _doubled(scene, box) == 1:
            found[key] = _shown(scene, box, values[_name(box)])
    return replace(scene, boxes=found)


def _doubled(scene: Scene, box: Box) -> int:
    """An output and the equation that it is are two boxes of one value."""
    assert box.slot is not None
    same = [b for b in scene.boxes.values() if b.slot and b.slot[:2] == box.slot[:2] and _name(b) == _name(box)]
    return int(len({b.kind == "output" for b in same}) == 2)


def _name(box: Box) -> str:
    return box.title.split("[")[0].rstrip("'")


def _shown(scene: Scene, box: Box, values: Any) -> Box:
    assert box.slot is not None
    columns = scene.axes[box.slot.axis]
    step = columns.at[box.slot.column]
    if columns.folded[box.slot.column] or step >= len(values):
        return box
    return replace(box, lines=(*box.lines, numbers(values[step])))


def numbers(value: Any) -> str:
    """The first entries of an array, in few digits."""
    flat = list(value.reshape(-1))
    text = ", ".join(f"{entry:.2g}" if value.dtype.kind == "f" else str(entry) for entry in flat[:MOST])
    return f"{text}, ..." if len(flat) > MOST else text
