"""Tables for a person at a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rnngraph.analysis.results import Profile
from rnngraph.language.elaboration.elaborated import Block
from rnngraph.viz.profile import slowest
from rnngraph.viz.sentences import duration
from rnngraph.viz.summary import shape_text, summary, totals

BAR = 24
"""Columns of the longest bar in the terminal."""


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[str], groups: int = -1) -> Any:
    """A `rich` table: `texts` are the columns of words, which may be folded, the others are numbers, to the right.

    A blank line stands where column `groups` changes.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for column in columns:
        words = column in texts
        made.add_column(column, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        made.add_row(*row, end_section=groups >= 0 and after is not None and row[groups] != after[groups])
    return made


def summary_table(block: Block) -> Any:
    """A `rich` table of the rows and their total."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = summary(block)
    found = Table(box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    count = totals(rows)
    frozen = f" ({count['frozen']:,} frozen)" if count["frozen"] else ""
    for name, footer in (("block", "total"), ("definition", ""), ("states", ""), ("weights", "")):
        found.add_column(name, footer=footer)
    found.add_column("values", f"{count['values']:,}{frozen}", justify="right")
    found.add_column("", "")
    for row in rows:
        found.add_row(
            "  " * row.depth + row.name,
            f"{row.kind} {row.definition}".strip() if row.definition else row.kind,
            "\n".join(f"{name} {shape_text(shape)}" for name, shape in row.states),
            "\n".join(f"{n} {shape_text(s)}{' frozen' if frozen else ''}" for n, s, frozen in row.weights),
            f"{row.values:,}" if row.values else "",
            row.shared,
        )
    return found


def profile_table(task: str, profile: Profile, most: int) -> Any:
    """A `rich` table with a bar for each of the slowest lines: plain for forward, hatched for backward."""
    from rich.markup import escape
    from rich.table import Table

    rows = slowest(profile, most)
    longest = max((line.seconds for line in rows), default=0.0) or 1.0
    told = Table(
        title=f"{task}: where the time goes", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for name, justify in (("", "right"), ("time", "right"), ("", "left"), ("line", "left"), ("", "left")):
        told.add_column(name, justify=justify, no_wrap=name != "")  # type: ignore[arg-type]
    for line in rows:
        forward, backward = (round(BAR * part / longest) for part in (line.forward, line.backward))
        told.add_row(
            f"{100 * line.seconds / profile.seconds:.0f} %",
            duration(line.seconds),
            f"[green]{'█' * forward}[/][dark_orange]{'▒' * backward}[/]",
            escape(line.place),
            escape(line.text),
        )
    if any(line.backward for line in rows):
        told.caption, told.caption_justify = "[green]█[/] forward  [dark_orange]▒[/] backward", "left"
    return told


def kernel_table(kernels: Sequence[Any]) -> Any:
    """Compiled kernels (`kernels.listing.Listed`) with the source lines that they compute."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("kernel", "operations", "lines", box=None)
    for one in kernels:
        often = f" x {one.times:,}" if one.times > 1 else ""
        table.add_row(
            "  " * one.depth + escape(one.what) + often, " ".join(one.ops), escape(one.why or ", ".join(one.lines))
        )
    left = sum(1 for one in kernels if one.why)
    table.caption = f"{left} left to NumPy" if left else "nothing is left to NumPy"
    return table


def cost_tables(cost: Any, lines: int) -> list[Any]:
    """A predicted cost (`analysis.cost.Cost`): by category with its law, and the lines that answer for the peak."""
    from rich.markup import escape
    from rich.table import Table

    sizes = ", ".join(f"{axis} {size:,}" for axis, size in cost.sizes.items())
    by_category = Table("category", "bytes", "law (T steps, B rows, U units)", title=f"{sizes}, {cost.dtype}", box=None)
    for category, size in cost.bytes.items():
        by_category.add_row(category, f"{size:,}", str(cost.laws[category]))
    by_category.add_row("total", f"{cost.total:,}", f"{cost.peak.bytes:,} alive at once at most")
    if cost.course:
        kept = f"computed at a time, and {cost.course.places:,} places for what is kept between"
        by_category.add_row("steps in a piece", f"{cost.course.chunk:,}", kept)
    by_category.add_row("forward steps", f"{cost.evaluations:,.3f}", "computed for each step of the sequence")
    objects = cost.objects
    told = f"about, in {objects.nodes:,} nodes: {objects.per_node:,.0f} a node"
    by_category.add_row("graph, program", f"{objects.graph + objects.program:,}", told)
    by_category.add_row("optimiser", f"{cost.optimiser:,}", "beside a run, while training")
    by_line = Table("bytes at the peak", "line", "", title="where they are made", box=None)
    for line in cost.lines[:lines]:
        by_line.add_row(f"{line.bytes:,}", escape(line.place), escape(line.text))
    peak, way = cost.peak, "backward" if cost.peak.backward else "forward"
    return [by_category, f"the peak is at {escape(peak.place)} ({way}): {escape(peak.text)}", by_line]


def bench_tables(found: Any) -> list[Any]:
    """Speeds (`bench.Bench`): a row for each task, and what they were measured on."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from rnngraph.viz.sentences import interval

    same = len(set(found.axes.values())) < 2
    steps = f"{found.steps:,}" if same else ", ".join(f"{axis} {count:,}" for axis, count in found.axes.items())
    title = f"{found.model}: batch {found.batch}, {steps} steps, {found.how}"
    told = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    told.add_column("")
    for name in ("a run", "", "a step", "products", "of the peak"):
        told.add_column(name, justify="right")
    for speed in found.speeds:
        per_step = f"{1e3 * speed.seconds / found.steps:.3g} ms"
        share = f"{speed.rate / found.peak:.0%}"
        run = f"{1e3 * speed.seconds:.3g} ms"
        told.add_row(speed.task, run, interval(speed.times * 1e3), per_step, f"{speed.rate / 1e9:.3g} GFLOP/s", share)
    return [told, f"{found.machine}\npeak: {found.peak / 1e9:.0f} GFLOP/s, {found.peak_of}\n"]
