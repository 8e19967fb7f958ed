"""Tables as data: windows, sequences by id, dates, scaling, missing values, words; expected values are made by hand."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rnngraph as rg
from rnngraph.diagnostics.errors import Warned

FORECAST = """\
model Forecast {
  input load: seq[2]
  input price: [1]
  y, final = unroll RNN(3) over load
  forecast = Dense(1)(final.h)
  output forecast, y
  loss squared_error(forecast, price)
}
"""
TAGGER = """\
model Tagger {
  input word: seq int
  input tag: seq int
  y, _ = unroll RNN(3) over Embedding(4, 2)(word)
  scores = Dense(2)(y)
  output scores
  loss cross_entropy(scores, tag)
}
"""
SPREAD = """\
model Ahead {
  input x: seq[1]
  input hour: seq@ahead[1]
  input y: seq@ahead[1]
  _, final = unroll RNN(3) over x
  h, _ = unroll RNN(3) over hour from final
  guess = Dense(1)(h)
  output guess
  loss squared_error(guess, y)
}
"""
TABLE = """\
date,temp,load,price,note
2024-01-03,3,30,300,c
2024-01-01,1,10,100,a
2024-01-02,2,20,200,b
2024-01-05,5,50,500,e
2024-01-04,4,40,400,d
2024-01-06,6,60,600,f
"""
COLUMNS = {"load": ["temp", "load"], "price": "price"}


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.csv"
    path.write_text(TABLE)
    return path


def test_windows_over_one_table_in_the_order_of_its_dates(prices: Path) -> None:
    model = rg.parse(FORECAST)
    data = rg.data.table(model, prices, columns=COLUMNS, steps=3, horizon=1, order="date")
    assert data["load"].tolist() == [[[d, 10 * d] for d in range(first, first + 3)] for first in (1, 2, 3)]
    assert data["price"].tolist() == [[400], [500], [600]]
    assert data.beside["date"].tolist()[2] == ["2024-01-03", "2024-01-04", "2024-01-05"]
    same_row = rg.data.table(model, prices, columns=COLUMNS, steps=3, stride=2, horizon=0, order="date")
    assert same_row["load"][:, 0, 0].tolist() == [1, 3] and same_row["price"].tolist() == [[300], [500]]
    far = rg.data.table(model, prices, columns=COLUMNS, steps=2, horizon=3, order="date")
    assert far["load"][:, -1, 0].tolist() == [2, 3] and far["price"].tolist() == [[500], [600]]


def test_a_whole_table_is_one_sequence(prices: Path) -> None:
    model = rg.parse("model M { input temp: seq\n input load: seq\n output temp + load as both }")
    data = rg.data.load([prices], model)
    assert data["temp"].tolist() == [[3, 1, 2, 5, 4, 6]] and set(data) == {"temp", "load"}
    assert np.array_equal(model.compile().run(data, {})["both"], data["temp"] + data["load"])


def test_a_sequence_of_targets_is_ahead(tmp_path: Path) -> None:
    model = rg.parse(
        "model M { input x: seq[1]\n input next: seq[1]\n y, _ = unroll RNN(1) over x\n output y\n"
        " loss squared_error(y, next) }"
    )
    table = {"x": [0.0, 1, 2, 3, 4], "next": [0.0, 1, 2, 3, 4]}
    data = rg.data.table(model, table, steps=2, horizon=2)
    assert data["x"][..., 0].tolist() == [[0, 1], [1, 2]] and data["next"][..., 0].tolist() == [[2, 3], [3, 4]]


def test_another_axis_begins_behind_the_window() -> None:
    n = np.arange(8.0)
    data = rg.data.table(
        rg.parse(SPREAD), {"x": n, "hour": 10 * n, "y": 100 * n}, steps={"time": 3, "ahead": 2}, horizon=1
    )
    assert data["x"][0, :, 0].tolist() == [0, 1, 2]
    assert data["hour"][0, :, 0].tolist() == [30, 40] and data["y"][-1, :, 0].tolist() == [600, 700]
    assert len(data["x"]) == 4
    with pytest.raises(rg.UserError, match="how many steps `hour` has"):
        rg.data.table(rg.parse(SPREAD), {"x": n, "hour": n, "y": n}, steps={"time": 3}, horizon=1)


PATIENTS = "patient,time,word,tag\nb,2,10,1\na,1,cat,0\nb,1,dog,0\na,3,cat,1\na,2,bee,0\n".replace("10", "bee")


def test_sequences_by_an_id_are_padded_and_words_are_classes(tmp_path: Path) -> None:
    path = tmp_path / "patients.csv"
    path.write_text(PATIENTS)
    model = rg.parse(TAGGER)
    data = rg.data.table(model, path, by="patient", order="time")
    # bee 0, cat 1, dog 2; patient b comes first in the file: dog bee; then a: cat bee cat
    assert data["word"].tolist() == [[2, 0, 0], [1, 0, 1]] and data["word.lengths"].tolist() == [2, 3]
    assert data["tag"].tolist() == [[0, 1, 0], [0, 0, 1]]
    assert data.beside["patient"].tolist() == ["b", "a"]
    assert data.made["table"]["classes"] == {"word": ("bee", "cat", "dog")}
    again = rg.data.table(model, {"patient": ["z"], "time": [1], "word": ["dog"], "tag": [0]}, like=data.made)
    assert again["word"].tolist() == [[2]]
    with pytest.raises(rg.UserError, match=r"row 1, column `word`: `cow` is none of its 3 words"):
        rg.data.table(model, {"patient": ["z"], "time": [1], "word": ["cow"], "tag": [0]}, like=data.made)


def test_a_sequence_shorter_than_a_window_is_a_short_one_and_nothing_is_lost() -> None:
    model = rg.parse("model M { input x: seq\n output x }")
    table = {"id": ["a"] * 5 + ["b"] * 2, "x": np.arange(7.0)}
    data = rg.data.table(model, table, columns={"x": "x"}, steps=4, by="id")
    assert data["x"].tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [5, 6, 0, 0]]
    assert data["x.lengths"].tolist() == [4, 4, 2]


def test_scaling_is_kept_and_used_for_new_data(prices: Path) -> None:
    model = rg.parse(FORECAST)
    data = rg.data.table(model, prices, columns=COLUMNS, steps=3, horizon=1, order="date", standardise=True)
    assert data.made["table"]["scaling"]["temp"] == (3.5, pytest.approx(np.std([1, 2, 3, 4, 5, 6])))
    table = {"temp": [3.5] * 3, "load": [35.0] * 3, "date": [1, 2, 3]}
    new = rg.data.table(model, table, like=data.made, only=["load"])
    assert np.allclose(new["load"], 0) and "price" not in new


@pytest.mark.parametrize(
    "times",
    [
        [str(2**53 + i) for i in (2, 1, 0, 3)],
        [f"2024-01-01T00:00:00.{digits}" for digits in ("000000002", "0000000015", "000000", "1")],
        [f"2024-01-01T0{hour}:00:00.0000000{digit}+0{hour}:00" for hour, digit in ((2, 3), (1, 2), (0, 1), (1, 4))],
    ],
)
def test_rows_are_sorted_by_all_digits_of_their_times(times: list[str]) -> None:
    """A float has 53 bits, a `datetime` six digits behind the second."""
    model = rg.parse("model M { input x: seq output x + 1 as y }")
    data = rg.data.table(model, {"x": [1.0, 2.0, 3.0, 4.0], "t": times}, order="t")
    assert data["x"].tolist() == [[3, 2, 1, 4]]


@pytest.mark.parametrize("column", [[1.0, 2.0, 1e300], [1e-300, 2e-300, 3e-300]])
def test_a_column_whose_deviation_is_no_number_is_not_scaled_by_it(column: list[float]) -> None:
    model = rg.parse("model M { input x: seq output x + 1 as y }")
    with pytest.raises(rg.UserError, match="column `x`: its deviation is beyond 64 bits"):
        rg.data.table(model, {"x": column}, standardise=True)


def test_dates_are_no_numbers() -> None:
    """Their size would depend on how finely a DataFrame keeps them."""
    model = rg.parse("model M { input x: seq output x + 1 as y }")
    with pytest.raises(rg.UserError, match=r"row 1, column `x`: `2024-01-01.*` is not a number"):
        rg.data.table(model, {"x": np.array(["2024-01-01", "2024-01-02"], "M8[ns]")})


def test_a_duration_is_no_number() -> None:
    """It had been its nanoseconds where a DataFrame keeps them as such; it is an order."""
    model = rg.parse("model M { input x: seq output x + 1 as y }")
    lasts = np.array([30, 10, 20], "m8[ns]")
    with pytest.raises(rg.UserError, match=r"row 1, column `x`: `30 nanoseconds` is not a number"):
        rg.data.table(model, {"x": lasts})
    made = rg.data.table(model, {"x": [3.0, 1.0, 2.0], "lasts": lasts}, order="lasts")
    np.testing.assert_array_equal(made["x"], [[1, 2, 3]])


def test_an_empty_line_in_a_table_of_one_column_is_a_missing_value(tmp_path: Path) -> None:
    """It had been left out, so that the steps behind it came too soon."""
    path, model = tmp_path / "t.csv", rg.parse("model M { input x: seq output x + 1 as y }")
    path.write_text("\nx\n1\n\n3\n\n\n")
    with pytest.raises(rg.UserError, match="row 2, column `x`: a value is missing"):
        rg.data.table(model, path)
    path.write_text("x,y\n1,2\n\n3,4\n")
    np.testing.assert_array_equal(rg.data.table(model, path)["x"], [[1, 3]])


def test_what_is_no_number_has_no_place_in_an_order(tmp_path: Path) -> None:
    """`-nan`, as C writes it, had been compared with the numbers, and put them in any order."""
    path = tmp_path / "t.csv"
    path.write_text("at,x\n3,1\n-nan,2\n1,3\n2,4\n")
    with pytest.raises(rg.UserError, match="row 2, column `at`: a value is missing"):
        rg.data.table(rg.parse("model M { input x: seq output x + 1 as y }"), path, order="at")


def test_a_table_is_laid_out_in_as_many_rows_as_are_asked_for() -> None:
    """11 steps in 4 rows are 4 of 2, and 3 are left over; what was left over had made a fifth row."""
    model = rg.parse("model M { input x: seq output x + 1 as y }")
    made = rg.data.table(model, {"x": np.arange(11.0)}, rows=4)
    np.testing.assert_array_equal(made["x"], np.arange(8.0).reshape(4, 2))
    np.testing.assert_array_equal(made["x"], rg.data.streams({"x": np.arange(11.0)}, 4)["x"])


def test_an_exported_model_says_how_its_numbers_are_scaled(prices: Path, tmp_path: Path) -> None:
    model, out = rg.parse(FORECAST), tmp_path / "out.py"
    data = rg.data.table(model, prices, columns=COLUMNS, steps=3, horizon=1, order="date", standardise=True)
    fitted = model.fit(data, epochs=1, batch=2, options={"dtype": "float64"})
    model.export(out, fitted.weights)
    one, ten, hundred = (float(np.std(np.arange(1, 7) * scale)) for scale in (1, 10, 100))
    assert f"`load` takes (value - [3.5, 35.0]) / [{one!r}, {ten!r}]" in out.read_text()
    assert f"`forecast` * {hundred!r} + 350.0 is in the table's units" in out.read_text()
    assert "`price`" not in out.read_text()
    model.export(out, dict(fitted.weights))
    assert "takes" not in out.read_text()


def test_a_target_of_whole_numbers_is_not_scaled_and_neither_is_its_prediction() -> None:
    model = rg.parse("model M { input x: seq[1] input next: int f = Dense(1)(last(x))[0] output f"
                     " loss squared_error(f, next) }")  # fmt: skip
    data = rg.data.table(
        model, {"a": range(10, 20)}, columns={"x": "a", "next": "a"}, steps=3, horizon=1, standardise=True
    )
    weights = model.init(0)
    assert data["next"].tolist() == list(range(13, 20))
    found = model.predict(data, weights, options={"dtype": "float64"})
    assert found["f"].tolist() == model.compile().run(data, weights)["f"].tolist() and not found.scaled


def test_missing_values_are_refused_or_masked() -> None:
    table = {"temp": ["1", "", "3"], "load": ["10", "20", "NA"]}
    model = rg.parse(
        "model M { input x: seq[2]\n input seen: seq[2]\n y, _ = unroll RNN(2) over [x, seen]\n output y }"
    )
    with pytest.raises(rg.UserError, match=r"row 2, column `temp`: a value is missing"):
        rg.data.table(model, table, columns={"x": ["temp", "load"], "seen": ["temp", "load"]})
    data = rg.data.table(model, table, columns={"x": ["temp", "load"]}, masks={"seen": ["temp", "load"]})
    assert data["x"].tolist() == [[[1, 10], [0, 20], [3, 0]]]
    table["temp"] = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])  # type: ignore[assignment]
    hidden = rg.data.table(model, table, columns={"x": ["temp", "load"]}, masks={"seen": ["temp", "load"]})
    assert hidden["x"].tolist() == data["x"].tolist()
    assert data["seen"].tolist() == [[[1, 1], [0, 1], [1, 0]]]
    scaled = rg.data.table(
        model, table, columns={"x": ["temp", "load"]}, masks={"seen": ["temp", "load"]}, standardise=True
    )
    assert scaled["x"].tolist() == [[[-1, -1], [0, 1], [1, 0]]]


def test_pandas_tables_are_read(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"temp": [1.0, 2, 3], "load": [4, 5, 6], "price": [7.0, 8, 9]},
        index=pandas.date_range("2024-01-01", periods=3, name="day"),
    )
    data = rg.data.table(rg.parse(FORECAST), frame[::-1], columns=COLUMNS, steps=2, horizon=1, order="day")
    assert data["load"].tolist() == [[[1, 4], [2, 5]]] and data["price"].tolist() == [[9]]
    assert str(data.beside["day"][0, 0]).startswith("2024-01-01")


@pytest.mark.parametrize(
    ("text", "more", "told"),
    [
        (TABLE, {"columns": {"load": ["temp", "lod"], "price": "price"}}, "no column `lod`.*\n.*did you mean `load`"),
        (TABLE, {"columns": {"load": ["temp", "note"], "price": "price"}}, "row 1, column `note`: `c` is not a number"),
        (TABLE, {"columns": {"load": "temp", "price": "price"}}, "`load` takes 2 columns, and 1 column is given"),
        (TABLE, {"columns": {"laod": "temp"}}, "no input `laod`"),
        (TABLE, {"columns": {"price": "price"}}, "no column of `.*` is given for the input `load`"),
        (TABLE, {"columns": COLUMNS, "steps": 9}, "a window of 9 steps and 1 rows behind it is longer"),
        (TABLE, {"columns": COLUMNS, "horizon": None}, "how many rows behind a window its target `price` stands"),
        (TABLE, {"columns": COLUMNS, "order": "note"}, "row 1, column `note`: `c` is neither a number nor a date"),
        (TABLE, {"columns": COLUMNS, "by": "patient"}, "no column `patient`"),
        (TABLE.replace("2024-01-05", "5.1.2024"), {"columns": COLUMNS, "order": "date"}, "row 4, column `date`"),
        (TABLE.replace("200", "inf"), {"columns": COLUMNS}, None),
        (TABLE + "x,y\n", {"columns": COLUMNS}, "row 7 has 2 values for 5 columns"),
        ("a,b\n", {"columns": COLUMNS}, "a line of names and at least one line"),
    ],
)
def test_what_is_wrong_is_told_by_row_and_column(
    tmp_path: Path, text: str, more: dict[str, Any], told: str | None
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    model = rg.parse(FORECAST)
    asked = {"steps": 2, "horizon": 1, **more}
    if told is None:  # numbers that are not finite are told by the model, by row and value
        with pytest.raises(rg.UserError, match="holds inf"):
            model.compile().check(rg.data.table(model, path, **asked))
        return
    with pytest.raises(rg.UserError, match=f"(?s){told}"):
        rg.data.table(model, path, **asked)


def test_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("temp,préfix\n1,2\n".encode("latin-1"))
    with pytest.raises(rg.UserError, match="not UTF-8 text"):
        rg.data.load([path], rg.parse("model M { input temp: seq\n output temp }"))


def test_semicolons_and_byte_order_marks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for other in ("other", '"other, in words"'):
        path.write_bytes(f"\ufefftemp;{other}\n1;x\n2;y\n".encode())
        assert rg.data.load([path], rg.parse("model M { input temp: seq\n output temp }"))["temp"].tolist() == [[1, 2]]


# --- which units an output has ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "units"),
    [
        ("input a: []\n input b: []\n d = Dense(2)(x)\n output d[0] as p, d[1] as q\n"
         " loss squared_error(d[0], a) + squared_error(d[1], b)", {"p": "a", "q": "b"}),
        ("input y: [2]\n f = Dense(2)(x)\n output f\n"
         " loss squared_error(f[0], y[1]) + squared_error(f[1], y[0])", {}),
        ("input y: [1]\n input u: [1]\n f = Dense(1)(x)\n output f\n loss squared_error(f, y)\n"
         " metric mean(abs(f - u)) as other", {"f": "y"}),
        ("input y: [1]\n input u: [1]\n f = Dense(1)(x)\n output f\n"
         " loss squared_error(f, y) + squared_error(f, u)", {}),
        ("input y: []\n f = Dense(1)(x)\n output f\n loss squared_error(f[0], y)", {"f": "y"}),
        ("input y: [1]\n f = Dense(3)(x)\n output f\n loss mean(abs(f - y))", {"f": "y"}),
    ],
)  # fmt: skip
def test_an_output_has_the_units_of_what_the_loss_subtracts(body: str, units: dict[str, str]) -> None:
    assert rg.parse(f"model M {{\n input x: [2]\n {body}\n}}").roles.units == units


def test_predictions_are_in_the_units_of_their_columns() -> None:
    model = rg.parse(
        "model M {\n input x: [1]\n input a: []\n input b: []\n d = Dense(2)(x)\n output d[0] as p, d[1] as q\n"
        " loss squared_error(d[0], a) + squared_error(d[1], b)\n}"
    )
    x = np.arange(20.0)
    table = {"x": x, "a": 1e9 + x, "b": -3 * x}
    data = rg.data.table(model, table, standardise=True)
    weights = {"dense.kernel": np.array([[1.0, -1.0]]), "dense.bias": np.zeros(2)}
    found = model.predict(data, weights, {"dtype": "float64"})
    assert np.allclose(found["p"], table["a"], rtol=0, atol=1e-6) and np.allclose(found["q"], table["b"])
    single = model.predict(data, weights)
    assert np.allclose(single["p"], table["a"], rtol=0, atol=1e-4)  # float32 alone would tell 1e9 from 1e9 + 64


def test_what_stands_beside_a_prediction_is_its_last_real_step() -> None:
    model = rg.parse("model M { input x: seq[1]\n _, final = unroll RNN(1) over x\n output final.h as end }")
    table = {"g": list("aaab"), "t": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-02-01"], "x": [1.0, 2, 3, 4]}
    data = rg.data.table(model, table, by="g", order="t", steps=3)
    frame = model.predict(data, model.init(0)).to_frame()
    assert frame["g"].tolist() == ["a", "b"] and frame["t"].tolist() == ["2024-01-03", "2024-02-01"]


def test_steps_ahead_are_numbered_beside_the_last_date_that_is_known() -> None:
    n = np.arange(8.0)
    dates = [f"2024-01-0{i + 1}" for i in range(8)]
    model = rg.parse(SPREAD)
    data = rg.data.table(
        model, {"x": n, "hour": n, "y": n, "t": dates}, steps={"time": 2, "ahead": 2}, horizon=1, order="t"
    )
    frame = model.predict(data, model.init(0)).to_frame()
    assert frame["t"].tolist()[:4] == ["2024-01-02", "2024-01-02", "2024-01-03", "2024-01-03"]
    assert frame["step"].tolist()[:4] == [0, 1, 0, 1]


def test_classes_are_predicted_in_their_words() -> None:
    model = rg.parse(
        "model M {\n input x: [2]\n input kind: int\n s = Dense(3)(x)\n output argmax(s) as found, s as scores\n"
        " loss cross_entropy(s, kind)\n}"
    )
    assert model.roles.classes == {"found": "kind"}
    table = {"a": [0.0, 1, 0, 1], "b": [0.0, 0, 1, 1], "kind": ["dog", "cat", "cow", "cat"]}
    data = rg.data.table(model, table, columns={"x": ["a", "b"], "kind": "kind"})
    weights = {"dense.kernel": np.array([[2.0, 0, 0], [0, 2.0, 0]]), "dense.bias": np.array([0, 0, 1.0])}
    found = model.predict(data, weights)
    assert found["found"].tolist() == [2, 0, 1, 0]
    assert found.to_frame()["found"].tolist() == ["dog", "cat", "cow", "cat"]
    wide = rg.parse(
        "model M {\n input x: [2]\n input kind: int\n s = Dense(5)(x)\n output argmax(s) as found\n"
        " loss cross_entropy(s, kind)\n}"
    )
    more = {"dense.kernel": np.array([[2.0, 0, 0, 0, 0], [0, 2.0, 0, 0, 0]]), "dense.bias": np.array([0, 0, 0, 1.0, 0])}
    assert wide.predict(data, more).to_frame()["found"].tolist() == ["3", "cat", "cow", "cat"]  # none is the fourth
    other = rg.parse(
        "model M {\n input x: [2]\n input kind: int\n s = Dense(3)(x)\n output argmax(0 - s) as found\n"
        " loss cross_entropy(s, kind)\n}"
    )
    assert other.roles.classes == {}


def test_constant_columns_are_only_moved() -> None:
    model = rg.parse("model M { input x: seq\n output x }")
    data = rg.data.table(model, {"x": [0.1] * 20}, standardise=True)
    assert data["x"].tolist() == [[0.0] * 20]
    assert rg.data.table(model, {"x": [0.2]}, like=data.made)["x"] == pytest.approx(0.1)


def test_scaling_is_never_made_of_new_data() -> None:
    model = rg.parse(
        "model M { input x: seq\n input y: []\n z = mean(x, axis = time)\n output z\n loss squared_error(z, y) }"
    )
    table = {"x": [1.0, 2, 3], "y": [1.0, 1, 5]}
    made = rg.data.table(model, table, standardise=True)
    with pytest.raises(rg.UserError, match="no scaling is kept of the column `other`"):
        rg.data.table(model, {"other": [1.0], "y": [2.0]}, columns={"x": "other"}, like=made.made)
    with pytest.raises(rg.UserError, match="trained on standardised columns"):
        rg.data.table(model, table, standardise=False, like=made.made)
    own = rg.data.table(model, {"x": [9.0, 2, 3], "y": [1.0, 1, 5]}, standardise=True)
    fitted = model.fit(made, epochs=1)
    for use in (lambda: model.evaluate(own, fitted.weights), lambda: model.predict(own, fitted.weights),
                lambda: model.fit(made, own, epochs=1)):  # fmt: skip
        with pytest.raises(rg.UserError, match="the column `x` was scaled otherwise"):
            use()


WORDS = """\
model Kinds {
  input kind: int
  input y: []
  p = sum(Embedding(3, 1)(kind))
  output p
  loss squared_error(p, y)
}
"""
SIGNS = """\
model Signs {
  input text, following: seq int
  scores = Dense(9)(unroll GRU(2) over Embedding(9, 2)(text))
  output scores
  loss cross_entropy(scores, following)
}
"""


def of_signs(model: Any, folder: Path, text: str) -> Any:
    (folder / "t.txt").write_text(text)
    return rg.data.text(model, folder / "t.txt", steps=2)


@pytest.mark.parametrize("kind", ["words", "columns", "signs"])
def test_numbers_that_mean_something_else_are_refused(kind: str, tmp_path: Path) -> None:
    if kind == "words":
        model, told = rg.parse(WORDS), "the words of the column `kind` have other numbers in"
        data, other = (rg.data.table(model, {"kind": [*words], "y": [1.0, 2]}) for words in ("ab", "bc"))
    elif kind == "columns":
        model, told = rg.parse(FORECAST), "the columns of the input `load` stand in another order in"
        table = {"a": [1.0, 2, 3], "b": [3.0, 2, 1], "c": [5.0, 6, 7]}
        data, other = (
            rg.data.table(model, table, columns={"load": names, "price": "c"}, steps=2, horizon=0)
            for names in (["a", "b"], ["b", "a"])
        )
    else:
        model, told = rg.parse(SIGNS), "have another alphabet than"
        data, other = (of_signs(model, tmp_path, text) for text in ("abcdef", "bcdefg"))
    fitted = model.fit(data, epochs=1)
    for use in (
        lambda: model.evaluate(other, fitted.weights),
        lambda: model.predict(other, fitted.weights),
        lambda: model.fit(data, other, epochs=1),
        lambda: model.fit(other, weights=fitted.weights, epochs=1),
        lambda: model.sweep(data, {"epochs": [1]}, test_data=other),
    ):
        with pytest.raises(rg.UserError, match=told):
            use()
    assert model.evaluate(data, fitted.weights) and model.fit(other, weights=dict(fitted.weights), epochs=1)


def test_rows_without_any_value_stay_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,1\n,\n3,3\n")
    with pytest.raises(rg.UserError, match=r"row 2, column `a`: a value is missing"):
        rg.data.load([path], rg.parse("model M { input a: seq\n output a }"))


def test_dates_with_time_zones_are_moments() -> None:
    model = rg.parse("model M { input x: seq\n output x }")
    times = ["2024-10-27T02:30+02:00", "2024-10-27T02:00+01:00", "2024-10-27T03:00+01:00", "2024-10-27T01:00+02:00"]
    assert rg.data.table(model, {"x": [1.0, 2, 3, 0], "t": times}, order="t")["x"].tolist() == [[0, 1, 2, 3]]
    for odd, told in (("2024-10-27T01:00", "a date without a time zone"), ("7", "a number"), ("", "missing")):
        with pytest.raises(rg.UserError, match=f"row 2, column `t`.*{told}"):
            rg.data.table(model, {"x": [1.0, 2], "t": [times[0], odd]}, order="t")


def test_sequences_that_are_too_short_are_told() -> None:
    model = rg.parse(FORECAST)
    table = {"id": list("aab"), "temp": [1, 2, 3], "load": [1, 2, 3], "price": [1, 2, 3]}
    data = rg.data.table(model, table, columns=COLUMNS, by="id", horizon=1)
    assert data.left_out == ("b",) and len(data["load"]) == 1 and "1 sequences are too short" in repr(data)


def test_columns_that_nobody_uses_may_be_anything(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",temp,x,x,2024,\n0,1,a,b,7,\n1,2,a,b,8,\n")  # as pandas writes an index
    model = rg.parse("model M { input temp: seq\n output temp }")
    assert rg.data.load([path], model)["temp"].tolist() == [[1, 2]]
    with pytest.raises(rg.UserError, match="two columns `x`"):
        rg.data.table(model, path, columns={"temp": "x"})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"horizon": -4}, "`horizon` should be a whole number of at least 0"),
        ({"horizon": 1.0}, "`horizon` should be a whole number"),
        ({"stride": 0}, "`stride` should be a whole number of at least 1"),
        ({"columns": ["temp"]}, "`columns` should be a mapping"),
        ({"columns": {"load": 3}}, "columns are given by input"),
        ({"like": 3}, "`like` should be a mapping"),
    ],
)
def test_what_is_no_recipe_is_told(more: dict[str, Any], told: str) -> None:
    table = {"temp": [1, 2, 3], "load": [1, 2, 3], "price": [1, 2, 3]}
    with pytest.raises(rg.UserError, match=told):
        rg.data.table(rg.parse(FORECAST), table, **{"columns": COLUMNS, "steps": 1, "horizon": 1, **more})


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    model = rg.parse(FORECAST)
    table = {"temp": np.arange(6), "load": np.arange(6), "price": np.arange(6)}
    data = rg.data.table(model, table, columns=COLUMNS, steps=np.int64(2), horizon=np.int32(1))
    rg.save_weights(tmp_path / "w.safetensors", model.fit(data, epochs=1).weights)


def test_missing_words_are_told_as_missing() -> None:
    model = rg.parse("model M { input k: seq int\n output Embedding(3, 2)(k) as e }")
    with pytest.raises(rg.UserError, match="row 2, column `k`: a value is missing"):
        rg.data.table(model, {"k": np.array(["b", None, "c"], object)})


@pytest.mark.parametrize("word", ["none", "NA", "n/a", "Null"])
def test_a_word_by_which_a_missing_value_is_written_is_named(word: str) -> None:
    """A class of that name reads like a value to whoever wrote it."""
    model = rg.parse("model M { input k: seq int\n output Embedding(3, 2)(k) as e }")
    with pytest.raises(rg.UserError, match="row 2, column `k`: a value is missing") as told:
        rg.data.table(model, {"k": np.array(["mild", word, "severe"], object)})
    assert f"`{word}` is how a missing value is written: write another word" in str(told.value)


def test_a_missing_value_that_pandas_marks_is_told() -> None:
    pandas = pytest.importorskip("pandas")
    model = rg.parse("model M { input k: seq int\n input b: seq bool\n output k, b }")
    words, truths = pandas.array(["b", None, "c"], dtype="string"), pandas.array([True, False, None], dtype="boolean")
    with pytest.raises(rg.UserError, match="row 2, column `k`: a value is missing"):
        rg.data.table(model, pandas.DataFrame({"k": words, "b": [1, 0, 1]}))
    with pytest.raises(rg.UserError, match="row 3, column `b`: a value is missing") as told:
        rg.data.table(model, pandas.DataFrame({"k": [1, 2, 3], "b": truths}))
    assert "--mask" not in str(told.value)  # only floats can be left out
    with pytest.raises(rg.UserError, match="row 2, column `k`: a value is missing, and it tells sequences apart"):
        rg.data.table(model, pandas.DataFrame({"k": words, "b": [1, 0, 1]}), by="k")


def test_what_is_neither_true_nor_false_is_refused() -> None:
    model = rg.parse("model M { input b: seq bool\n output b }")
    for cell in (2, "2", -1.0):
        with pytest.raises(rg.UserError, match=f"row 2, column `b`: `{cell}` is neither true nor false"):
            rg.data.table(model, {"b": [1, cell, 0]})


def test_a_column_of_numbers_is_not_read_as_words_later() -> None:
    """One cell that is no number would give all others the places of their texts in the alphabet."""
    model = rg.parse("""
        model M {
          input c: int
          input y: [1]
          p = Dense(1)(Embedding(20, 3)(c))
          loss squared_error(p, y)
        }
    """)
    numbers, y = [*range(12)], np.zeros(12)
    data = rg.data.table(model, {"c": numbers, "y": y})
    weights = model.fit(data, epochs=1).weights
    cells = [*map(str, numbers[:-1]), "?"]
    with pytest.raises(rg.UserError, match=r"row 12, column `c`: `\?` is not a number"):
        rg.data.table(model, {"c": cells, "y": y}, like=weights.about.data)
    with pytest.warns(Warned, match=r"row 12, column `c`: `\?` is not a number, so all of the column are words"):
        other = rg.data.table(model, {"c": cells, "y": y})
    assert other["c"].tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 2, 11]
    for cell in ("1_000", "1e999", "1,000"):
        with pytest.warns(Warned, match=f"row 12, column `c`: `{cell}` is not a number"):
            rg.data.table(model, {"c": [*cells[:-1], cell], "y": y})
    with pytest.raises(rg.UserError, match="the words of the column `c` have other numbers in the data"):
        model.evaluate(other, weights)


HELD = """\
model Held {
  input x: seq
  input y: []
  param w: [] = 0
  loss (w * last(x) - y) ** 2
}
"""


@pytest.mark.parametrize("order", ["when", None])
def test_the_last_rows_of_several_sequences_are_those_of_the_last_dates(order: str | None) -> None:
    """`b` begins last and ends first. Without dates the last rows are those that end last in the table."""
    when = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-06"]
    ids = ["a", "a", "b", "b", "a", "a"]
    y = np.array([1.0, 2, 3, 4, 5, 6])
    stands = np.arange(6) if order is None else np.random.default_rng(1).permutation(6)
    columns = {"id": np.array(ids)[stands], "when": np.array(when)[stands], "y": y[stands], "x": y[stands]}
    model = rg.parse(HELD)
    data = rg.data.table(model, columns, by="id", order=order, steps=1, horizon=0)
    kept = {"optimizer": ("sgd", {"rate": 0}), "validation": 0.5, "epochs": 1}
    (record,) = model.fit(data, split="last", **kept).history
    assert record["validation.loss"] == pytest.approx((16 + 25 + 36) / 3)
    (record,) = model.fit(dict(data), split="last", **kept).history  # plain arrays have no dates
    assert record["validation.loss"] == pytest.approx(np.square(data["y"][3:]).mean())


def test_a_date_that_a_sequence_has_twice_is_told() -> None:
    """Mostly these are several sequences, whose rows would follow each other as if they were one."""
    columns = {"id": ["a", "b", "a", "b"], "when": ["2024-01-02", "2024-01-01", "2024-01-01", "2024-01-02"]}
    table, model = {**columns, "x": [1.0, 2, 3, 4], "y": [1.0, 2, 3, 4]}, rg.parse(HELD)
    kept: Any = {"order": "when", "steps": 2, "horizon": 0}
    with pytest.warns(Warned, match="row 3, column `when`: `2024-01-01` stands in row 2 too") as told:
        assert rg.data.table(model, table, **kept)["x"].tolist() == [[2, 3], [3, 1], [1, 4]]
    assert "`--by COLUMN`" in str(told[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rg.data.table(model, table, by="id", **kept)["x"].tolist() == [[3, 1], [2, 4]]


def test_rows_that_are_dated_otherwise_are_other_data(tmp_path: Path) -> None:
    """The same arrays, of which others are held back."""
    model, y = rg.parse(HELD), [1.0, 2, 3, 4]
    columns = {"id": ["a", "a", "b", "b"], "y": y, "x": y}
    kept: Any = {"by": "id", "order": "t", "steps": 1, "horizon": 0}
    data, other = (rg.data.table(model, {**columns, "t": t}, **kept) for t in ([1, 2, 3, 4], [3, 4, 1, 2]))
    assert all(np.array_equal(data[name], other[name]) for name in data)
    path = tmp_path / "t.checkpoint"
    model.fit(data, checkpoint=path, validation=0.5, split="last", epochs=1)
    with pytest.raises(rg.UserError, match="made with other data: `the order of rows` is not the same"):
        model.fit(other, resume=path, validation=0.5, split="last", epochs=1)


# --- windows and rows of arrays -----------------------------------------------------------------------------------


def test_windows_of_arrays() -> None:
    data = rg.data.windows({"x": np.arange(6), "y": np.arange(12).reshape(6, 2)}, 3, 2)
    assert data["x"].tolist() == [[0, 1, 2], [2, 3, 4]] and data["y"].shape == (2, 3, 2)
    with pytest.raises(rg.UserError, match="longer than the data"):
        rg.data.windows({"x": np.arange(2)}, 3)


def test_one_long_sequence_as_rows() -> None:
    assert rg.data.streams({"x": np.arange(1, 14)}, 2)["x"].tolist() == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]]
    with pytest.raises(rg.UserError, match="fewer steps"):
        rg.data.streams({"x": np.arange(2)}, 3)
    with pytest.raises(rg.UserError, match="one length"):
        rg.data.streams({"x": np.arange(10), "y": np.arange(7)}, 2)


# --- lists of different lengths -----------------------------------------------------------------------------------


def test_ragged_json_and_json_lines(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"x": [[[1, 2]], [[3, 4], [5, 6]]], "label": [0, 1]}')
    (tmp_path / "a.jsonl").write_text('{"x": [[1, 2]], "label": 0}\n\n{"x": [[3, 4], [5, 6]], "label": 1}\n')
    for name in ("a.json", "a.jsonl"):
        data = rg.data.load([tmp_path / name])
        assert data["x"].tolist() == [[[1, 2], [0, 0]], [[3, 4], [5, 6]]]
        assert data["x.lengths"].tolist() == [1, 2] and data["label"].tolist() == [0, 1]
    (tmp_path / "b.jsonl").write_text('{"x": [1]}\n{"y": [1]}\n')
    with pytest.raises(rg.UserError, match="row 2 holds `y`, row 1 holds `x`"):
        rg.data.load([tmp_path / "b.jsonl"])
    (tmp_path / "c.json").write_text('{"x": [[1], [2, 3]], "x.lengths": [1, 1]}')
    assert rg.data.load([tmp_path / "c.json"])["x.lengths"].tolist() == [1, 1]
    (tmp_path / "c.json").write_text('{"x": [[1], [2, 3]], "x.lengths": [2, 2]}')
    with pytest.raises(rg.UserError, match=r"`x\.lengths` says 2 for row 0, whose lists have 1"):
        rg.data.load([tmp_path / "c.json"])


def test_lists_along_one_axis_are_as_long_as_each_other(tmp_path: Path) -> None:
    """The second row has one step of `x` and two of `k`, of which one would not have been read."""
    model = rg.parse("model M { input x: seq[2] input k: seq int output sum(k + x[0], axis = time) as y }")
    lines = '{"x": [[1, 2], [3, 4]], "k": [1, 2]}\n{"x": [[1, 2]], "k": [1, 2]}\n'
    (tmp_path / "a.jsonl").write_text(lines)
    with pytest.raises(rg.UserError, match=r"`k\.lengths` and `x\.lengths` disagree at row 1: 2 and 1"):
        model.compile().run(rg.data.load([tmp_path / "a.jsonl"], model), {})
    (tmp_path / "a.jsonl").write_text(lines.replace('[[1, 2]], "k": [1, 2]', '[[1, 2]], "k": [1]'))
    assert model.compile().run(rg.data.load([tmp_path / "a.jsonl"], model), {})["y"].tolist() == [7.0, 2.0]


def test_images_of_several_sizes_in_json(tmp_path: Path) -> None:
    """Where the lists alone do not tell that both axes have lengths, the model does."""
    path, model = tmp_path / "a.json", rg.parse("model M { input x: seq@row@column  output x * 2 as y }")
    path.write_text('{"x": [[[1, 2, 3]], [[4], [5]], []]}')
    data = rg.data.load([path])
    assert data["x"].tolist() == [[[1, 2, 3], [0, 0, 0]], [[4, 0, 0], [5, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    assert data["x.lengths"].tolist() == [[1, 3], [2, 1], [0, 0]]
    assert model.compile().run(data, {})["y"].tolist() == (2 * data["x"]).tolist()
    path.write_text('{"x": [[[1, 2]], [[3, 4], [5, 6]]]}')
    assert rg.data.load([path])["x.lengths"].tolist() == [1, 2]
    assert rg.data.load([path], model)["x.lengths"].tolist() == [[1, 2], [2, 2]]
    path.write_text('{"x": [[[1, 2], [3]]]}')
    with pytest.raises(rg.UserError, match="the lists of `x` differ in length"):
        rg.data.load([path], model)


def test_a_grid_is_no_column_of_a_table(tmp_path: Path) -> None:
    model = rg.parse("model M { input x: seq@row@column  output x }")
    with pytest.raises(rg.UserError, match="`x` runs over row and column, which columns of a table cannot fill"):
        rg.data.table(model, {"x": np.arange(4.0)}, steps={"row": 2, "column": 2})


# --- more than fits into memory -----------------------------------------------------------------------------------


def test_an_array_of_its_own_file_is_mapped_and_trains_as_one_in_memory(tmp_path: Path) -> None:
    rng, model = np.random.default_rng(0), rg.parse(FORECAST)
    arrays = {"load": rng.normal(size=(9, 5, 2)).astype("f4"), "price": rng.normal(size=(9, 1)).astype("f4")}
    np.save(tmp_path / "load.npy", np.asfortranarray(arrays["load"]))
    np.save(tmp_path / "price.npy", arrays["price"])
    data = rg.data.load([tmp_path / "load.npy", tmp_path / "price.npy"])
    assert isinstance(data["load"].base, np.memmap) and np.array_equal(data["load"], arrays["load"])
    one, other = (model.fit(d, epochs=2, batch=4, validation=0.3).weights for d in (data, arrays))
    assert all(np.array_equal(one[n], other[n]) for n in one)
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    assert rg.data.load([tmp_path / "none.npy"])["none"].shape == (0, 3)


def test_windows_over_one_table_take_no_memory_of_their_own() -> None:
    model = rg.parse("model M { input x: seq\n output x }")
    data = rg.data.table(model, {"x": np.arange(10_000.0)}, steps=1_000)
    assert data["x"].shape == (9_001, 1_000) and not data["x"].flags.owndata


# --- several tables -------------------------------------------------------------------------------------------------


@pytest.fixture
def halves(tmp_path: Path) -> tuple[Path, Path]:
    """The table of prices as two, of what is known and of what is wanted."""
    lines = [line.split(",") for line in TABLE.splitlines()]
    for name, columns in (("known.csv", (0, 1, 2)), ("wanted.csv", (0, 3))):
        (tmp_path / name).write_text("\n".join(",".join(line[i] for i in columns) for line in lines) + "\n")
    return tmp_path / "known.csv", tmp_path / "wanted.csv"


@pytest.mark.parametrize("order", [1, -1])
def test_two_tables_are_one(prices: Path, halves: tuple[Path, Path], order: int) -> None:
    model = rg.parse(FORECAST)
    how: Any = {"columns": COLUMNS, "steps": 2, "horizon": 0, "order": "date", "standardise": True}
    whole, parts = rg.data.table(model, prices, **how), rg.data.load(halves[::order], model, **how)
    assert all(np.array_equal(whole[name], parts[name]) for name in ("load", "price"))
    fitted = model.fit(parts, epochs=1)
    again = rg.data.load(halves[::order], model, like=fitted.weights.about.data)
    one, other = model.predict(whole, fitted.weights), model.predict(again, fitted.weights)
    assert np.array_equal(one["forecast"], other["forecast"]) and one["forecast"].min() > 50  # a price
    assert other.rows.beside["date"].tolist()[0] == ["2024-01-01", "2024-01-02"]


def test_words_of_the_first_of_two_tables_are_kept(tmp_path: Path) -> None:
    model = rg.parse(WORDS)
    for name, text in (("k.csv", "kind\nb\na\nc\n"), ("y.csv", "y\n1\n2\n3\n"), ("n.csv", "kind\nc\nb\nc\n")):
        (tmp_path / name).write_text(text)
    data = rg.data.load([tmp_path / "k.csv", tmp_path / "y.csv"], model)
    new = rg.data.table(model, tmp_path / "n.csv", like=data.made, only=["kind"])
    assert data["kind"].tolist() == [1, 0, 2] and new["kind"].tolist() == [2, 1, 2]


def test_what_is_wrong_of_two_tables_is_told(halves: tuple[Path, Path]) -> None:
    model = rg.parse(FORECAST)
    how: Any = {"columns": COLUMNS, "steps": 2, "horizon": 0, "order": "date"}
    with pytest.raises(rg.UserError, match="no table has the columns that are given for the input `price`"):
        rg.data.load(halves, model, **{**how, "columns": {**COLUMNS, "price": "cost"}})
    halves[1].write_text(halves[1].read_text().replace("2024-01-02", "2024-01-07"))
    with pytest.raises(rg.UserError, match=r"row 0 of `.*wanted.csv` has another `date`"):
        rg.data.load(halves, model, **how)
