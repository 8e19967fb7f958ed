"""A comparison and a summary as tables for the terminal."""

from __future__ import annotations

from typing import Any

from rnngraph.viz.results import CATEGORIES, Comparison
from rnngraph.viz.words import data, duration

COLUMNS = (
    "mode",
    "steps",
    "nodes",
    "edges",
    "nodes with gradient",
    "edges with gradient",
    "graph",
    "program",
    "compile",
    "first run",
    "later runs",
    "arrays",
    "forward steps",
    "gradient error",
)


def cells(results: Comparison) -> list[tuple[str, ...]]:
    """The main table's rows, as text, by number of steps and mode."""
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
            f"{row.later_ms:,.3g} ms",
            data(row.array_bytes),
            f"{row.evaluations:.3g}",
            f"{row.gradient_error:.2g}" if row.gradient_error else "none",
        )
        for rows in results.pairs().values()
        for row in rows.values()
    ]


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
    """Two `rich` tables: cost per mode and number of steps, then the ledger of bytes."""
    return [
        _table(
            f"{results.model}: cost, batch {results.batch}, {results.dtype}, {results.backend}",
            COLUMNS,
            cells(results),
            1,
        ),
        _table("bytes in memory", LEDGER_COLUMNS, ledger_cells(results), 1, left=("category", "growth")),
    ]


def _table(
    title: str,
    columns: tuple[str, ...],
    rows: list[tuple[str, ...]],
    sorted_by: int,
    left: tuple[str, ...] = (),
) -> Any:
    """Numbers to the right; a line where the value of `sorted_by` changes."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 or column in left else "right", overflow="fold")
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        table.add_row(*row, end_section=after is not None and row[sorted_by] != after[sorted_by])
    return table
