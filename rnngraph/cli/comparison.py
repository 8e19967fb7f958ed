"""What `compare` shows at a terminal of 80 columns: a row for each number of steps, or everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnngraph.analysis.results import CompareRow, Comparison
from rnngraph.cli.terminal import table
from rnngraph.viz.comparison_tables import COLUMNS, GRAPHS, LEDGER_COLUMNS, RUNS, TEXTS, cells, ledger_cells
from rnngraph.viz.sentences import data, duration, honest, later, verdict

Measures = dict[str, Callable[[CompareRow], str]]
"""Cells of a row by column."""
SCHEDULED: Measures = {
    "forward\nsteps": lambda row: f"{row.evaluations:.3g}",
    "gradient\nerror": lambda row: f"{row.gradient_error:.2g}" if row.gradient_error else "none",
}
MORE = "More: --full shows all numbers here, --page report.html shows them with plots."


def short(results: Comparison) -> list[Any]:
    """A table, the memory in a line, and what follows from them, last."""
    pair = len(results.modes) == 2 and not _scheduled(results)
    shown = _of_two(results) if pair else _of_all(results)
    told = _about(results), *_memory(results, pair), MORE
    return [_heading(results), "", shown, "", *told, "", *_conclusions(results)]


def full(results: Comparison) -> list[Any]:
    """All that was measured, and what follows from it, last."""
    parts = {"Graphs": GRAPHS[:4], "Compiled": GRAPHS[4:], f"Runs; {later(results)}": RUNS[:4]}
    if _scheduled(results):
        parts["Schedules: forward steps are those computed for each step of the sequence"] = RUNS[4:]
    shown = [_heading(results)]
    for title, names in parts.items():
        rows = [[row[COLUMNS.index(name)] for name in ("mode", "steps", *names)] for row in cells(results)]
        shown += ["", title, "", table(("mode", "steps", *names), rows, TEXTS, 1)]
    ledger = table(LEDGER_COLUMNS, ledger_cells(results), TEXTS, 1)
    return [*shown, "", "Bytes in memory, and how they grow with the steps T", "", ledger, "", *_conclusions(results)]


def _heading(results: Comparison) -> str:
    return f"[bold]{results.model}[/]: {results.facts}"


def _conclusions(results: Comparison) -> tuple[str, ...]:
    return *results.notes, verdict(results), *honest(results)


def _scheduled(results: Comparison) -> bool:
    return any("," in mode for mode in results.modes)


def _about(results: Comparison) -> str:
    """What the columns are."""
    count = results.repeats
    runs = f"Later runs: medians of {count:,}, in turns." if count > 1 else "Later runs: one of each."
    if _scheduled(results):
        return f"{runs} Forward steps: computed for each step of the sequence."
    return f"First result: compiled and run once. {runs}"


def _of_two(results: Comparison) -> Any:
    """Two modes side by side."""
    measures: Measures = {"nodes": _nodes, "first result": _first, "later runs": _later}
    columns = ["steps", *(f"{name}\n{mode}" for name in measures for mode in results.modes)]
    rows = [
        [f"{steps:,}", *(told(by_mode[mode]) for told in measures.values() for mode in results.modes)]
        for steps, by_mode in results.pairs().items()
    ]
    return table(columns, rows, ())


def _of_all(results: Comparison) -> Any:
    """A line for each way and number of steps; with schedules what they cost, instead of how the graph grows."""
    always: Measures = {"later runs": _later, "arrays": lambda row: data(row.array_bytes)}
    grown: Measures = {"nodes": _nodes, "first result": _first}
    measures = always | SCHEDULED if _scheduled(results) else grown | always
    rows = [
        [f"{row.steps:,}", row.mode, *(told(row) for told in measures.values())]
        for by_mode in results.pairs().values()
        for row in by_mode.values()
    ]
    return table(["steps", "mode", *measures], rows, TEXTS, 0 if len(results.modes) > 1 else -1)


def _nodes(row: CompareRow) -> str:
    return f"{row.nodes_gradient:,}"


def _first(row: CompareRow) -> str:
    return duration(row.compile_seconds + row.first_ms / 1e3)


def _later(row: CompareRow) -> str:
    return duration(row.later_ms.middle / 1e3)


def _memory(results: Comparison, pair: bool) -> list[Any]:
    """One line where all bytes are as predicted, else the lines that are not."""
    entries = [(row, entry) for row in results.rows for entry in row.ledger]
    wrong = [
        [row.mode, f"{row.steps:,}", entry.category, f"{entry.predicted:,} B", f"{entry.measured:,} B"]
        for row, entry in entries
        if entry.predicted != entry.measured
    ]
    if not wrong:
        told = _most(results) if pair else f": all {len(entries):,} sizes are"
        return [f"Memory{told} as predicted, to the byte."]
    told = f"Memory: {len(wrong):,} of {len(entries):,} sizes are not as predicted:"
    return ["", told, "", table(LEDGER_COLUMNS[:-1], wrong, TEXTS, 1), ""]


def _most(results: Comparison) -> str:
    """What the most steps take."""
    steps = max(results.pairs())
    sizes = {mode: data(row.array_bytes) for mode, row in results.pairs()[steps].items()}
    same = len(set(sizes.values())) == 1
    told = f"{next(iter(sizes.values()))} in both modes" if same else ", ".join(f"{s} {m}" for m, s in sizes.items())
    return f" at {steps:,} steps: {told},"
