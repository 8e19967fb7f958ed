"""Pictures, the summary, and the page of `compare`."""

from __future__ import annotations

import json
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace
from rich.console import Console

import rnngraph as rg
from rnngraph.analysis.results import CompareRow, Comparison, Difference, LedgerEntry, Panel, Spread
from rnngraph.cli.comparison import full, short
from rnngraph.cli.tables import summary_table
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.ir.graph import Graph, graph_input
from rnngraph.ir.types import Type
from rnngraph.ops import call
from rnngraph.viz import memory
from rnngraph.viz.comparison_plots import plots
from rnngraph.viz.dot_program import run
from rnngraph.viz.picture import picture
from rnngraph.viz.sentences import honest, verdict
from rnngraph.viz.summary import as_json, summary, totals
from rnngraph.viz.write import svg, write
from tests.support.hand_built import stack_model
from tests.support.models import REPEATED

# --- files ---


@pytest.mark.parametrize("unrolled", [False, True])
@pytest.mark.parametrize(
    ("ending", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph")]
)
def test_every_form_is_written(tmp_path: Path, ending: str, start: bytes, unrolled: bool) -> None:
    graph, block = stack_model()
    path = tmp_path / f"model.{ending}"
    write(picture(graph, block, unrolled=unrolled), path)
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_svg_is_sound_and_has_the_tooltips() -> None:
    graph, block = stack_model()
    text = svg(picture(graph, block))
    ElementTree.fromstring(text.encode())
    assert "lstm.rnn:9: c" in text
    assert "Helvetica Neue" in text


def test_text_of_the_user_is_escaped() -> None:
    x = graph_input('<b>:&"x"', "data", Type(("batch",), (3,)))
    ElementTree.fromstring(svg(picture(Graph({"x": x}, {"<y>": call("tanh", x)}))).encode())


def test_an_unknown_ending_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.svg, \.png, \.pdf or \.dot"):
        write(picture(*stack_model()), tmp_path / "model.jpeg")


def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(CannotDo, match="cannot write"):
        write(picture(*stack_model()), tmp_path / "file" / "model.svg")
    with pytest.raises(CannotDo, match="cannot write"):
        write(picture(*stack_model()), tmp_path / "missing" / "model.svg")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_picture_draws_itself_in_a_notebook() -> None:
    assert "<svg" in picture(*stack_model())._repr_mimebundle_()["image/svg+xml"]


# --- summary ---


def test_summary_has_a_row_for_each_instance() -> None:
    _, block = stack_model()
    rows = summary(block)
    assert [(r.depth, r.name, r.definition, r.values) for r in rows] == [
        (0, "Stack", "Stack", 0), (1, "stack", "", 0), (2, "0", "LSTM", 128), (2, "1", "LSTM", 200),
    ]  # fmt: skip
    assert rows[2].states == (("c", (4,)), ("h", (4,)))
    assert rows[2].shared == "shared by every time step"
    assert totals(rows) == {"values": 328, "trained": 308, "frozen": 20}


def test_what_a_for_makes_has_its_counter_in_its_name() -> None:
    made = rg.parse(REPEATED)
    (row,) = [r for r in made.summary()["blocks"] if r["definition"] == "Twice"]
    assert [name for name, _ in row["states"]] == ["h.1", "h.2"]
    assert ">r.1 [3, 3]<" in made.render()._repr_mimebundle_()["image/svg+xml"]
    assert ">h.2<" in made.render(cell="Twice")._repr_mimebundle_()["image/svg+xml"]


def test_summary_as_table_and_json() -> None:
    _, block = stack_model()
    console = Console(width=140, record=True, file=StringIO())
    console.print(summary_table(block))
    text = console.export_text()
    assert "328 (20 frozen)" in text
    assert "kernel [7, 16]" in text
    assert json.loads(json.dumps(as_json(block)))["totals"]["values"] == 328


# --- the page of compare ---


def comparison(equal: bool = True, name: str = "lstm.rnn") -> Comparison:
    rows = tuple(row(mode, steps) for steps in (2, 10, 100) for mode in ("static", "dynamic"))
    differences = (Difference("y", 0.0, True), Difference("grad:kernel", 0.0 if equal else 2e-9, equal))
    return Comparison(name, 32, "float32", "numpy", equal, differences, rows, ("A note.",), "2 cores")


def row(mode: str, steps: int) -> CompareRow:
    nodes = 40 * steps if mode == "static" else 60
    ledger = (
        LedgerEntry("parameters", 1312, 1312, "1,312 B"),
        LedgerEntry("saved", 25_600 * steps, 25_600 * steps, "25,600 T"),
        LedgerEntry("workspace", 1024, 2048, "1,024 B"),
    )
    sizes = (nodes, nodes, 3 * nodes, 4 * nodes, 500 * nodes, 900 * nodes)
    return CompareRow(mode, steps, *sizes, nodes / 1e4, 3.0, Spread(2.0, 1.9, 2.3), ledger)


def test_the_verdict_names_what_differs() -> None:
    assert verdict(comparison()) == "The modes give the same bits: all 2 outputs and gradients are equal."
    assert "grad:kernel by up to 2e-09" in verdict(comparison(equal=False))


def test_the_notes_are_backed_by_the_numbers() -> None:
    graphs, saved, speed = honest(comparison())
    assert "12,000 nodes static against 180 dynamic" in graphs
    assert "the same in both modes: 2.6 MB at 100 steps" in saved
    assert "no difference beyond the noise: 2 ms (1.9 to 2.3) static, 2 ms (1.9 to 2.3) dynamic" in speed


def test_the_notes_do_not_claim_what_the_numbers_deny() -> None:
    turned = Comparison("m", 1, "float32", "numpy", True, (), (row("dynamic", 2), row("static", 1)))
    assert honest(turned) == ()
    small = Comparison("m", 1, "float32", "numpy", True, (), (row("dynamic", 1), row("static", 1)))
    assert honest(small)[0].startswith("A loop does not shrink the graph here")
    for low, said in ((1.9, "no difference beyond the noise"), (2.4, "the static mode is 1.50 times as fast")):
        slow = [replace(r, later_ms=Spread(3.0, low, 3.1)) if r.mode == "dynamic" else r for r in small.rows]
        assert said in honest(replace(small, rows=tuple(slow)))[2]
        assert "each measured once, which tells no" in honest(replace(small, rows=tuple(slow), repeats=1))[2]
    bare = tuple(replace(r, ledger=()) for r in small.rows)
    assert "Nothing but inputs and outputs" in honest(replace(small, rows=bare))[1]


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("shown", [short, full])
@pytest.mark.parametrize("modes", ["{}", "{}, within 512MB"])
def test_a_comparison_fits_and_ends_with_its_verdict(shown: Any, modes: str, width: int) -> None:
    """Nothing is cut, no number folded, also with the longest names of schedules."""
    told = comparison()
    if modes != "{}":
        more = (replace(r, mode=modes.format(r.mode), gradient_error=0.25, evaluations=1.5) for r in told.rows)
        told = replace(told, rows=(*told.rows, *more))
    console = Console(width=width, record=True, file=StringIO())
    for found in shown(told):
        console.print(found)
    text = console.export_text()
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    assert all(number in text for number in ("2 ms", "1.5", "1,024 B", "2,048 B") if modes != "{}" or number != "1.5")
    last = text.index("The modes give the same bits")
    assert last > text.rindex("1,024 B") > text.index("steps") and "A loop shrinks the graph" in text[last:]
    if shown is full:
        assert "12,000" in text and "2,560,000 B" in text and "1.9 to 2.3" in text


def test_the_memory_of_a_comparison_is_a_line_where_all_is_as_predicted() -> None:
    told = comparison()
    right = [replace(r, ledger=tuple(replace(e, measured=e.predicted) for e in r.ledger)) for r in told.rows]
    (line,) = [part for part in short(replace(told, rows=tuple(right))) if str(part).startswith("Memory")]
    assert line == "Memory at 100 steps: 2.6 MB in both modes, as predicted, to the byte."
    (line,) = [part for part in short(told) if str(part).startswith("Memory")]
    assert line.startswith("Memory: 6 of 18 sizes are not as predicted")


def test_plots_are_written_as_svg_and_png(tmp_path: Path) -> None:
    files = plots(comparison(), tmp_path / "plots")
    assert len(files) == 8
    assert {file.suffix for file in files} == {".svg", ".png"}
    assert all(file.stat().st_size > 1000 for file in files)


def test_results_are_plain_data() -> None:
    found = json.loads(json.dumps(comparison().to_json()))
    assert found["rows"][0]["ledger"][0] == {
        "category": "parameters", "predicted": 1312, "measured": 1312, "law": "1,312 B",
    }  # fmt: skip


def test_curves_that_take_too_long_become_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def slow(command: list[str], **rest: Any) -> subprocess.CompletedProcess[bytes]:
        tried.append(command[-1])
        if tried[-1] != "-Gsplines=line":
            raise subprocess.TimeoutExpired(command, rest["timeout"])
        return subprocess.CompletedProcess(command, 0, b"drawn", b"")

    monkeypatch.setattr(subprocess, "run", slow)
    assert run("digraph {}", [], ["spline", "line"]) == b"drawn"
    with pytest.raises(CannotDo, match="it took longer than 20 seconds") as error:
        run("digraph {}", [], ["spline"])
    assert "--fold" in (error.value.diagnostics[0].help or "")


PANELS = tuple(
    Panel(
        mode, (0, 4, 90), ((0, 8, 8, 2_000, 0, 600 + extra), (0, 8, 8, 2_000, 0, 900), (0, 8, 8, 1_000, 300, 10)), 100,
        40, ((0, 2_616 + extra), (50, 2_916)), 3_000, "at lstm.rnn:7",
    )
    for mode, extra in (("static", 0), ("dynamic", 50))
)  # fmt: skip


def test_the_picture_of_memory_says_what_it_shows() -> None:
    text = memory.drawn(PANELS, "LSTM4: bytes alive", "svg").decode()
    words = "".join(element.text or "" for element in ElementTree.fromstring(text).iter())
    for told in ("LSTM4: bytes alive", "static", "dynamic", "forward", "backward", "saved for backward", "measured"):
        assert told in words
    assert words.count("peak 2,916 B  at lstm.rnn:7") == 2 and words.count("allocated 3,000 B") == 2
    assert "parameters" not in words  # there are none here


def test_the_peak_is_where_most_is_alive() -> None:
    assert PANELS[0].peak == (47, 2_916)


def test_a_picture_of_memory_is_written_by_its_ending(tmp_path: Path) -> None:
    for form in ("svg", "png", "pdf"):
        memory.picture(PANELS, "x", tmp_path / f"m.{form}")
        assert (tmp_path / f"m.{form}").stat().st_size > 5_000
    with pytest.raises(UserError, match="format of a picture"):
        memory.picture(PANELS, "x", tmp_path / "m.txt")
