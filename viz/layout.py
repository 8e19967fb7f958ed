"""From a scene to places: by the grid where there are columns of steps, else by `dot`; titles where no edge runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from rnngraph.viz.bands import ASIDE, Arrangement, Place, arranged
from rnngraph.viz.cell import cell_places
from rnngraph.viz.dot import laying_out, measuring
from rnngraph.viz.dot_program import run
from rnngraph.viz.geometry import Area, Drawn, Placed, Places, Point, Spot, around
from rnngraph.viz.grid import gridded
from rnngraph.viz.label_placement import clear
from rnngraph.viz.palette import Look
from rnngraph.viz.scene import Box, Scene
from rnngraph.viz.tracks import fold_key

PARAMETERS_APART = 16.0
MANY_EDGES = 600


def laid_out(scene: Scene, look: Look) -> tuple[Scene, Places]:
    """The scene as it is drawn, and where."""
    if scene.cell:
        return cell_places(scene, _sizes(scene, look))
    if not scene.axes:
        return scene, _with_parameters(scene, clear(_by_dot(scene, look)), _sizes(scene, look))
    plan = arranged(scene)
    scene = _with_folds(scene, plan)
    sizes = _sizes(scene, look)
    upwards = look.direction == "up" or (not look.direction and not any(band.backward for band in plan.bands))
    places = clear(gridded(scene, plan, sizes, upwards))
    return scene, _with_parameters(scene, places, sizes)


def _with_folds(scene: Scene, plan: Arrangement) -> Scene:
    """With a box in each band for a column that stands for many steps, instead of those of its rows."""
    boxes = dict(scene.boxes)
    for number, band in enumerate(plan.bands):
        columns = scene.axes[band.axis]
        for column in (i for i, folded in enumerate(columns.folded) if folded):
            count, _, rest = columns.steps[column].partition(" ")
            key, tip = fold_key(Place(number, column, "")), f"{columns.steps[column]}, each like its neighbours"
            boxes[key] = Box(key, "folded", "", "", (f"... {count} more", f"{rest.removeprefix('more ')} ..."), tip)
    return replace(scene, boxes=boxes)


def _sizes(scene: Scene, look: Look) -> dict[str, tuple[float, float]]:
    found = json.loads(run(measuring(scene, look), ["-Tjson0"], ["none"])).get("objects", ())
    return {o["name"]: (72 * float(o["width"]), 72 * float(o["height"])) for o in found if "width" in o}


# --- what `dot` lays out --------------------------------------------------------------------------------------------


def _by_dot(scene: Scene, look: Look) -> Places:
    curves = ["polyline", "line"] if len(scene.edges) > MANY_EDGES else ["spline", "polyline", "line"]
    layout = json.loads(run(laying_out(scene, look), ["-Tjson0"], curves))
    objects = layout.get("objects", ())
    places = Places({o["name"]: _spot(o) for o in objects if "pos" in o and o["name"] in scene.boxes})
    areas = {o["name"].removeprefix("cluster_"): o for o in objects if "bb" in o}
    for key in sorted((k for k in areas if k in scene.frames), key=lambda k: len(scene.chain(k))):
        area = Area(*map(float, areas[key]["bb"].split(",")))
        places.frames.append(Placed(scene.frames[key], area, _point(areas[key].get("lp", f"{area.left},{area.top}"))))
    for edge, found in zip(scene.edges, layout.get("edges", ()), strict=True):
        tip, curve = _curve(found["pos"])
        places.edges.append(Drawn(edge, curve, tip, _point(found["lp"]) if "lp" in found else None))
    return places


def _spot(node: Mapping[str, Any]) -> Spot:
    return Spot(*_point(node["pos"]), 72 * float(node["width"]), 72 * float(node["height"]))


def _point(text: str) -> Point:
    x, y = map(float, text.split(","))
    return x, y


def _curve(text: str) -> tuple[Point, tuple[Point, ...]]:
    tip, *points = text.split()
    return _point(tip.removeprefix("e,")), tuple(map(_point, points))


# --- parameters -----------------------------------------------------------------------------------------------------


def _with_parameters(scene: Scene, places: Places, sizes: Mapping[str, tuple[float, float]]) -> Places:
    """Their boxes in rows below the picture, as wide as it is."""
    keys = [key for key, box in scene.boxes.items() if box.kind in ASIDE]
    if not keys:
        return places
    areas = [*(s.area for s in places.spots.values()), *(f.area for f in places.frames)]
    areas += [Area(x, y, x, y) for d in places.edges for x, y in d.curve]
    whole = around(areas)
    x, y, tall = whole.left, whole.bottom - 1.5 * PARAMETERS_APART, 0.0
    for key in keys:
        width, height = sizes[key]
        if x > whole.left and x + width > max(whole.right, whole.left + 300):
            x, y, tall = whole.left, y - tall - PARAMETERS_APART, 0.0
        places.spots[key] = Spot(x + width / 2, y - height / 2, width, height)
        x, tall = x + width + PARAMETERS_APART, max(tall, height)
    return places
