"""What the page is told, against what is known by other ways."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.analysis.cost import cost
from rnngraph.analysis.results import CompareRow, Comparison, Difference, LedgerEntry, Spread
from rnngraph.check import check
from rnngraph.diagnostics.source import Source
from rnngraph.explore.comparison import comparison_json
from rnngraph.explore.costs import Way, way_json, ways
from rnngraph.explore.memory import memory_json
from rnngraph.explore.session import Given, Session
from rnngraph.explore.stages import WHY, stages_json
from rnngraph.explore.state_gradients import LAST, gradients_of_states
from rnngraph.explore.values import Run, values_json
from rnngraph.language.syntax.parser import read_source
from rnngraph.passes.pipeline import STAGES
from rnngraph.run_options import run_options

RNN = """\
model M {
  input x: seq[3]
  y, final = unroll RNN(5) over x
  output y, final
}
"""
TAGGER = """\
model Tagger(units = 64) {
  input x: seq[4]
  input tag: seq int
  y, _ = unroll LSTM(units) over x
  scores = Dense(3)(y)
  output scores
  loss cross_entropy(scores, tag)
}
"""


def nodes(level: dict[str, Any]) -> Any:
    for node in level["nodes"]:
        yield node
        if "loop" in node:
            yield from nodes(node["loop"]["body"])


# --- stages ------------------------------------------------------------------------------------------------------


def test_every_stage_is_explained() -> None:
    assert [*WHY, "unroll"] == list(STAGES)


def test_what_a_pass_changed_is_marked() -> None:
    stages = {s["name"]: s for s in stages_json(rg.parse(TAGGER))["stages"]}
    assert not any("mark" in node for node in nodes(stages["elaborate"]["level"]))
    moved = [n for n in stages["hoist"]["level"]["nodes"] if n.get("mark") == "moved"]
    assert "contract" in {n["op"] for n in moved}  # the product with the inputs leaves the loop
    backward = [n for n in nodes(stages["grad"]["level"]) if n.get("back") and n.get("kind") != "param"]
    assert backward and all(n.get("mark") == "new" for n in backward)
    assert {g["op"] for g in stages["split"]["gone"]} == {"concat"}  # of the joined operands


def test_places_lead_to_the_text() -> None:
    told = stages_json(rg.parse(TAGGER))
    loop = next(n for n in told["stages"][0]["level"]["nodes"] if "loop" in n)
    file, start, end, line = told["spans"][loop["span"]]
    assert told["files"][file]["text"][start:end] == "unroll LSTM(units) over x" and line == 4


# --- costs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [Way("dynamic", True), Way("dynamic", False), Way("dynamic", True, "sqrt")])
def test_a_law_gives_the_bytes_of_a_plan(way: Way) -> None:
    """At sizes that it was not made from, with the plan that `cost` makes there."""
    model = rg.parse(TAGGER)
    options = run_options(model, dtype_default="float32")
    told = way_json(model, options, 100, 32, ways(model).index(way))
    how = way.options(options)
    steps, batch, units = 1600, 128, 128
    found = cost(rg.parse(TAGGER, units=units), how.training_step if way.gradient else how.compiled, steps, batch)
    exact = {name for name, law in told["laws"].items() if law["exact"]}
    assert {"parameters", "saved"} <= exact
    for name in exact - {"workspace"}:  # which depends on how arrays are packed
        law = told["laws"][name]
        t = Fraction(40) if law["root"] else Fraction(steps)
        value = sum(Fraction(n, d) * t**p * batch**q * units**r for p, q, r, n, d in law["terms"])
        assert value == found.bytes[name], name


# --- memory ------------------------------------------------------------------------------------------------------


def test_the_arrays_add_up_to_each_moment() -> None:
    model = rg.parse(TAGGER)
    told = memory_json(model, run_options(model, dtype_default="float32"), 6, 4)
    assert [panel["mode"] for panel in told["panels"]] == ["static", "dynamic"]
    for panel in told["panels"]:
        for moment, row in enumerate(panel["bytes"]):
            alive = [s for s in panel["slots"] if s["first"] <= moment <= s["last"]]
            sums = [sum(s["bytes"] for s in alive if s["category"] == c) for c in range(len(told["categories"]))]
            assert sums == row
        assert 0 < panel["backward"] < len(panel["bytes"])


# --- values ------------------------------------------------------------------------------------------------------


def test_gradients_of_states_are_those_of_the_chain_rule() -> None:
    model = rg.parse(RNN)
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(2, 4, 3)), model.init(1)
    kernel = weights["rnn.kernel"][3:]
    y = model.compile().run({"x": x}, weights)["y"]
    reached, expected = np.ones((2, 5)), np.zeros((2, 4, 5))
    for t in reversed(range(4)):
        reached = (reached * (1 - y[:, t] ** 2)) @ kernel.T
        expected[:, t] = reached
    ((of, name, axis, array),) = gradients_of_states(model, {"x": x}, weights)
    assert (of, name, axis) == (LAST, "rnn.h", "time")
    np.testing.assert_allclose(array, expected, rtol=1e-10)


def test_gradients_of_states_begin_at_each_rows_own_end() -> None:
    model = rg.parse(RNN)
    x, weights = np.random.default_rng(0).normal(size=(2, 4, 3)), model.init(1)
    ((*_, array),) = gradients_of_states(model, {"x": x, "x.lengths": np.array([2, 4])}, weights)
    for row, own in enumerate((2, 4)):
        ((*_, alone),) = gradients_of_states(model, {"x": x[row : row + 1, :own]}, weights)
        np.testing.assert_allclose(array[row, :own], alone[0], rtol=1e-10)


def test_values_are_those_of_a_run() -> None:
    model = rg.parse(TAGGER, units=8)
    data = {"x": np.random.default_rng(0).normal(size=(2, 5, 4)), "tag": np.zeros((2, 5), int)}
    weights = model.init(0)
    told = values_json(model, Run(data, weights, ""))
    gate = next(s for s in told["series"] if s["name"] == "lstm.f")
    expected = model.compile(watch=("f",)).run(data, weights)["f"]
    np.testing.assert_allclose(gate["rows"], expected, rtol=1e-3)
    assert {g["of"] for g in told["gradients"]} == {"the loss", LAST}
    assert any(line["forward"] > 0 for line in told["times"])


def test_values_of_rows_without_steps_are_none() -> None:
    model = rg.parse(RNN)
    told = values_json(model, Run({"x": np.ones((2, 0, 3))}, model.init(0), ""))
    assert all(s["rows"] == [[], []] and s["steps"] == 0 for s in told["series"])


def test_rows_that_are_given_are_run(tmp_path: Path) -> None:
    data = {"x": np.ones((9, 5, 3)), "x.lengths": np.array([5, 2, 3, 4, 5, 5, 5, 5, 5])}
    session = Session(Source("m.rnn", RNN), given=Given(data, None, "rows of `d.npz`"))
    told = session.part("values", RNN)["values"]
    y = next(s for s in told["series"] if s["name"] == "y")
    assert told["how"] == "rows of `d.npz`" and len(y["rows"]) == 4
    assert y["rows"][1][2] == [0.0] * 5  # behind the end of that row


# --- compare -----------------------------------------------------------------------------------------------------


def test_a_comparison_is_told_as_it_is() -> None:
    ledger = (LedgerEntry("saved", 100, 100, "10 T"), LedgerEntry("gradients", 7, 8, "7"))
    sizes = dict.fromkeys(("nodes_forward", "edges_forward", "nodes_gradient", "edges_gradient"), 3)
    row = {**sizes, "graph_bytes": 1, "program_bytes": 1, "compile_seconds": 0.5, "first_ms": 1.0}
    rows = [CompareRow(m, 10, **row, later_ms=Spread(2.0, 1.0, 3.0), ledger=ledger) for m in ("static", "dynamic")]
    differences = (Difference("y", 0.0, True), Difference("grad:w", 1e-9, False))
    told = comparison_json(Comparison("M", 2, "float32", "numpy", False, differences, tuple(rows)))
    assert not told["equal"] and "grad:w" in told["verdict"]
    assert [d["name"] for d in told["differences"]] == ["grad:w", "y"]  # what differs comes first
    (static, _) = told["modes"]
    assert static["categories"] == ["saved", "gradients"] and static["laws"] == ["10 T", "7"]
    assert [entry["right"] for entry in static["ledger"][0]["bytes"]] == [True, False]
    assert static["points"][0]["run"] == [0.002, 0.001, 0.003] and static["points"][0]["bytes"] == 108


# --- the text ----------------------------------------------------------------------------------------------------


def test_the_errors_are_those_of_check(tmp_path: Path) -> None:
    path = tmp_path / "m.rnn"
    path.write_text(RNN.replace("over x", "over z"))
    found = Session(read_source(path)).part("model", path.read_text())
    assert found["model"] is None
    assert found["diagnostics"] == [d.as_json() for d in check(str(path))] != []


def test_no_file_is_read_but_those_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "secret.rnn").write_text("cell Secret {\n  input x: [n]\n  output x\n}\n")
    (tmp_path / "cells.rnn").write_text("cell Mine {\n  input x: [n]\n  output x\n}\n")
    path = tmp_path / "m.rnn"
    path.write_text('import "cells.rnn"\n' + RNN)
    session = Session(read_source(path))
    assert session.part("model", path.read_text())["model"] is not None
    for name in ("secret.rnn", "../" * 9 + "etc/passwd", "\0", "x" * 5000):
        found = session.part("model", f'import "{name}"\n{RNN}')
        assert found["model"] is None
        if "\0" not in name:
            assert [d["code"] for d in found["diagnostics"]] == ["E669"]


def test_numbers_are_float32_where_nobody_says() -> None:
    session = Session(Source("m.rnn", RNN))
    model, _ = session.read(RNN)
    assert model is not None and session.options(model).dtype == "float32"
    assert Session(session.source, flags={"dtype": "float64"}).options(model).dtype == "float64"


def test_what_cannot_be_shown_is_told() -> None:
    session = Session(Source("m.rnn", RNN), given=Given({"x": np.ones((2, 5, 7))}, None, ""))
    found = session.part("values", RNN)
    assert found["values"] is None and found["diagnostics"][-1]["severity"] == "error"
