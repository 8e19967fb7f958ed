"""The proof of a conversion: our layer, compiled, and the other tool's, as documented, on the same small batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source
from rnngraph.exchange.conversion import references
from rnngraph.exchange.conversion.layers import Place, Plain
from rnngraph.exchange.conversion.layout import Layout
from rnngraph.files.safetensors import Arrays
from rnngraph.model import Model

TOLERANCE = 1e-5
"""Largest difference of the outputs, relative to the largest: weights may be float32."""


def check(place: Place, own: Arrays, layout: Layout, has: Mapping[str, Any], theirs: Arrays) -> None:
    """Runs both layers, theirs with the options that it has, on a batch of two rows of four steps; UserError where
    they differ. What is no more than a matrix is not run."""
    layer = place.layer
    if layer.kind in ("Dense", "Embedding"):
        return
    x = np.random.default_rng(0).normal(size=(2, 4, layer.inputs))
    program = Model.read(Source("<text>", layer.model_text(place.backwards))).compile()
    ours = program.run({"x": x}, {f"net.{local}": np.asarray(array, np.float64) for local, array in own.items()})["y"]
    wide = {n: np.asarray(a, np.float64) for n, a in theirs.items()}
    if isinstance(layer, Plain):
        named = {ours: wide[name] for ours, name in layout.plain[layer.kind].items() if name in wide}
        other = references.plain(layer.kind, has, named, x)
    else:
        other = layout.run(layer.kind, has, wide, x)
    difference = float(np.abs(ours - other).max(initial=0.0))
    if not difference <= TOLERANCE * max(1.0, float(np.abs(other).max(initial=0.0))):
        raise UserError(
            f"`{place.name}` as converted gives different numbers than {layout.title}'s layer: they differ by"
            f" {difference:.3g}",
            "E695",
            f"the layer may have options that {layer.text} has not",
        )
