"""Tables that results show of themselves in a notebook: HTML without scripts, in the notebook's own colours."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from rnngraph.analysis.cost import Cost
from rnngraph.analysis.results import Comparison
from rnngraph.viz.comparison_plots import PLOTS, inline
from rnngraph.viz.comparison_tables import COLUMNS, TEXTS, cells
from rnngraph.viz.sentences import data, honest, verdict

_SHOWN = ("mode", "steps", "nodes,\ngradient", "compile", "first run", "later runs", "arrays")
"""Columns of a comparison."""
_LINES = 10
"""Lines of source that a cost names."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: Collection[str], foot: Sequence[str] = ()) -> str:
    """A table; the columns `texts` stand left, numbers right. Everything is escaped; lines of a cell stay lines."""
    ways = ["left" if head in texts else "right" for head in heads]
    head = "".join(_cell("th", text, way) for text, way in zip(heads, ways, strict=True))
    body = "\n".join(_row("td", row, ways) for row in rows)
    last = f"<tfoot>{_row('th', foot, ways)}</tfoot>" if foot else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody>{last}</table>"


def _row(kind: str, row: Sequence[str], ways: Sequence[str]) -> str:
    return f"<tr>{''.join(_cell(kind, text, way) for text, way in zip(row, ways, strict=True))}</tr>"


def _cell(kind: str, text: str, way: str) -> str:
    style = f"text-align:{way};vertical-align:top;white-space:pre-wrap"
    return f"<{kind} style='{style}'>{escape(text)}</{kind}>"


def _paragraph(text: str, strong: bool = False) -> str:
    return f"<p>{'<b>' * strong}{escape(text)}{'</b>' * strong}</p>"


class ShownComparison(Comparison, frozen=True):
    """A comparison that is a table in a notebook."""

    def _repr_html_(self) -> str:
        return comparison_html(self)


def comparison_html(results: Comparison) -> str:
    """A row for each number of steps and mode, and what follows."""
    places = [COLUMNS.index(name) for name in _SHOWN]
    rows = [[row[place] for place in places] for row in cells(results)]
    facts = f"{results.model}: {results.facts}"
    told = (verdict(results), *results.notes, *honest(results))
    return "\n".join([_paragraph(facts, True), table(_SHOWN, rows, TEXTS), *map(_paragraph, told)])


def drawn_comparison(results: Comparison) -> str:
    """The same with its plots."""
    plots = [inline(results, plot) for plot in PLOTS] if results.rows else []
    return "\n".join([comparison_html(results), *plots])


class ShownCost(Cost, frozen=True):
    """A cost that is tables in a notebook: bytes by category with how they grow, and the lines that answer for the
    peak."""

    def _repr_html_(self) -> str:
        sizes = ", ".join(f"{axis} {size:,}" for axis, size in self.sizes.items())
        rows = [(category, f"{size:,}", str(self.laws[category])) for category, size in self.bytes.items()]
        heads = ("category", "bytes", self.law)
        foot = ("total", f"{self.total:,}", f"{data(self.peak.bytes)} alive at once at most")
        lines = [(f"{line.bytes:,}", line.place, line.text) for line in self.lines[:_LINES]]
        shown = [_paragraph(f"{sizes}, {self.dtype}", True), table(heads, rows, heads[::2], foot)]
        if lines:
            way = "backward" if self.peak.backward else "forward"
            told = f"The peak is at {self.peak.place} ({way}), where its bytes are made:"
            shown += [_paragraph(told), table(("bytes", "place", "line"), lines, ("place", "line"))]
        return "\n".join(shown)


def summary_html(blocks: Sequence[Mapping[str, Any]], totals: Mapping[str, int]) -> str:
    """A row for each instance, its parts set in below it."""
    frozen = f" ({totals['frozen']:,} frozen)" if totals["frozen"] else ""
    heads = ("block", "definition", "states and weights", "values")
    foot = ("total", "", "", f"{totals['values']:,}{frozen}")
    return table(heads, map(_block, blocks), heads[:3], foot)


def _block(row: Mapping[str, Any]) -> tuple[str, ...]:
    states = [f"{name} {list(shape)} state" for name, shape in row["states"]]
    weights = [f"{name} {list(shape)}{' frozen' * frozen}" for name, shape, frozen in row["weights"]]
    made = "\n".join(filter(None, (f"{row['kind']} {row['definition']}".strip(), row["shared"])))
    values = f"{row['values']:,}" if row["values"] else ""
    return "  " * row["depth"] + row["name"], made, "\n".join([*states, *weights]), values
