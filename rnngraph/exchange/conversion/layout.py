"""What a layout of another tool is: which arrays a layer has there, and how gates are ordered in them.

Each reads a layer's arrays (by local names) into our own and writes ours; what a layer of that tool computes stands in
`references`, written from its documentation, and the two are always checked against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from rnngraph.exchange.conversion.layers import Plain
from rnngraph.exchange.recognise import SIGMOID, Cell
from rnngraph.files.safetensors import Arrays


class Unsayable(Exception):
    """Why a layer of another tool cannot be a cell (or cannot hold these arrays)."""


class Layout(Struct, frozen=True):
    """`read(cell, options, theirs)` gives our arrays, `write(cell, ours)` theirs, both by local names; `run(kind,
    options, theirs, x)` is what their layer computes from zero states: (batch, time, inputs) to (batch, time, width).
    `options` are those of their layer (`options`). `may_lack` are arrays that a layer may be without: they count as
    zeros. `plain` are the local names of layers without states, ours to theirs."""

    name: str
    title: str
    read: Callable[[Cell, Mapping[str, Any], Arrays], Arrays]
    write: Callable[[Cell, Arrays], Arrays]
    run: Callable[[str, Mapping[str, Any], Arrays, Any], Any]
    may_lack: frozenset[str]
    plain: Mapping[str, Mapping[str, str]]


NORM = {"gain": "gamma", "offset": "beta"}
"""Local names of a layer norm in TensorFlow and Keras, ours to theirs."""


def same(local: str) -> dict[str, str]:
    """Names that are the same there."""
    return {name: name for name in local.split()}


def refuse(cell: Cell, tool: str, *, activations: tuple[str, ...], allowed: tuple[str, ...] = ()) -> None:
    """Raises Unsayable where the cell has an option that the tool's layer has not."""
    if cell.activation not in activations:
        raise Unsayable(f"{tool}'s {cell.kind} has no activation `{cell.activation}`")
    if cell.gate != SIGMOID and "gate" not in allowed:
        raise Unsayable(f"{tool}'s {cell.kind} has no gate activation `{cell.gate}`")
    for option in ("peepholes", "cell_clip", "projection", "projection_clip", "coupled"):
        if cell.options.get(option) and option not in allowed:
            raise Unsayable(f"{tool}'s {cell.kind} has no `{option}`")


def bias_of(theirs: Arrays, name: str, like: Any, size: int) -> Any:
    """A bias, or zeros where the layer has none."""
    return theirs.get(name, np.zeros(size, like.dtype))


# --- layers without states ------------------------------------------------------------------------------------------


def read_plain(layout: Layout, layer: Plain, theirs: Arrays) -> Arrays:
    """Our arrays of a layer without states; what it is without counts as zeros, a gain as ones."""
    names = layout.plain[layer.kind]
    found = {ours: theirs[name] for ours, name in names.items() if name in theirs}
    if layer.kind == "Dense":
        kernel = found["kernel"].T if layout.name == "torch" else found["kernel"]
        return {"kernel": kernel, "bias": found.get("bias", np.zeros(kernel.shape[-1], kernel.dtype))}
    if layer.kind == "LayerNorm":
        some = next(iter(found.values()))
        return {"gain": np.ones_like(some), "offset": np.zeros_like(some), **found}
    return found


def write_plain(layout: Layout, layer: Plain, own: Arrays) -> Arrays:
    """Their arrays of a layer without states."""
    turned = layout.name == "torch" and layer.kind == "Dense"
    return {name: own[ours].T if turned else own[ours] for ours, name in layout.plain[layer.kind].items()}
