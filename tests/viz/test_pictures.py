"""What pictures of models show: boxes, columns of steps, the backward pass."""

from __future__ import annotations

import time
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.cli.main import exit_code
from rnngraph.diagnostics.errors import UserError
from rnngraph.ir.graph import Graph, graph_input
from rnngraph.ir.types import Type
from rnngraph.ops import call
from rnngraph.viz.box_texts import bytes_text
from rnngraph.viz.folded_steps import columns
from rnngraph.viz.picture import picture
from rnngraph.viz.scene import Scene
from rnngraph.viz.write import Picture
from tests.support.hand_built import stack_model


@cache
def drawn(name: str, **style: Any) -> Picture:
    return rg.load(f"examples/{name}.rnn").render(**style)


def scene(**options: Any) -> Scene:
    graph, block = stack_model()
    return picture(graph, block, **options).scene


def titles(found: Scene, kind: str) -> list[str]:
    return [box.title for box in found.boxes.values() if box.kind == kind]


def texts(found: Scene) -> set[str]:
    return {" ".join(box.lines) for box in found.boxes.values()}


# --- loops ---


def test_a_closed_loop_has_a_port_for_each_binding() -> None:
    (loop,) = [box for box in scene(level=1).boxes.values() if box.kind == "loop"]
    assert loop.title == "LSTM(4) >> LSTM(5) over time"
    assert [(p.role, p.label, p.detail) for p in loop.ports] == [
        ("carry", "0.c", "[4]"), ("carry", "0.h", "[4]"), ("carry", "1.c", "[5]"), ("carry", "1.h", "[5]"),
        ("per step", "x", "[3]"),
        ("captured", "0.kernel", "[7, 16]"), ("captured", "0.bias", "[16]"),
        ("captured", "1.kernel", "[9, 20]"), ("captured", "1.bias", "[20]"),
        ("last", "0.c", "[4]"), ("last", "0.h", "[4]"), ("last", "1.c", "[5]"), ("last", "1.h", "[5]"),
        ("stacked", "1.h", "[5]"),
    ]  # fmt: skip


def test_an_open_loop_shows_the_users_equations_and_feeds_back() -> None:
    found = scene()
    assert {"[x, h] @ kernel", "split(... + bias, 4)", "sigmoid(o) * tanh(c')"} <= texts(found)
    assert "sigmoid(f + forget_bias) * c + sigmoid(i) * tanh(j)" in texts(found)
    assert "i, j, f, o" in titles(found, "pointwise")
    back = [edge for edge in found.edges if edge.back]
    assert len(back) == 4
    assert all(found.boxes[edge.head.box].kind == "state" for edge in back)
    assert {frame.title for frame in found.frames.values()} >= {"LSTM 0", "LSTM 1"}


def test_the_levels_are_a_box_for_each_cell_the_blocks_and_every_equation() -> None:
    model = rg.load("examples/dates.rnn")
    one, two, three = (model.render(unroll="static", level=level).scene for level in (1, 2, 3))
    assert titles(one, "block").count("AdditiveAttention") > 0
    assert "AdditiveAttention" not in titles(two, "block") and "GRU" in titles(two, "block")
    assert not titles(three, "block")
    assert len(one.boxes) < len(two.boxes) < len(three.boxes)
    with pytest.raises(UserError, match="no level 4"):
        model.render(level=4)


def test_a_picture_that_nobody_asked_more_of_fits_a_page() -> None:
    """Inches: no picture of an example is larger than a sheet of A3 at half its size."""
    for unroll in ("static", "dynamic"):
        spots = drawn("dates", unroll=unroll).laid_out[1].spots.values()
        assert max(s.area.right for s in spots) - min(s.area.left for s in spots) < 72 * 2 * 16.5
        assert max(s.area.top for s in spots) - min(s.area.bottom for s in spots) < 72 * 2 * 16.5


def test_detail_shows_every_op() -> None:
    plain, fine = scene(level=3), scene(detail=True)
    assert titles(fine, "pointwise").count("sigmoid") == 6
    assert len(fine.boxes) > 2 * len(plain.boxes)


def test_parameters_are_a_badge_and_one_box() -> None:
    for options in ({}, {"level": 1}, {"unrolled": True}, {"unrolled": True, "level": 1}):
        found = scene(**options)
        assert sorted(titles(found, "parameter")) == ["stack.0", "stack.1"]
        assert not [e for e in found.edges if found.boxes[e.tail.box].kind == "parameter"]
        badges = {b for part in (*found.boxes.values(), *found.frames.values()) for b in part.badges}
        assert badges == {"stack.0", "stack.1"}


# --- steps ---


def test_a_static_picture_has_a_column_for_each_step_and_folds_the_middle() -> None:
    found = scene(unrolled=True, steps=50, level=2)
    assert found.axes["time"].steps == ("t = 0", "t = 1", "47 more steps", "t = 49")
    assert found.axes["time"].folded == (False, False, True, False)
    assert titles(found, "block") == ["LSTM"] * 8
    assert {"x[0]", "x[1]", "x[2..48]", "x[49]"} == set(titles(found, "input"))
    assert {"y[0]", "y[49]"} < set(titles(found, "output"))


def test_a_static_picture_costs_the_same_for_any_number_of_steps() -> None:
    began = time.process_time()
    found = scene(unrolled=True, steps=10**9)
    assert time.process_time() - began < 1
    assert found.axes["time"].steps[2] == "999,999,997 more steps"


@pytest.mark.parametrize(("steps", "fold", "shown"), [(1, 6, 1), (6, 6, 6), (7, 6, 4), (50, 12, 7), (3, 1, 3)])
def test_columns(steps: int, fold: int, shown: int) -> None:
    found = columns("time", steps, fold)
    assert len(found) == shown
    assert sum(column.skipped or 1 for column in found) == steps
    assert [column.step for column in found] == sorted(column.step for column in found)


def test_a_counted_loop_has_its_own_number_of_columns() -> None:
    assert len(columns("3@for", 50)) == 3


def test_all_layers_over_an_axis_share_its_columns() -> None:
    """Embedding, both directions of both layers, and what reads them, in each column; the states go both ways."""
    found = drawn("word_ends", unroll="static", level=2).scene
    inside = [b for b in found.boxes.values() if b.slot and b.slot.column == 0]
    assert [b.title for b in inside].count("LSTM") == 4
    assert {"Embedding", "Dense", "letters[0]", "found[0]"} <= {b.title for b in inside}
    slots = {key: box.slot for key, box in found.boxes.items()}
    states = [(slots[e.tail.box], slots[e.head.box]) for e in found.edges if e.kind == "state"]
    assert {two.column - one.column for one, two in states if one and two} == {1, -1}


def test_columns_stand_in_the_order_of_time_and_equal_boxes_at_equal_heights() -> None:
    scene, places = drawn("word_ends", unroll="static", level=2).laid_out
    rows: dict[str, list[Any]] = {}
    for key, spot in places.spots.items():
        if slot := scene.boxes[key].slot:
            rows.setdefault(slot.row, []).append((slot.column, spot))
    assert len(rows) > 8
    for row in rows.values():
        ordered = [spot for _, spot in sorted(row, key=lambda item: item[0])]
        assert all(a.area.right < b.area.left for a, b in pairwise(ordered))
        assert max(s.y for s in ordered) - min(s.y for s in ordered) < 0.01


def test_encoder_and_decoder_are_bands_of_their_own_axes() -> None:
    found = drawn("dates", unroll="static", level=1).laid_out[0]
    assert set(found.axes) == {"source", "target", "11@for"}


def test_a_row_shifted_by_one_comes_from_the_column_before() -> None:
    found = drawn("forecast", unroll="static", steps=3, level=3).scene
    pairs = {
        (found.boxes[e.tail.box].title, two.column)
        for e in found.edges
        if (two := found.boxes[e.head.box].slot) and "shift" in " ".join(found.boxes[e.head.box].lines)
    }
    assert pairs == {("known[0]", 0), ("known[0]", 1), ("known[1]", 1), ("known[1]", 2), ("known[2]", 2)}


def test_what_is_asked_of_the_last_step_comes_from_the_last_column() -> None:
    found = drawn("digits", unroll="static").scene
    (last,) = [box.key for box in found.boxes.values() if box.lines == ("last(y)",)]
    assert [e.tail.box.split("/")[0] for e in found.edges if e.head.box == last] == ["time@3"]


def test_k_steps_per_turn_are_k_copies_in_a_loop() -> None:
    found = drawn("stack", unroll="4", level=2).scene
    assert found.axes["time"].steps == ("t", "t + 1", "t + 2", "t + 3")
    (states,) = [key for key, box in found.boxes.items() if box.title == "at t"]
    back = [edge for edge in found.edges if edge.back]
    assert {edge.head.box for edge in back} == {states} and len(back) == 2
    assert all(edge.tail.box.startswith("time@3") for edge in back)


# --- the backward pass ---


def arrows(found: Scene, kind: str, column: int) -> set[tuple[str, int, str]]:
    """(title of the tail, its column, title of the head) of the edges into a column."""
    boxes = found.boxes
    return {
        (boxes[e.tail.box].title, one.column, boxes[e.head.box].title or " ".join(boxes[e.head.box].lines))
        for e in found.edges
        if e.kind == kind
        and (one := boxes[e.tail.box].slot)
        and (two := boxes[e.head.box].slot)
        and two.column == column
    }


def test_the_backward_pass_mirrors_the_forward_pass() -> None:
    found = drawn("textbook", gradient=True, steps=3).scene
    assert {"dL/dy[0]", "dL/dy[1]", "dL/dy[2]", "dL/dh"} <= set(titles(found, "backward"))
    assert arrows(found, "backward", 1) == {
        ("dL/dy[1]", 1, "dL/dh"), ("dL/dh", 1, "through [x, h] @ kernel"), ("", 2, "dL/dh"),
    }  # fmt: skip
    assert {e.label for e in found.edges if e.kind == "backward" and e.label} == {"dL/dh"}
    assert titles(found, "gradient") == ["dL/dθ rnn"]


def test_what_an_rnn_keeps_is_its_states() -> None:
    """The derivative of tanh needs its result, and that of the kernel the state before."""
    found = drawn("textbook", gradient=True, steps=3).scene
    assert arrows(found, "kept", 1) == {("h'", 1, "dL/dh"), ("h'", 0, "through [x, h] @ kernel")}
    assert not arrows(found, "again", 1)


def test_what_an_lstm_keeps_and_computes_again() -> None:
    """Its gates are kept, and its cells, of which the second tanh is taken again."""
    found = drawn("lstm4", gradient=True, steps=3).scene
    assert arrows(found, "kept", 1) == {
        ("shown", 1, "dL/dh"), ("kept", 1, "dL/dc"), ("kept", 0, "dL/dc"), ("shown", 0, "through [x, h] @ kernel"),
    }  # fmt: skip
    assert arrows(found, "again", 1) == {("kept", 1, "dL/dh")}
    gates = "through the input gate, candidate, forget gate and output gate"
    assert gates in {" ".join(box.lines) for box in found.boxes.values()}


def test_what_a_turn_of_a_for_keeps_is_read_by_that_turn() -> None:
    """All turns have one line; a gradient reads what its own box made, or what that box read."""
    text = """
cell Deep {
  input x: [n]
  state s: [n] = 0
  y = s + x
  for k in 1..4 {
    param r: [n, n]
    y = tanh(y @ r)
  }
  s' = y
  output y
}
model M {
  input x: seq[3]
  y, _ = unroll Deep over x
  output y
  loss mean(y * y)
}
"""
    found = rg.parse(text).render(gradient=True, steps=2, level=3).scene
    into: dict[str, set[str]] = {}
    for edge in found.edges:
        into.setdefault(edge.head.box, set()).add(edge.tail.box)
    kept = [(e.tail.box, e.head.box.removeprefix("d/")) for e in found.edges if e.kind == "kept"]
    turns = [pair for pair in kept if all(found.boxes[key].slot for key in pair)]
    assert len(turns) == 2 * (4 + 3) + 1  # each step: four results, of turns 2 to 4 what the product reads; one state
    assert all(maker == reader or maker in into[reader] for maker, reader in turns)


def test_the_backward_pass_is_below_in_the_same_columns_and_runs_from_the_loss() -> None:
    scene, places = drawn("digits", gradient=True, steps=2).laid_out
    twins = [(places.spots[b.mirrors], places.spots[key]) for key, b in scene.boxes.items() if b.mirrors]
    assert len(twins) > 8
    assert all(two.y < one.y and abs(one.x - two.x) < 0.01 for one, two in twins)
    assert titles(scene, "loss") == ["loss"]
    assert "dL/dL = 1" in titles(scene, "backward")


def test_no_gradient_passes_integers() -> None:
    found = drawn("chars", gradient=True, steps=2).scene
    assert len(titles(found, "backward")) > 8
    mirrored = {found.boxes[box.mirrors].title for box in found.boxes.values() if box.mirrors}
    assert not mirrored & {"text[0]", "following"}


# --- texts ---


def test_the_loss_has_one_box() -> None:
    assert titles(scene(), "loss") == ["loss"]


def test_tooltips_tell_line_type_and_bytes() -> None:
    (box,) = [b for b in scene().boxes.values() if b.title == "c'" and b.detail == "[4]"]
    assert box.tooltip.splitlines() == [
        "lstm.rnn:9: c' = sigmoid(f + forget_bias) * c + sigmoid(i) * tanh(j)",
        "batch[4] float",
        "batch x 4 floats = 16 B x batch (float32)",
    ]


def test_bytes_follow_the_dtype() -> None:
    assert bytes_text(Type(("time", "batch"), (3, 5)), "float64") == (
        "time x batch x 15 floats = 120 B x time x batch (float64)"
    )
    assert bytes_text(Type((), (), "bool"), "float32") == "1 bool = 1 B (bool)"


def test_a_picture_is_dressed_as_asked() -> None:
    plain = drawn("lstm4").source
    dressed = drawn("lstm4", title=r"My <cell> \N", dark=True, legend=False, shapes=False).source
    assert r"My &lt;cell&gt; &#92;N" in dressed and "#0f172a" in dressed
    assert "elementwise" in plain and "[16]</FONT>" in plain
    assert "elementwise   <" not in dressed and "[16]</FONT>" not in dressed


@pytest.mark.parametrize(("direction", "axis", "sign"), [("down", "y", -1), ("up", "y", 1), ("right", "x", 1)])
def test_data_flow_where_they_are_told_to(direction: str, axis: str, sign: int) -> None:
    scene, places = drawn("textbook", direction=direction).laid_out
    ends = {b.title: getattr(places.spots[k], axis) for k, b in scene.boxes.items() if k in places.spots}
    assert sign * (ends["y"] - ends["h'"]) > 0


def test_steps_run_to_the_right_so_data_cannot() -> None:
    with pytest.raises(UserError, match="cannot flow `right`"):
        drawn("textbook", unroll="static", direction="right")


# --- folding ---


def test_too_many_boxes_are_folded_by_instance_and_the_picture_says_so() -> None:
    found = scene(level=3, budget=14)
    assert len(found.boxes) <= 14
    assert found.notes == ("blocks are opened down to cells and layers (it has more than 14 boxes)",)


def test_a_graph_without_instances_still_fits() -> None:
    value = x = graph_input("x", "data", Type(("batch",), (3,)))
    kernel = graph_input("kernel", "weight", Type((), (3, 3)))
    for _ in range(20_000):
        value = call("contract", value, kernel, left="n", right="nm", out="m", reduce=())
    found = picture(Graph({"x": x, "kernel": kernel}, {"y": value}), None, budget=100).scene
    assert len(found.boxes) <= 100
    assert "operations in a row" in found.notes[0]


# --- values of a run ---


def test_the_numbers_of_a_run_stand_in_the_boxes_of_its_steps() -> None:
    values = {"x": np.arange(15.0).reshape(5, 3), "h": np.linspace(0, 1, 25).reshape(5, 5)}
    found = rg.load("examples/textbook.rnn").render(unroll="static", steps=5, values=values).scene
    said = {box.title: box.lines[-1] for box in found.boxes.values() if box.lines and box.slot and box.slot.column == 1}
    assert said["x[1]"] == "3, 4, 5"
    assert said["h'"] == "0.21, 0.25, 0.29, 0.33, ..."


def test_each_cell_of_a_stack_shows_its_own_numbers() -> None:
    values = {f"stack.{i}.kept": np.full((2, 4 + i), 3.0 + i) for i in (0, 1)}
    found = rg.load("examples/stack.rnn").render(unroll="static", steps=2, values=values).scene
    kept = {(found.frames[b.frame].owner, b.lines[-1]) for b in found.boxes.values() if b.title == "kept"}
    assert kept == {("stack.0", "3, 3, 3, 3"), ("stack.1", "4, 4, 4, 4, ...")}


def test_render_runs_the_model_on_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    lines = "input x: seq[2]", "y = 2 * x", "z, _ = unroll RNN(1) over y", "output y, z"
    Path("m.rnn").write_text("\n".join(["model M {", *lines, "}"]))
    np.savez("d.npz", x=np.array([[[1.5, 2.0], [4.25, 0.0]]]))
    assert exit_code(["render", "m.rnn", "--data", "d.npz", "--out", "m.dot"]) == 0
    assert ">1.5, 2<" in Path("m.dot").read_text() and ">8.5, 0<" in Path("m.dot").read_text()
    assert exit_code(["render", "m.rnn", "--watch", "h", "--out", "n.dot"]) != 0
    assert "no values without data" in capsys.readouterr().err
