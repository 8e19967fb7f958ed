"""A cell by itself: which parts it has, how they stand, and that wires can be told apart."""

from __future__ import annotations

import re
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

import rnngraph as rg
from rnngraph.cli.main import exit_code
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.viz.geometry import Drawn, Places
from rnngraph.viz.scene import Box, Scene
from rnngraph.viz.write import svg
from tests.support.models import CELLS, over, parsed
from tests.support.overlaps import overlaps

OWN = """\
cell Mine(units) {
  input x: [n]
  state c, h: [units] = 0
  param W_f, W_i, W_g, W_o: [n + units, units]
  param b_f: [units] = 1
  f = sigmoid([x, h] @ W_f + b_f)
  i = sigmoid([x, h] @ W_i)
  g = tanh([x, h] @ W_g)
  o = sigmoid([x, h] @ W_o)
  c' = f * c + i * g
  h' = o * tanh(c')
  output h'
}
"""


@cache
def drawn(cell: str, text: str = over("LSTM(4)")) -> tuple[Scene, Places]:
    return rg.parse(text).render(cell=cell).laid_out


def kinds(found: Scene, kind: str) -> list[Box]:
    return [box for box in found.boxes.values() if box.kind == kind]


def texts(found: Scene, kind: str) -> list[str]:
    return sorted(" ".join([box.title, *box.lines]).strip() for box in kinds(found, kind))


def test_an_lstm_is_the_picture_of_the_textbook() -> None:
    found, places = drawn("LSTM")
    assert texts(found, "gate") == ["tanh", "σ", "σ", "σ f + forget_bias"]
    assert texts(found, "pointwise") == ["+", "tanh", "×", "×", "×"]
    assert texts(found, "matmul") == ["[x, h] @ kernel + bias"]
    assert texts(found, "name") == ["f", "i", "j", "o", "sums"]
    assert texts(found, "output") == ["h'"]
    gates = {round(places.spots[box.key].y) for box in kinds(found, "gate")}
    assert len(gates) == 1  # in a row


def test_each_state_is_a_straight_line_with_what_changes_it_on_it() -> None:
    found, places = drawn("LSTM")
    ends = {box.title: places.spots[box.key] for box in kinds(found, "state")}
    assert ends["c"].y == ends["c'"].y > ends["h"].y == ends["h'"].y
    assert ends["c"].x < ends["c'"].x
    on_line = [box.title for box in kinds(found, "pointwise") if places.spots[box.key].y == ends["c"].y]
    assert on_line == ["×", "+"]


def test_the_input_comes_from_below_and_the_output_leaves_above() -> None:
    found, places = drawn("LSTM")
    (frame,) = places.frames
    assert places.spots[kinds(found, "input")[0].key].area.top < frame.area.bottom
    assert places.spots[kinds(found, "output")[0].key].area.bottom > frame.area.top


def test_gates_cut_out_of_one_function_are_gates_each() -> None:
    found, _ = drawn("GRU")
    assert texts(found, "gate") == ["tanh [x, ...] @ candidate_kernel + candidate_bias", "σ", "σ"]
    assert {"r", "u", "c"} <= set(texts(found, "name"))
    assert texts(found, "pointwise") == ["+", "1 −", "×", "×", "×"]


def test_a_gate_of_the_users_own_says_its_weights_and_its_name() -> None:
    found, _ = drawn("Mine", OWN + over("Mine(4)"))
    assert texts(found, "gate") == [
        "tanh [x, h] @ W_g", "σ [x, h] @ W_f + b_f", "σ [x, h] @ W_i", "σ [x, h] @ W_o",
    ]  # fmt: skip
    assert {box.weights for box in kinds(found, "gate")} >= {frozenset({"W_f", "b_f"}), frozenset({"W_g"})}
    assert texts(found, "name") == ["f", "g", "i", "o"]
    assert texts(found, "shape") == ["[x, h]"]


def test_a_layer_inside_stays_closed_and_a_cell_inside_is_opened() -> None:
    assert texts(drawn("LayerNormLSTM")[0], "block") == ["LayerNorm gain, offset"] * 3
    found, _ = drawn("net", over("Residual(LSTM(3))"))
    assert not kinds(found, "block")
    assert texts(found, "state") == ["c", "c'", "h", "h'"]


def test_what_gives_two_values_has_a_wire_for_each() -> None:
    text = Path("examples/papers/mogrifier_lstm.rnn").read_text()
    _, places = drawn("MogrifierLSTM", text)
    ways = {d.edge.head.box: d.curve[0] for d in places.edges if d.edge.head.box in ("new/c", "new/h")}
    assert len(set(ways.values())) == 2


def test_a_function_of_several_operations_is_one_part() -> None:
    found, _ = drawn("writer", Path("examples/dates.rnn").read_text())
    assert texts(found, "pointwise").count("softmax(scores, axis = source)") == 1


def alone(body: str) -> str:
    """A cell `Mine`, which no model uses."""
    return f"cell Mine {{\n{body}\n}}\n" + over("RNN(3)")


def sound(found: Scene, places: Places) -> bool:
    """Whether every output and every state is reached, and nothing lies over anything."""
    reached = {drawn.edge.head.box for drawn in places.edges}
    ends = {key for key in found.boxes if key.startswith(("new/", "out/"))}
    return ends <= reached and not list(_side_by_side(places.edges))


PASSING = "input x: [n]\nstate h: [n] = 0\nh' = h\noutput x"


def test_a_state_that_nothing_changes_is_a_line_alone() -> None:
    found, places = drawn("Mine", alone(PASSING))
    assert sound(found, places) and not overlaps(svg(rg.parse(alone(PASSING)).render(cell="Mine")))
    (frame,) = places.frames
    ends = {box.title: places.spots[box.key].area for box in found.boxes.values()}
    assert ends["h"].right < frame.area.left < frame.area.right < ends["h'"].left
    assert ends["x"].top < frame.area.bottom < frame.area.top < ends["output"].bottom


@pytest.mark.parametrize(
    ("body", "operations"),
    [("state h: [3] = 1\nh' = tanh(h)\noutput h'", ["tanh"]), ("state h: [3] = 1\nh' = h\noutput 2 * h", ["× 2"]),
     ("input x: [n]\nparam w: [n, 3]\noutput tanh(x @ w)", ["tanh x @ w"]), ("input x: [n]\noutput x", [])],
)  # fmt: skip
def test_a_cell_without_a_state_or_without_an_input_is_drawn(body: str, operations: list[str]) -> None:
    found, places = drawn("Mine", alone(body))
    assert [*texts(found, "gate"), *texts(found, "pointwise")] == operations
    assert sound(found, places)
    (frame,) = places.frames
    (output,) = [places.spots[box.key] for box in kinds(found, "output")]
    assert frame.area.left < output.x < frame.area.right and frame.area.top < output.area.bottom


@pytest.mark.parametrize("layer", ["Dense(3)", "LayerNorm", "Embedding(4, 3)"])
def test_a_layer_of_the_library_is_drawn(layer: str) -> None:
    assert sound(*drawn(layer))


@pytest.mark.parametrize(
    ("body", "products", "gates"),
    [("s = h @ u\ns = s + x @ w\na, g = split(s, 2)\nh' = sigmoid(g) * h + a", ["h @ u", "s + x @ w"], ["σ"]),
     ("s = x @ w\na, g = split(s + h @ u, 2)\nh' = a * h + g", ["s + h @ u", "x @ w"], []),
     ("a, g = split(x @ w, 2)\nh' = h * a", ["x @ w"], []),
     ("z = reshape(x @ w, [2, 3])\nh' = h * z[0]", ["x @ w"], []),
     ("a, g = split(x @ w, 2)\nh' = h * tanh(a)", [], ["tanh split(x @ w, 2)"]),
     ("s = h @ u\ns = s + x @ w\nh' = h * sum(tanh(s))", ["h @ u", "s + x @ w"], [])],
)  # fmt: skip
def test_no_product_of_an_earlier_statement_is_lost(body: str, products: list[str], gates: list[str]) -> None:
    declared = "input x: [n]\nstate h: [3] = 0\nparam w: [n, 6]\nparam u: [3, 6]\n"
    found, _ = drawn("Mine", alone(f"{declared}{body}\noutput h'"))
    assert (texts(found, "matmul"), texts(found, "gate")) == (products, gates)


@pytest.mark.parametrize("name", ["recurrent highway", "nas", "mlstm", "multiplicative lstm", "lstm everything"])
def test_every_weight_stands_in_a_part_that_reads_it(name: str) -> None:
    found = parsed(name).render(cell="net").laid_out[0]
    for box in found.boxes.values():
        assert box.weights <= set(re.findall(r"\w+", " ".join(box.lines))), box


def names(found: Scene) -> dict[str, str]:
    """What each name stands at."""
    boxes = found.boxes
    named = {box.title: boxes[key.removeprefix("name/")] for key, box in boxes.items() if box.kind == "name"}
    return {name: " ".join([box.title, *box.lines]).strip() for name, box in named.items()}


INNER = """\
layer Product(m) {
  input x: [n]
  param w: [n, m]
  output x @ w
}
cell Other(m) {
  input x: [n]
  state h: [m] = 0
  h' = tanh(h + x)
  output h'
}
"""


def test_the_name_of_what_a_call_gives_stands_there_and_not_at_its_argument() -> None:
    body = "input x: [n]\nstate h: [n] = 0\nz = Product(n)(2 * x)\nh' = h + z\noutput z * x"
    assert names(drawn("Mine", INNER + alone(body))[0]) == {"z": "Product w"}
    assert "asked" not in names(drawn("AdditiveAttention(LSTM(3), 4)")[0])
    assert "[x, context]" in texts(drawn("MultiplicativeAttention(GRU(3), 4)")[0], "shape")


def test_an_output_is_called_as_in_the_cell_that_is_drawn() -> None:
    body = "input x: [n]\nstate h: [n] = 0\ny, s = Other(n)(x) from record(h = x * 2)\nh' = s.h - h\noutput y"
    found, _ = drawn("Mine", INNER + alone(body))
    assert (texts(found, "output"), texts(found, "state")) == (["y"], ["h", "h'"])


def joining(count: int) -> str:
    """A cell that joins so many values."""
    parts = ", ".join(f"s ** {k} * x" for k in range(1, count + 1))
    lines = ["cell Many {", "input x: [n]", "state s: [n] = 0", f"all = [{parts}]", "output all", "s' = s + x", "}", ""]
    return "\n".join(lines)


def test_what_joins_many_values_has_room_for_all() -> None:
    found, places = drawn("Many", joining(9) + over("Many"))
    (join,) = [box.key for box in kinds(found, "shape")]
    assert len([d for d in places.edges if d.edge.head.box == join and d.tip]) == 9


def test_a_cell_that_has_no_room_is_refused() -> None:
    with pytest.raises(CannotDo, match="more operations than the picture of a cell has room for"):
        drawn("Many", joining(30) + over("Many"))


def test_the_cell_of_the_model_is_drawn_with_its_settings_and_another_as_asked() -> None:
    text = over("LSTM(4, peepholes = true)")
    assert "σ i + w_i * c" in texts(drawn("LSTM", text)[0], "gate")
    assert "σ i + w_i * c" in texts(drawn("net", text)[0], "gate")
    assert "σ i + w_i * c" not in texts(drawn("LSTM(4)", text)[0], "gate")


@pytest.mark.parametrize("name", CELLS)
def test_nothing_lies_over_anything_in_the_picture_of_a_cell(name: str) -> None:
    picture = parsed(name).render(cell="net")
    assert overlaps(svg(picture)) == []
    assert not list(_side_by_side(picture.laid_out[1].edges))


def _side_by_side(edges: list[Drawn]) -> list[tuple[str, str]]:
    """Wires of different values that run over one another."""
    found = []
    for one, two in combinations(edges, 2):
        if one.edge.tail != two.edge.tail:
            lines = [[(a, d) for a, d in zip(e.curve[::3], e.curve[3::3], strict=False)] for e in (one, two)]
            if any(_over(a, b) for a in lines[0] for b in lines[1]):
                found.append((one.edge.tail.box, two.edge.tail.box))
    return found


def _over(one: tuple[tuple[float, float], ...], two: tuple[tuple[float, float], ...]) -> bool:
    for along, across in ((0, 1), (1, 0)):
        if len({p[across] for p in (*one, *two)}) == 1:
            low, high = (sorted(p[along] for p in line) for line in (one, two))
            return min(low[1], high[1]) - max(low[0], high[0]) > 0.1
    return False


@pytest.mark.parametrize(
    ("cell", "told"),
    [("Lstm", "did you mean `LSTM`"), ("LSTM(", "names no cell"), ("tanh", "a function, not a cell"),
     ("Residual", "needs a cell or layer as its `inner`"), ("LSTM(units = 4, q = 1)", "no setting `q`"),
     ("LSTM(4) } model X { input y: [3]  output y", "names no cell"), ("LSTM(4)\n} layer X {\nb = 1", "names no cell"),
     ("LSTM(4)\noutput drawn", "names no cell"), (" ", "names no cell")],
)  # fmt: skip
def test_what_is_no_cell_is_refused(cell: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        drawn(cell)


def test_a_file_without_a_model_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.rnn").write_text(OWN)
    assert exit_code(["render", "mine.rnn", "--cell", "Mine", "--out", "mine.svg", "--dark"]) == 0
    assert "W_f" in Path("mine.svg").read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [(["--gradient"], "`--gradient` has no meaning"), (["--unroll", "4"], "`--unroll` has no meaning"),
     (["--fold", "3"], "`--fold` has no meaning"),
     (["--direction", "up"], "cannot flow `up`"), (["--set", "units=4"], "no model here to have the setting `units`")],
)  # fmt: skip
def test_what_has_no_meaning_beside_a_cell_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.rnn").write_text(OWN)
    assert exit_code(["render", "mine.rnn", "--cell", "Mine", "--out", "mine.svg", *options]) == 2
    assert told in capsys.readouterr().err
