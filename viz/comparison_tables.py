"""The cells of the tables of a comparison, as text."""

from __future__ import annotations

from rnngraph.analysis.results import CATEGORIES, Comparison
from rnngraph.viz.sentences import data, duration

GRAPHS = ("nodes", "edges", "nodes,\ngradient", "edges,\ngradient", "graph", "program", "compile")
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
            *("" if size is None else data(size) for size in (row.graph_bytes, row.program_bytes)),
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
