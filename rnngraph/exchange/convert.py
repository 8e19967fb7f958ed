"""Weights from one layout to another, for a model: every layer is matched, converted, and checked by running it.

The check runs our cell, compiled, and the other tool's layer as its documentation defines it
(`references`), on the same small batch; a difference beyond rounding is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnngraph.diagnostics import Diagnostic, UserError
from rnngraph.exchange.layouts import LAYOUTS, Layout, Unsayable
from rnngraph.exchange.naming import NAMINGS, Groups, Key
from rnngraph.exchange.places import Place, Plain, places
from rnngraph.exchange.recognise import Cell
from rnngraph.learn.files import Arrays
from rnngraph.learn.weights import check_weights, shape_text
from rnngraph.model import Model, parse

OURS = "rnngraph"
NAMES = (*LAYOUTS, OURS)
TOLERANCE = 1e-5
"""Largest difference of the outputs, relative to the largest: weights may be float32."""


@dataclass(frozen=True)
class Converted:
    """The arrays by name, what was made of what (one line a layer), and names that had no place in the model."""

    arrays: Arrays
    told: tuple[str, ...]
    left: tuple[str, ...] = ()


def convert(
    model: Model, arrays: Mapping[str, Any], source: str, target: str, pairs: Mapping[str, str] | None = None
) -> Converted:
    """The weights of a model in another layout.

    `source` and `target` are names of `NAMES`; `pairs` gives for layers of the model, by path (`encoder.0`), the
    name of the module elsewhere, where it cannot be seen from names and order. Raises UserError where a layer is not
    found, fits more than one, cannot be said in a layout, or where the check finds a difference.
    """
    for name in (source, target):
        if name not in NAMES:
            raise UserError(f"there is no layout `{name}`", "E690", f"the layouts are {', '.join(NAMES)}")
    given = {name: np.asarray(array) for name, array in arrays.items()}
    read = Converted(given, ()) if source == OURS else _read(model, given, source, pairs or {})
    checked = check_weights(model.weights, read.arrays, _dtype(given))
    if target == OURS:
        return Converted(checked, read.told, read.left)
    written = _write(model, checked, target)
    return Converted(written.arrays, (*read.told, *written.told), read.left)


def _dtype(arrays: Mapping[str, Any]) -> str:
    """float64 where any array is, else float32."""
    return "float64" if any(a.dtype == np.float64 for a in arrays.values()) else "float32"


# --- ours from theirs -----------------------------------------------------------------------------------------------


def _read(model: Model, arrays: Arrays, source: str, pairs: Mapping[str, str]) -> Converted:
    groups = NAMINGS[source].group(arrays)
    _known(model, pairs)
    own: Arrays = {}
    told, used = [], set[Key]()
    for place in places(model.made):
        key, found = _match(model, place, groups, used, source, pairs)
        used.add(key)
        own |= {place.layer.weights[local]: array for local, array in found.items()}
        told.append(f"{place.name} <- {key}")
    declared = {w.name for w in model.weights} - set(own)
    rest = {name: array for name, array in arrays.items() if name in declared}
    left = [name for name in arrays if name not in rest and not _taken(name, source, used)]
    return Converted(own | rest, tuple(told), tuple(left))


def _taken(name: str, source: str, used: set[Key]) -> bool:
    """Whether a layer of the model took the array."""
    found = NAMINGS[source].split(name)
    return found is not None and any(found[0] in (key, key._replace(reverse=False)) for key in used)


def _known(model: Model, pairs: Mapping[str, str]) -> None:
    names = [place.name for place in places(model.made)]
    for name in pairs:
        if name not in names:
            raise UserError(
                f"the model has no layer `{name}` to convert",
                "E691",
                f"its layers are {', '.join(f'`{n}`' for n in names) or 'none that other tools know'}",
            )


def _match(
    model: Model, place: Place, groups: Groups, used: set[Key], source: str, pairs: Mapping[str, str]
) -> tuple[Key, Arrays]:
    """The group of arrays that is this layer's, and the layer's weights by our local names."""
    title, free = LAYOUTS[source].title, [key for key in groups if key not in used]
    reasons: list[str] = []
    if place.name in pairs:
        free = [key for key in free if key.module == pairs[place.name]]
    fitting: dict[Key, Arrays] = {}
    for key in sorted(free, key=_order):
        try:
            fitting[key] = _layer(model, place, groups[key], source)
        except Unsayable as reason:
            reasons.append(str(reason))
        except (KeyError, ValueError, IndexError):
            continue  # the arrays of another kind of layer
    own_key = NAMINGS[source].key(place)
    if own_key in fitting:
        return own_key, fitting[own_key]
    if not fitting:
        why = reasons[0] if reasons else f"the file has {', '.join(map(str, free)) or 'nothing left'}"
        raise UserError(f"no arrays of {title} fit the layer `{place.name}`, {_spelled(place)}", "E692", why)
    patterns = {_order(key)[0] for key in fitting}
    if len(patterns) > 1:
        some = sorted({key.module for key in fitting})
        raise UserError(
            f"`{place.name}` could be any of {', '.join(f'`{m}`' for m in some)}",
            "E693",
            f"say which: `--map {place.name}={some[0]}`",
        )
    return next(iter(fitting.items()))


def _spelled(place: Place) -> str:
    return place.layer.text if isinstance(place.layer, Cell) else place.layer.kind


_NUMBER, _DIRECTION = re.compile(r"_?\d+"), {"fw": 0, "forward": 0, "bw": 1, "backward": 1}


def _order(key: Key) -> tuple[str, tuple[tuple[int, int], ...], int, bool]:
    """The name without numbers and directions, then these: layers in order, forward before backward."""
    pattern, numbers = [], []
    for word in re.split(r"[/.]", key.module):
        direction = next((rank for name, rank in _DIRECTION.items() if re.match(rf"{name}(_|$)", word)), -1)
        found = _NUMBER.findall(word)
        numbers.append((int(found[-1].strip("_")) if found else -1, direction))
        pattern.append("direction" if direction >= 0 else _NUMBER.sub("", word))
    return "/".join(pattern), tuple(numbers), key.number, key.reverse


def _layer(model: Model, place: Place, theirs: Arrays, source: str) -> Arrays:
    """The layer's weights, of the shapes that the model declares, and checked."""
    layer = place.layer
    read = LAYOUTS[source].read
    own = _plain_read(layer, theirs, source) if isinstance(layer, Plain) else read(layer, theirs)
    shapes = {w.name: w.shape for w in model.weights}
    for local, full in layer.weights.items():
        if own[local].shape != shapes[full]:
            raise ValueError(f"{shape_text(own[local].shape)} is not {shape_text(shapes[full])}")
    if isinstance(layer, Cell):
        check(layer, own, theirs, LAYOUTS[source])
    return own


def _plain_read(layer: Plain, theirs: Arrays, source: str) -> Arrays:
    names = NAMINGS[source].plain[layer.kind]
    if set(theirs) != {names[local] for local in layer.weights}:
        raise KeyError(layer.kind)
    turn = source == "torch" and layer.kind == "Dense"
    return {n: theirs[names[n]].T if turn and n == "kernel" else theirs[names[n]] for n in layer.weights}


# --- theirs from ours -----------------------------------------------------------------------------------------------


def _write(model: Model, weights: Arrays, target: str) -> Converted:
    naming, layout = NAMINGS[target], LAYOUTS[target]
    made: Arrays = {}
    told, done = [], set[str]()
    for place in places(model.made):
        own = {local: weights[full] for local, full in place.layer.weights.items()}
        theirs = _written(model, place, own, layout)
        names = {local: naming.name(place, local) for local in theirs}
        made |= {names[local]: np.ascontiguousarray(array) for local, array in theirs.items()}
        done |= set(place.layer.weights.values())
        told.append(f"{place.name} -> {', '.join(names.values())}")
    rest = {name: array for name, array in weights.items() if name not in done}
    told += [f"{name} -> {name} (no layer of {layout.title}: as it is)" for name in rest]
    return Converted(made | rest, tuple(told))


def _written(model: Model, place: Place, own: Arrays, layout: Layout) -> Arrays:
    layer = place.layer
    if isinstance(layer, Plain):
        names = NAMINGS[layout.name].plain[layer.kind]
        turn = layout.name == "torch" and layer.kind == "Dense"
        return {names[n]: a.T if turn and n == "kernel" else a for n, a in own.items()}
    try:
        theirs = layout.write(layer, own)
    except Unsayable as reason:
        block = next(w for w in model.weights if w.name in layer.weights.values())
        raise UserError(
            [
                Diagnostic(
                    "E694",
                    f"`{place.name}` cannot be written for {layout.title}: {reason}",
                    block.span,
                    "its weights are declared here",
                )
            ]
        ) from reason
    check(layer, own, theirs, layout)
    return theirs


# --- the check ------------------------------------------------------------------------------------------------------


def check(cell: Cell, own: Arrays, theirs: Arrays, layout: Layout) -> None:
    """Runs both layers on a batch of two rows of four steps; UserError where they differ."""
    x = np.random.default_rng(0).normal(size=(2, 4, cell.inputs))
    program = parse(cell.model_text).compile()
    weights = {f"net.{local}": np.asarray(array, np.float64) for local, array in own.items()}
    ours = program.run({"x": x}, weights)["y"]
    other = layout.run(cell, {n: np.asarray(a, np.float64) for n, a in theirs.items()}, x)
    difference = float(np.abs(ours - other).max(initial=0.0))
    if not difference <= TOLERANCE * max(1.0, float(np.abs(other).max(initial=0.0))):
        raise UserError(
            f"`{'.'.join(cell.path)}` as converted gives other numbers than {layout.title}'s layer: they differ by"
            f" {difference:.3g}",
            "E695",
            f"the layer may have options that {cell.text} has not",
        )


def shown(arrays: Mapping[str, Any]) -> list[tuple[str, str, str, int, str, str, str]]:
    """A row for each array: name, shape, type, bytes, least, mean and largest value."""
    return [(name, shape_text(a.shape), str(a.dtype), a.nbytes, *_extent(a)) for name, a in _sorted(arrays)]


def _sorted(arrays: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    return sorted((name, np.asarray(array)) for name, array in arrays.items())


def _extent(array: Any) -> tuple[str, str, str]:
    if not array.size or array.dtype.kind not in "fiub":
        return ("", "", "")
    return tuple(f"{float(f(array)):.4g}" for f in (np.min, np.mean, np.max))  # type: ignore[return-value]
