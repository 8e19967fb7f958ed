"""A value that is not finite in a training is told by the user's own row and step, whatever batch it runs in."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import rnngraph as rg

MODEL = rg.parse("""
model Logs {
  input x: seq[1]
  input y: seq
  h, final = unroll RNN(2) over log(x)
  loss squared_error(Dense(1)(h)[0], y)
}
""")
ROW, STEP = 6, 5


@pytest.mark.parametrize(
    "recipe",
    [
        {"batch": 9},
        {"batch": 2, "accumulate": 3},
        {"batch": 4, "shards": 3},
        {"batch": 9, "segment": 3},
        {"batch": 2, "segment": 2, "accumulate": 4},
        {"batch": 3, "segment": 3, "shards": 2, "accumulate": 2},
        {"batch": 2, "validation": 0.3, "split": "last"},
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_nan_of_a_batch_is_told_by_row_and_step_of_the_data(recipe: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(0)
    data = {"x": rng.uniform(1, 2, (10, 8, 1)), "y": rng.normal(size=(10, 8))}
    data["x"][ROW, STEP] = -1
    with pytest.raises(rg.UserError, match="E731") as error:
        MODEL.fit(data, epochs=1, seed=seed, **recipe)
    told = error.value.diagnostics[0].message
    assert f"(row {ROW} of the data)" in told
    begins = re.search(r"begin at step (\d+) of the data", told)
    within = re.search(r"nan at step (\d+),", told)
    assert within and (int(begins.group(1)) if begins else 0) + int(within.group(1)) == STEP
    segments = -(-8 // recipe["segment"]) if "segment" in recipe else 1
    batch = re.search(r"epoch 1, batch (\d+)", told)
    assert batch and (int(batch.group(1)) - 1) % segments == STEP // recipe.get("segment", 8)
