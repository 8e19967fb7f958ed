"""The characters that ids stand for: kept with data, and with the weights that were trained on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnngraph.files.tensors import Arrays
from rnngraph.weights.save_load import save_weights

ALPHABET = "alphabet"
"""The name, in data and in the notes of a weight file, of the characters that ids stand for."""


def without_alphabet(data: Mapping[str, Any]) -> Arrays:
    """The data without what is told of it."""
    return {name: array for name, array in data.items() if name != ALPHABET}


def keep_weights(path: str, weights: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Writes weights, with the alphabet of the data that they were trained on, where it has one."""
    notes = {ALPHABET: json.dumps([str(c) for c in np.asarray(data[ALPHABET]).tolist()])} if ALPHABET in data else {}
    save_weights(path, dict(weights), notes)


def alphabet_of(weights: str, path: str | None) -> list[str]:
    """The characters of a file, or those that stand in the weight file; none where there are none."""
    from rnngraph.files.tensors import read_tensors
    from rnngraph.language.syntax.parser import read_source

    if path is not None:
        return list(dict.fromkeys(read_source(Path(path)).text))
    _, notes = read_tensors(weights)
    return list(json.loads(notes.get(ALPHABET, "[]")))
