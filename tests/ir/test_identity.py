"""What a graph computes does not depend on how its text is laid out, or what is called how inside."""

from __future__ import annotations

import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import UserError
from rnngraph.ir.identity import identity_of

SHIFTED = """
model Shifted {
  input x: seq[3]
  input y: seq[3]
  seen = unroll GRU(3) over [x, shift(x, 1)]
  output seen
  loss squared_error(seen, y)
}
"""


def identity(text: str) -> str:
    return identity_of(rg.parse(text).graph).whole


def test_the_text_of_a_sequence_is_no_part_of_what_is_computed() -> None:
    assert identity(SHIFTED.replace("[x, shift(x, 1)]", "[x,\n    shift(x, 1),\n  ]")) == identity(SHIFTED)
    named = SHIFTED.replace("seen =", "both = [x, shift(x, 1)]\n  seen =").replace("over [x, shift(x, 1)]", "over both")
    assert identity(named) == identity(SHIFTED)
    assert identity(SHIFTED.replace("shift(x, 1)", "shift(x, 2)")) != identity(SHIFTED)


def test_weights_are_those_of_a_text_that_is_laid_out_anew() -> None:
    data = {"x": [[[0.1, 0.2, 0.3]] * 4] * 2, "y": [[[0.3, 0.2, 0.1]] * 4] * 2}
    weights = rg.parse(SHIFTED).fit(data, epochs=1).weights
    laid_out = rg.parse(SHIFTED.replace("[x, shift(x, 1)]", "[\n    x,\n    shift(x, 1),\n  ]"))
    assert laid_out.evaluate(data, weights) == rg.parse(SHIFTED).evaluate(data, weights)
    with pytest.raises(UserError, match="trained for another model"):
        rg.parse(SHIFTED.replace("shift(x, 1)", "shift(x, 2)")).evaluate(data, weights)
