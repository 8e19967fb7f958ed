"""Running a Keras model in Keras. Only files whose every layer is known come here; code in them is refused all the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.importing.description import Read


def run_keras(path: str, made: Read, data: Mapping[str, Any]) -> list[Any] | None:
    """Its outputs in order; None where Keras, or what it runs on, is missing."""
    try:
        import keras
    except ImportError:
        return None
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        given = [np.asarray(data[p.theirs], "int32" if p.dtype == "int" else "float32") for p in made.inputs]
        results = model(given if len(given) > 1 else given[0], training=False)
    except Exception as error:
        raise UserError(f"keras does not run `{path}`, so that it cannot be checked", "E743") from error
    several = results if isinstance(results, (list, tuple)) else [results]
    return [keras.ops.convert_to_numpy(result) for result in several]
