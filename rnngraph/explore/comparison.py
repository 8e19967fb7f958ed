"""What `compare` found, for the page: its words, its tables, and the numbers of its charts."""

from __future__ import annotations

from typing import Any

from rnngraph.analysis.results import CATEGORIES, CompareRow, Comparison
from rnngraph.viz.comparison_tables import COLUMNS, cells
from rnngraph.viz.sentences import data, honest, later, verdict

Json = dict[str, Any]


def comparison_json(results: Comparison) -> Json:
    """Verdict and sentences, a row of text for each mode and number of steps, bytes by category, differences."""
    facts = [f"batch {results.batch:,}", results.dtype, f"backend {results.backend}", results.machine]
    return {
        "facts": [fact for fact in facts if fact],
        "equal": results.equal,
        "verdict": verdict(results),
        "notes": [*honest(results), *results.notes],
        "runs": later(results),
        "columns": [column.replace("\n", " ") for column in COLUMNS],
        "cells": cells(results),
        "modes": [_mode(results, mode) for mode in results.modes],
        "differences": [
            {"name": d.name, "equal": d.equal, "most": d.max_abs}
            for d in sorted(results.differences, key=lambda d: (d.equal, -d.max_abs))
        ],
    }


def _mode(results: Comparison, mode: str) -> Json:
    rows = results.of(mode)
    present = {entry.category for row in rows for entry in row.ledger}
    shown = [category for category in CATEGORIES if category in present]
    return {
        "mode": mode,
        "points": [_point(row) for row in rows],
        "categories": shown,
        "ledger": [{"steps": row.steps, "bytes": [_entry(row, category) for category in shown]} for row in rows],
        "laws": [_law(rows[-1], category) for category in shown],
    }


def _point(row: CompareRow) -> Json:
    times = row.later_ms
    return {
        "steps": row.steps,
        "nodes": row.nodes_gradient,
        "compile": row.compile_seconds,
        "run": [times.middle / 1e3, times.low / 1e3, times.high / 1e3],
        "bytes": row.array_bytes,
    }


def _entry(row: CompareRow, category: str) -> Json | None:
    found = next((entry for entry in row.ledger if entry.category == category), None)
    if found is None:
        return None
    told = data(found.measured)
    right = found.predicted == found.measured
    return {"text": told if right else f"{data(found.predicted)} predicted, {told} measured", "right": right}


def _law(row: CompareRow, category: str) -> str:
    return next((entry.law for entry in row.ledger if entry.category == category), "")
