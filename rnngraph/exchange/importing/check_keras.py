"""Running a Keras model in Keras. Only files all of whose layers are known come here; code in them stays refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.exchange.importing.check import NotRun, said
from rnngraph.exchange.importing.description import Read


def run_keras(path: str, made: Read, data: Mapping[str, Any]) -> list[Any] | NotRun:
    """Its outputs in order; why not, where Keras is missing, or does not read the file itself."""
    try:
        import keras
    except ImportError:
        return NotRun("that takes the package `keras`, with what it runs on")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        return NotRun(f"keras does not load the file: {said(error)}")
    try:
        given = [np.asarray(data[p.theirs], "int32" if p.dtype == "int" else "float32") for p in made.inputs]
        results = model(given if len(given) > 1 else given[0], training=False)
    except Exception as error:
        return NotRun(f"keras does not run the file on any data that were tried: {said(error)}", True)
    several = results if isinstance(results, (list, tuple)) else [results]
    return [keras.ops.convert_to_numpy(result) for result in several]
