"""A row of a state that is written, the others as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.equality import everything
from rnngraph.diagnostics.errors import UserError
from tests.support.constructs import MODELS

CELL = """
cell Tape {{
  input x: [n]
  input i: int
  state m: [4, n] = 0
  state s: [] = 0
  {statements}
  s' = sum(m')
  output m', s
}}
model M {{
  input x: seq[3]
  input i: seq int
  y, s, final = unroll Tape over x, i
  output y, s, final
  loss sum(last(y))
}}
"""


def model(*statements: str) -> rg.Model:
    return rg.parse(CELL.format(statements="\n  ".join(statements)))


def tape(x: Any, places: Any) -> Any:
    """The states of the model "rows that are written", for one row of the batch."""
    m, seen, sums = np.full((5, 3), 0.5), np.zeros(5, int), []
    for step, i in zip(x, places, strict=True):
        new = m.copy()
        new[i] = np.tanh(step + m[0])
        new[-1] = 2 * step * new[i][0]
        new[1:3] = m[:2] * 0.5
        new[(i + 1) % 5] = 0
        seen[i] += 1
        m = new
        sums.append(m.sum(0))
    return m, seen, np.array(sums)


@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_writes_apply_one_after_another(kernels: str) -> None:
    made, rng = rg.parse(MODELS["rows that are written"]), np.random.default_rng(0)
    data = {"x": rng.normal(size=(2, 4, 3)), "i": np.array([[0, 3, 2, 4], [4, 4, -9, 99]]), "x.lengths": [4, 2]}
    found = made.compile(kernels=kernels).run(data, {"w": np.eye(3)})
    for row, steps in enumerate((4, 2)):
        m, seen, sums = tape(data["x"][row, :steps], data["i"][row, :steps])
        np.testing.assert_allclose(found["final.m"][row], m, atol=1e-12)
        np.testing.assert_array_equal(found["final.seen"][row], seen)
        np.testing.assert_allclose(found["y"][row, :steps], sums, atol=1e-12)


def test_what_stands_in_other_rows_stays_and_what_is_written_over_has_no_gradient() -> None:
    made = model("m'[i] = log(x)")
    x = np.array([[1.0, -1.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    data = {"x": x[None], "i": [[2, 2, 0]]}
    with np.errstate(invalid="ignore"):
        found = everything(made.compile(gradient=True), data, {}, None)
    assert np.isnan(found["y"][0, 0, 2, 1]) and np.isfinite(found["y"][0, 1]).all()
    np.testing.assert_allclose(found["final.m"][0], [np.log(x[2]), [0, 0, 0], np.log(x[1]), [0, 0, 0]])
    np.testing.assert_allclose(found["gradient of x"][0], [[0, 0, 0], 1 / x[1], 1 / x[2]])


def test_a_row_is_written_over_a_whole_next_value() -> None:
    found = model("m' = 2 * m + 1", "m'[i] = x").compile().run({"x": np.ones((1, 2, 3)), "i": [[3, 1]]}, {})
    np.testing.assert_array_equal(found["final.m"][0, :, 0], [3, 1, 3, 3])


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (("m[i] = x", "m' = m"), "only the next value of a state is written row by row: `m'[i] = ...`"),
        (("m'[i] += x",), "write `m'[i] = m[i] + ...`"),
        (("m'[i, 0] = 1",), "write the whole row: `m'[i] = ...`"),
        (("m'[i] = x[:2]",), "`m'[i]` has 3 values, but `x[:2]` has 2 values"),
        (("m'[x[0]] = x",), "an index must be int, but `x[0]` is float"),
        (("m'[[i, i]] = x",), "one row is written at a time, but `[i, i]` has 2 values"),
        (("m'[4] = x",), "there is no element 4: there are 4 values"),
        (("m'[1:9] = 0",), "lies outside the 4 values there are"),
        (("m'[i] = x", "m' = m"), "the state `m` has two next values"),
        (("m' = m", "q'[0] = x"), "there is no state `q`"),
        (("m'[i] = i > 0",), "`m'[i]` is float, but `i > 0` is bool"),
        (("m' = m", "s'[0] = 1"), "write `s' = ...`"),
    ],
)
def test_what_cannot_be_written_is_told(statements: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as refused:
        model(*statements).made  # noqa: B018
    assert message in str(refused.value)


def test_a_row_that_is_not_there_is_an_error_of_the_run() -> None:
    with pytest.raises(UserError, match="an index is 4 at step 1, row 0, expected 0 to 3"):
        model("m'[i + 1] = x").compile().run({"x": np.ones((1, 2, 3)), "i": [[0, 3]]}, {})
