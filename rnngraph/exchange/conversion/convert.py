"""Weights from one layout to another, for a model: every layer is matched, converted, and checked by running it.

The check runs our layer, compiled, and the other tool's layer as its documentation defines it (`references`) with the
options that the file says, on the same small batch; a difference beyond rounding is refused. Nothing is dropped in
silence: what of the file has no place in the model is told, and so is every weight of the model that the file lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.conversion import options
from rnngraph.exchange.conversion.layers import Place, Plain, places
from rnngraph.exchange.conversion.layout import Layout, Unsayable, write_plain
from rnngraph.exchange.conversion.layouts import LAYOUTS
from rnngraph.exchange.conversion.matching import Search, matches, read
from rnngraph.exchange.conversion.naming import NAMINGS, VARIABLE, Groups
from rnngraph.exchange.conversion.report import assumptions, complete, lacking, left
from rnngraph.exchange.conversion.verify import check
from rnngraph.exchange.formats.contents import Found
from rnngraph.exchange.formats.torch import whole
from rnngraph.exchange.recognise import SIGMOID
from rnngraph.files.arrays import host_arrays
from rnngraph.files.safetensors import Arrays
from rnngraph.model import Model
from rnngraph.weights.checks import check_weights

OURS = "rnngraph"
NAMES = (*LAYOUTS, OURS)


class Converted(Struct, frozen=True):
    """The arrays by name; what was made of what (one line a layer); what was assumed, since no file can say it; and
    the arrays that had no place in the model, each with a reason where there is one."""

    arrays: Arrays
    told: tuple[str, ...]
    assumed: tuple[str, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)


def convert(
    model: Model,
    given: Found | Mapping[str, Any],
    source: str,
    target: str,
    pairs: Mapping[str, str] | None = None,
    assumed: Mapping[str, str] | None = None,
) -> Converted:
    """The weights of a model in another layout.

    `given` are arrays by name, or what was read of a file, which may say more. `source` and `target` are names of
    `NAMES`; `pairs` gives for layers of the model, by path (`encoder.0`), the name of the module elsewhere, where it
    cannot be seen from names and order, and for other weights the name of the array; `assumed` are options of layers
    that a file does not say (`forget_bias`, or `encoder.forget_bias` of one layer), as texts. Raises UserError where a
    layer is not found, fits more than one, has other options there, cannot be said in a layout, or where the check
    finds a difference.
    """
    for name in (source, target):
        if name not in NAMES:
            raise UserError(f"there is no layout `{name}`", "E690", f"the layouts are {', '.join(NAMES)}")
    found = given if isinstance(given, Found) else Found(host_arrays(given))
    found = replace(found, arrays={name: widened(array) for name, array in found.arrays.items()})
    found = whole(found) if source == "torch" else found
    layers = places(model.made)
    pairs = _expanded(model, layers, pairs or {})
    taken = _own(found) if source == OURS else _read(model, layers, found, source, pairs, assumed or {})
    own = check_weights(model.weights, taken.arrays, _dtype(found.arrays))
    if target == OURS:
        return replace(taken, arrays=own)
    written = _write(model, layers, own, target, pairs)
    return replace(
        taken,
        arrays=written.arrays,
        told=(*taken.told, *written.told),
        assumed=(*taken.assumed, *written.assumed),
    )


def widened(array: Any) -> Any:
    """An array in which sums of its numbers are exact enough: float16 as float32."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _dtype(arrays: Mapping[str, Any]) -> str:
    """float64 where any array is, else float32."""
    return "float64" if any(a.dtype == np.float64 for a in arrays.values()) else "float32"


def _expanded(model: Model, layers: Sequence[Place], pairs: Mapping[str, str]) -> dict[str, str]:
    """The pairs for each layer and weight: the name of a module of ours (`bidirectional`) stands for all its layers."""
    known = {place.name for place in layers} | {place.module for place in layers} | {w.name for w in model.weights}
    for name in pairs.keys() - known:
        names = [place.name for place in layers]
        raise UserError(
            f"the model has no layer `{name}` to convert",
            "E691",
            f"its layers are {', '.join(f'`{n}`' for n in names) or 'none that other tools know'}",
        )
    modules = {p.name: next((pairs[n] for n in (p.module, p.run) if n in pairs), None) for p in layers}
    return {name: module for name, module in modules.items() if module is not None} | dict(pairs)


# --- ours from theirs -----------------------------------------------------------------------------------------------


def _own(found: Found) -> Converted:
    return Converted(found.arrays, found.notes)


def _read(
    model: Model, layers: Sequence[Place], found: Found, source: str, pairs: Mapping[str, str], told: Mapping[str, str]
) -> Converted:
    plain = _plainly_named(model, layers, found.arrays, pairs)
    theirs = [p for p in layers if not plain.keys() >= set(p.layer.weights.values())]
    groups = NAMINGS[source].group(found)
    _modules(groups, theirs, pairs)
    shapes = {w.name: w.shape for w in model.weights}
    search = Search(LAYOUTS[source], groups, shapes, pairs, options.told(source, layers, told))
    fits = matches(search, theirs)
    own: Arrays = {}
    for place in theirs:
        made, fit = read(search, place, fits[place.name]), fits[place.name]
        check(place, made, search.layout, fit.theirs.options, fit.arrays)
        own |= {place.layer.weights[local]: array for local, array in made.items()}
    rest = {name: a for name, (_, a) in plain.items() if name not in own}
    used = {name for fit in fits.values() for name in fit.names} | {plain[name][0] for name in rest}
    over = left(found, groups, fits, used)
    complete(model, own | rest, over, found.arrays)
    return Converted(
        own | rest,
        (
            *found.notes,
            *(f"{p.name} <- {fits[p.name].key}{lacking(search.layout, p, fits[p.name])}" for p in theirs),
            *(f"{name} <- `{plain[name][0]}` ({_how(name, pairs)})" for name in rest),
        ),
        tuple(assumptions(search, theirs, fits)),
        over,
    )


def _plainly_named(
    model: Model, layers: Sequence[Place], arrays: Arrays, pairs: Mapping[str, str]
) -> dict[str, tuple[str, Any]]:
    """Weights that stand in the file under our own names and of our sizes, or under those that `--map` gives: the name
    there, and the array. `NAME.T` is the array turned over. For a weight of no layer that others know, `/` may stand
    for `.`."""
    of_layers = {name for place in layers for name in place.layer.weights.values()}
    there = {_ours_of(name): name for name in reversed(arrays)}
    found: dict[str, tuple[str, Any]] = {}
    for weight in model.weights:
        name = weight.name if weight.name in of_layers else there.get(weight.name, "")
        if weight.name in pairs:
            found[weight.name] = (pairs[weight.name].removesuffix(".T"), _told(weight.name, pairs[weight.name], arrays))
        elif name in arrays and arrays[name].shape == weight.shape:
            found[weight.name] = (name, arrays[name])
    return found


def _how(weight: str, pairs: Mapping[str, str]) -> str:
    return "turned over" if pairs.get(weight, "").endswith(".T") else "as it is"


def _ours_of(name: str) -> str:
    return name.removesuffix(VARIABLE).removesuffix(":0").replace("/", ".")


def _told(weight: str, name: str, arrays: Arrays) -> Any:
    if name in arrays:
        return arrays[name]
    if name.removesuffix(".T") in arrays:
        return arrays[name.removesuffix(".T")].T
    raise UserError(f"the file has no array `{name}` for `{weight}`", "E691", _some(arrays))


def _some(names: Mapping[str, Any]) -> str:
    return f"it has {', '.join(f'`{n}`' for n in list(names)[:8])}{', ...' if len(names) > 8 else ''}"


def _modules(groups: Groups, layers: Sequence[Place], pairs: Mapping[str, str]) -> None:
    """UserError where `--map` names a module that the file has not."""
    modules = {key.module: key for key in groups}
    for place in layers:
        if place.name in pairs and pairs[place.name] not in modules:
            raise UserError(f"the file has no module `{pairs[place.name]}`", "E691", _some(modules))


# --- theirs from ours -----------------------------------------------------------------------------------------------


def _write(model: Model, layers: Sequence[Place], weights: Arrays, target: str, pairs: Mapping[str, str]) -> Converted:
    naming, layout = NAMINGS[target], LAYOUTS[target]
    made: Arrays = {}
    told, assumed, done = [], list[str](), set[str]()
    for place in (_renamed(place, layers, pairs) for place in layers):
        own = {local: weights[full] for local, full in place.layer.weights.items()}
        theirs = _written(model, place, own, layout)
        names = {local: naming.name(place, local) for local in theirs}
        _unlike_others(names.values(), made)
        made |= {names[local]: np.ascontiguousarray(array) for local, array in theirs.items()}
        done |= set(place.layer.weights.values())
        told.append(f"{place.name} -> {', '.join(names.values())}")
        assumed += _to_be_built(target, place, theirs)
    rest = {name: array for name, array in weights.items() if name not in done}
    _unlike_others(rest, made)
    told += [f"{name} -> {name} (no layer of {layout.title}: as it is)" for name in rest]
    return Converted(made | rest, tuple(told), tuple(assumed))


def _unlike_others(names: Iterable[str], made: Arrays) -> None:
    """UserError where an array would be written over another."""
    for name in names:
        if name in made:
            raise UserError(
                f"two arrays would be written as `{name}`", "E698", "give one of their layers another name with `--map`"
            )


def _renamed(place: Place, layers: Sequence[Place], pairs: Mapping[str, str]) -> Place:
    """The place under the name that `--map` gives, as the next layer of all that are given this name."""
    if place.name not in pairs:
        return place
    alike = [p.name for p in layers if pairs.get(p.name) == pairs[place.name] and p.reverse == place.reverse]
    path = tuple(re.split(r"[./]", pairs[place.name]))
    number, module = alike.index(place.name), ".".join(path)
    layer = replace(place.layer, path=path)
    return replace(place, layer=layer, module=module, number=number, run=module, depth=number)


def _to_be_built(target: str, place: Place, theirs: Arrays) -> list[str]:
    """What the layer there must be made with, since arrays do not say it."""
    found = options.theirs(target, place, theirs, {}, {})
    needed = [o for o in found.unsaid if found.options[o] not in (False, 0, "identity", SIGMOID)]
    kind = place.layer.kind
    if not needed:
        return []
    return [f"`{place.name}`: it must be built with {options.listed(target, kind, needed, found.options)}"]


def _written(model: Model, place: Place, own: Arrays, layout: Layout) -> Arrays:
    layer = place.layer
    if isinstance(layer, Plain):
        return write_plain(layout, layer, own)
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
    check(place, own, layout, options.theirs(layout.name, place, theirs, {}, {}).options, theirs)
    return theirs
