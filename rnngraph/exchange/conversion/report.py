"""The account of a conversion: what had no place, what the model lacks, what no file can say and was assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.conversion import options
from rnngraph.exchange.conversion.layers import Place, Plain
from rnngraph.exchange.conversion.layout import Layout
from rnngraph.exchange.conversion.matching import Fit, Search
from rnngraph.exchange.conversion.naming import Groups, of_training
from rnngraph.exchange.formats.contents import Found
from rnngraph.files.safetensors import Arrays
from rnngraph.model import Model
from rnngraph.weights.checks import shape_text

OF_TRAINING = "kept by the optimiser"


def lacking(layout: Layout, place: Place, fit: Fit) -> str:
    """What a layer of the file is without, and counts as zeros (a gain as ones)."""
    kinds = layout.plain.get(place.layer.kind)
    expected = set(kinds.values()) if kinds else layout.may_lack
    missing = sorted(expected - set(fit.arrays))
    return f" (without {', '.join(f'`{name}`' for name in missing)})" if missing else ""


def left(found: Found, groups: Groups, fits: Mapping[str, Fit], used: set[str]) -> dict[str, str]:
    """What of the file has no place in the model, with a reason where there is one."""
    keys = {fit.key for fit in fits.values()}
    over = {name: _why_left(name, found.arrays, used) for name in found.arrays if name not in used}
    for key, group in groups.items():
        if key not in keys and key.reverse and set(group.names.values()) <= used:
            over[f"{key.module} reversed"] = "the model has one direction"
    return over


def _why_left(name: str, arrays: Arrays, used: set[str]) -> str:
    if of_training(name, arrays):
        return OF_TRAINING
    array = arrays[name]
    same = (n for n in used if array.ndim > 1 and n in arrays and np.array_equal(arrays[n], array))
    equal = next(same, None)
    return f"equal to `{equal}`" if equal else ""


def complete(model: Model, taken: Arrays, left: Mapping[str, str], arrays: Arrays) -> None:
    """UserError with every weight of the model that has no value, and what of the file could be one."""
    problems = [
        Diagnostic(
            "E655",
            f"no value is given for the weight `{w.name}`",
            w.span,
            f"declared here, {shape_text(w.shape)}",
            help=_could_be(w.name, w.shape, {name: arrays[name] for name in left if name in arrays}),
        )
        for w in model.weights
        if w.name not in taken
    ]
    if problems:
        raise UserError(problems)


def _could_be(name: str, shape: tuple[int, ...], free: Arrays) -> str:
    for mark, turned in (("", False), (".T", True)):
        fitting = [n for n, array in free.items() if (array.T if turned else array).shape == shape]
        if fitting:
            return f"`{fitting[0]}` has its sizes{' turned over' if mark else ''}: `--map {name}={fitting[0]}{mark}`"
    return f"`--map {name}=NAME` takes an array of the file for it"


# --- what is assumed ------------------------------------------------------------------------------------------------


def assumptions(search: Search, layers: Sequence[Place], fits: Mapping[str, Fit]) -> list[str]:
    """One line for all layers of which the same is assumed."""
    tool, lines = search.layout.name, dict[str, list[str]]()
    for place in layers:
        fit = fits[place.name]
        if fit.theirs.unsaid:
            values = options.listed(tool, place.layer.kind, fit.theirs.unsaid, fit.theirs.options)
            first = options.WORDS[tool][place.layer.kind][fit.theirs.unsaid[0]]
            lines.setdefault(f"{values} (the file does not say; `--assume {first}=...` does)", []).append(place.name)
        for line in (*_alike(search, place, fit), *_beside(tool, place, fit)):
            lines.setdefault(line, []).append(place.name)
    return [f"{', '.join(f'`{name}`' for name in names)}: {line}" for line, names in lines.items()]


def _alike(search: Search, place: Place, fit: Fit) -> list[str]:
    """What an array that stands alone, and is named as many are, may be as well."""
    module = search.groups[fit.key]
    if len(module.arrays) > 1 or "kind" in module.says or not isinstance(place.layer, Plain):
        return []
    if fit.key == search.key(place) and place.chosen:
        return []
    if search.layout.name != "torch" and "matrix" not in module.arrays:
        return []
    others = {"Dense": "an embedding", "Embedding": "a dense layer without bias", "LayerNorm": "a norm without a mean"}
    other = others[place.layer.kind]
    return [f"{fit.key} holds one array, which {other} could hold as well (`--map {place.name}=...` takes another)"]


def _beside(tool: str, place: Place, fit: Fit) -> list[str]:
    """What the file says, and the model must say elsewhere; and which way a layer runs where the tool has one way."""
    said, lines = fit.theirs.said.get("activation"), []
    if place.layer.kind == "Dense" and said and said.value != place.layer.options["activation"]:
        lines.append(f"the file says {said.words}, which the model must have after the layer")
    known = "reverse" in fit.theirs.said or "reverse" in options.WORDS[tool].get(place.layer.kind, {})
    if place.backwards and not place.reverse and not known:
        lines.append("it runs backwards here, and the file does not say which way it ran")
    return lines
