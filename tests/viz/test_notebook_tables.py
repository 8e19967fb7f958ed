"""Summaries, comparisons and costs are tables in a notebook."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import rnngraph as rg
from tests.support.paths import ROOT


def texts(html: str) -> list[list[list[str]]]:
    """The cells of each table; the whole has to be well-formed."""
    tree = ElementTree.fromstring(f"<div>{html}</div>")
    return [[["".join(c.itertext()) for c in row] for row in table.iter("tr")] for table in tree.iter("table")]


def test_a_summary_is_a_table_and_plain_data() -> None:
    summary = rg.load(ROOT / "examples/stack.rnn").summary()
    (rows,) = texts(summary._repr_html_())
    assert rows[0] == ["block", "definition", "states and weights", "values"]
    held = "c [4] state\nh [4] state\nkernel [10, 16]\nbias [16]"
    assert rows[3][1:] == ["cell LSTM\nshared by every time step", held, "176"]
    assert rows[-1][::3] == ["total", "376"] and summary["totals"]["values"] == 376 and isinstance(summary, dict)


def test_a_comparison_has_a_row_for_each_number_of_steps_and_its_verdict() -> None:
    found = rg.load(ROOT / "examples/textbook.rnn").compare(steps=[2, 3], repeats=1, options={"kernels": "numpy"})
    html = found._repr_html_()
    (rows,) = texts(html)
    assert [row[:2] for row in rows[1:]] == [["static", "2"], ["dynamic", "2"], ["static", "3"], ["dynamic", "3"]]
    assert [row[2] for row in rows[1:]] == [f"{row.nodes_gradient:,}" for row in found.rows]
    assert "The modes give the same bits" in html


def test_a_cost_adds_up_and_names_of_files_are_only_text(tmp_path: Path) -> None:
    path = tmp_path / "a<b>&c.rnn"
    path.write_text("model M { input x: seq[3] y = unroll RNN(5) over x output y }")
    cost = rg.load(path).cost(steps=10, gradient=True)
    html = cost._repr_html_()
    sizes, lines = texts(html)
    assert sum(int(row[1].replace(",", "")) for row in sizes[1:-1]) == int(sizes[-1][1].replace(",", "")) == cost.total
    assert any(row[1].endswith("a<b>&c.rnn:1") for row in lines) and not re.search(r"<b>&", html)
