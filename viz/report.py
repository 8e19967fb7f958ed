"""The page of `compare`: one file that needs no other: verdict, plots, tables, ledger."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files

from rnngraph.analysis.results import CATEGORIES, CompareRow, Comparison, Difference
from rnngraph.diagnostics.optional import installed
from rnngraph.viz.plots import PLOTS, colour, inline, plots
from rnngraph.viz.sentences import data, honest, later, verdict
from rnngraph.viz.tables import COLUMNS, cells

__all__ = ["plots", "report"]

_MOST_DIFFERENCES = 40


def report(results: Comparison) -> str:
    """A whole HTML page; what the user named is escaped."""
    body = "\n".join(
        [
            _heading(results),
            _verdict(results),
            _notes(results),
            _plots(results),
            _costs(results),
            _ledger(results),
            _differences(results.differences),
        ]
    )
    style = files("rnngraph.viz").joinpath("report.css").read_text(encoding="utf-8")
    title = escape(f"{results.model}: static and dynamic compared")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>\n{style}{_mode_styles(results)}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _mode_styles(results: Comparison) -> str:
    return "".join(
        f".mode-{i} {{ color: {colour(results, m)}; font-weight: 600 }}\n"
        for i, m in enumerate(results.modes)
    )


def _heading(results: Comparison) -> str:
    facts = [f"batch {results.batch:,}", results.dtype, f"backend {results.backend}", results.machine]
    line = " &middot; ".join(escape(fact) for fact in facts if fact)
    return f"<h1>{escape(results.model)}</h1>\n<p class='facts'>{line}</p>"


def _verdict(results: Comparison) -> str:
    kind = "same" if results.equal else "differs"
    return f"<p class='verdict {kind}'>{escape(verdict(results))}</p>"


def _notes(results: Comparison) -> str:
    notes = [*honest(results), *results.notes]
    if not notes:
        return ""
    return "<section class='notes'>" + "".join(f"<p>{escape(note)}</p>" for note in notes) + "</section>"


def _plots(results: Comparison) -> str:
    if not results.rows:
        return ""
    if not installed("matplotlib"):
        return "<p class='notes'>There are no plots: they need matplotlib, <code>pip install matplotlib</code>.</p>"
    figures = "\n".join(
        f"<figure aria-label='{escape(plot.title)}'>{inline(results, plot)}</figure>" for plot in PLOTS
    )
    return f"<h2>Against the number of steps</h2>\n<div class='plots'>\n{figures}\n</div>"


def _costs(results: Comparison) -> str:
    rows = "\n".join(
        f"<tr><td class='mode-{results.modes.index(mode)}'>{escape(mode)}</td>{_cells(rest)}</tr>"
        for mode, *rest in cells(results)
    )
    heads = "".join(f"<th>{escape(column)}</th>" for column in COLUMNS)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table>"
    return f"<h2>Cost</h2>\n<p>Runs; {escape(later(results))}.</p>\n<div class='wide'>{table}</div>"


def _cells(values: Iterable[str]) -> str:
    return "".join(f"<td>{escape(value)}</td>" for value in values)


def _ledger(results: Comparison) -> str:
    """For each mode, the categories across and the steps down; under the heads, how each grows."""
    parts = [
        _mode_ledger(results, mode) for mode in results.modes if any(row.ledger for row in results.of(mode))
    ]
    if not parts:
        return ""
    text = "Predicted from the plan, measured in the run; one number where both are the same."
    return f"<h2>Bytes in memory</h2>\n<p>{text}</p>\n" + "\n".join(parts)


def _mode_ledger(results: Comparison, mode: str) -> str:
    rows = results.of(mode)
    present = [c for c in CATEGORIES if any(entry.category == c for row in rows for entry in row.ledger)]
    present += sorted({e.category for row in rows for e in row.ledger} - set(CATEGORIES))
    heads = "".join(f"<th>{escape(category)}</th>" for category in present)
    laws = "".join(f"<td>{escape(_law(rows[-1], category))}</td>" for category in present)
    lines = "\n".join(
        f"<tr><td>{row.steps:,}</td>{''.join(_entry(row, category) for category in present)}</tr>"
        for row in rows
    )
    return (
        f"<h3 class='mode-{results.modes.index(mode)}'>{escape(mode)}</h3>\n<div class='wide'><table><thead>"
        f"<tr><th>steps</th>{heads}</tr></thead><tbody>\n{lines}\n"
        f"<tr class='law'><td>growth</td>{laws}</tr>\n"
        "</tbody></table></div>"
    )


def _law(row: CompareRow, category: str) -> str:
    return next((entry.law for entry in row.ledger if entry.category == category), "")


def _entry(row: CompareRow, category: str) -> str:
    found = next((entry for entry in row.ledger if entry.category == category), None)
    if found is None:
        return "<td></td>"
    exact = f"predicted {found.predicted:,} B, measured {found.measured:,} B"
    if found.predicted == found.measured:
        return f"<td title='{exact}'>{data(found.measured)}</td>"
    told = f"<span class='off'>{data(found.predicted)} predicted</span>"
    return f"<td title='{exact}'>{told}<br>{data(found.measured)}</td>"


def _differences(differences: tuple[Difference, ...]) -> str:
    """Those that differ first; a long list of equal ones is cut."""
    ordered = sorted(differences, key=lambda d: (d.equal, -d.max_abs))
    rows = "\n".join(
        f"<tr><td>{escape(d.name)}</td><td>{'same bits' if d.equal else f'{d.max_abs:.3g}'}</td></tr>"
        for d in ordered[:_MOST_DIFFERENCES]
    )
    more = len(ordered) - _MOST_DIFFERENCES
    note = (
        f"<p>{more:,} more, of which {sum(not d.equal for d in ordered[_MOST_DIFFERENCES:]):,} differ.</p>"
        * (more > 0)
    )
    heads = "<tr><th>output or gradient</th><th>largest difference</th></tr>"
    return (
        f"<h2>Equality</h2>\n<table class='narrow'><thead>{heads}</thead>"
        f"<tbody>\n{rows}\n</tbody></table>{note}" * bool(rows)
    )
