"""Exported models as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnngraph.exchange.export.request import Wanted
from rnngraph.files.archives import write_npz
from rnngraph.files.atomic_writes import PathLike, write_aside
from rnngraph.model import Model


def write_onnx(path: PathLike, model: Model, weights: Mapping[str, Any], wanted: Wanted, operators: bool) -> bool:
    """Writes the model as ONNX; whether a cell of it is one of ONNX's own operators."""
    from rnngraph.exchange.export.onnx.export import operators_in, to_onnx

    content = to_onnx(model, weights, wanted, operators)
    write_aside(path, content)
    return bool(operators_in(content))


def write_numpy(path: PathLike, model: Model, weights: Mapping[str, Any], wanted: Wanted) -> list[Path]:
    """Writes the model as one Python file; the files that are written, large weights in one beside it."""
    from rnngraph.exchange.export.numpy.export import beside, to_numpy

    written = to_numpy(model, weights, wanted)
    own = beside(str(path))
    if written.arrays is not None:
        write_npz(own, written.arrays)
    write_aside(path, written.text.encode())
    return [own, Path(path)] if written.arrays is not None else [Path(path)]
