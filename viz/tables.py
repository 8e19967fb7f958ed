"""A comparison and a summary as tables for the terminal."""

from __future__ import annotations

from typing import Any

from rnngraph.analysis.results import CATEGORIES, Comparison
from rnngraph.viz.sentences import data, duration, later

GRAPHS = ("nodes", "edges", "nodes with\ngradient", "edges with\ngradient", "graph", "program", "compile")
RUNS = ("first run", "later runs", "between", "arrays", "forward\nsteps", "gradient\nerror")
COLUMNS = ("mode", "steps", *GRAPHS, *RUNS)


def cells(results: Comparison) -> list[tuple[str, ...]]:
    """The rows of all columns, as text, by number of steps and mode."""
    return [
        (
            row.mode,
            f"{row.steps:,}",
            f"{row.nodes_forward:,}",
            f"{row.edges_forward:,}",
            f"{row.nodes_gradient:,}",
            f"{row.edges_gradient:,}",
            data(row.graph_bytes),
            data(row.program_bytes),
            duration(row.compile_seconds),
            f"{row.first_ms:,.3g} ms",
            f"{row.later_ms.middle:,.3g} ms",
            f"{row.later_ms.low:,.3g} to {row.later_ms.high:,.3g}",
            data(row.array_bytes),
            f"{row.evaluations:.3g}",
            f"{row.gradient_error:.2g}" if row.gradient_error else "none",
        )
        for rows in results.pairs().values()
        for row in rows.values()
    ]


TEXTS = ("mode", "category", "growth")
LEDGER_COLUMNS = ("mode", "steps", "category", "predicted", "measured", "growth")


def ledger_cells(results: Comparison) -> list[tuple[str, ...]]:
    """The ledger's rows, as text: exact bytes, for a prediction is to be checked to the byte."""
    order = {category: i for i, category in enumerate(CATEGORIES)}
    return [
        (
            row.mode,
            f"{row.steps:,}",
            entry.category,
            f"{entry.predicted:,} B",
            f"{entry.measured:,} B",
            entry.law,
        )
        for rows in results.pairs().values()
        for row in rows.values()
        for entry in sorted(row.ledger, key=lambda e: order.get(e.category, len(order)))
    ]


def tables(results: Comparison) -> list[Any]:
    """`rich` tables: graphs and runs per mode and number of steps, then the ledger of bytes. Each fits 100 columns."""
    about = f"batch {results.batch}, {results.dtype}, {results.backend}"
    schedules = any(row.evaluations != 1 for row in results.rows)
    runs = RUNS if any(row.gradient_error for row in results.rows) else RUNS[:-1] if schedules else RUNS[:-2]
    return [
        _table(f"{results.model}: graphs, {about}", ("mode", "steps", *GRAPHS), cells(results)),
        _table(f"runs; {later(results)}", ("mode", "steps", *runs), cells(results)),
        _table("bytes in memory, and how they grow with the steps T", LEDGER_COLUMNS, ledger_cells(results)),
    ]


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Any:
    """These columns of the rows, numbers to the right; a line where the steps change."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    looks: dict[str, Any] = {"title_justify": "left", "title_style": "bold", "pad_edge": False}
    table = Table(title=title, box=SIMPLE_HEAD, collapse_padding=True, **looks)
    names = LEDGER_COLUMNS if columns == LEDGER_COLUMNS else COLUMNS
    places = [names.index(column) for column in columns]
    for column in columns:
        table.add_column(column, justify="left" if column in TEXTS else "right", no_wrap=column != "growth")
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        table.add_row(*(row[i] for i in places), end_section=after is not None and row[1] != after[1])
    return table
