"""Tables for a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rnngraph.analysis.results import Profile
from rnngraph.cli.terminal import table
from rnngraph.language.elaboration.elaborated import Block
from rnngraph.viz.profile import slowest
from rnngraph.viz.sentences import duration
from rnngraph.viz.summary import shape_text, summary, totals

BAR = 12
"""Columns of the longest bar in the terminal."""


def summary_table(block: Block) -> Any:
    """A `rich` table of the rows and their total."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = summary(block)
    found = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True, show_footer=True)
    count = totals(rows)
    frozen = f" ({count['frozen']:,} frozen)" if count["frozen"] else ""
    for name, footer in (("block", "total"), ("definition", ""), ("states and weights", "")):
        found.add_column(name, footer=footer, overflow="fold")
    found.add_column("values", f"{count['values']:,}{frozen}", justify="right", no_wrap=True)
    for row in rows:
        states = (f"{name} {shape_text(shape)} state" for name, shape in row.states)
        weights = (f"{name} {shape_text(shape)}{' frozen' if frozen else ''}" for name, shape, frozen in row.weights)
        found.add_row(
            "  " * row.depth + row.name,
            f"{row.kind} {row.definition}".strip() + (f"\n{row.shared}" if row.shared else ""),
            "\n".join([*states, *weights]),
            f"{row.values:,}" if row.values else "",
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
    for name, justify in (("", "right"), ("time", "right"), ("", "left"), ("line", "left")):
        told.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    told.add_column("", overflow="fold")
    for line in rows:
        forward, backward = (round(BAR * part / longest) for part in (line.forward, line.backward))
        told.add_row(
            f"{100 * line.seconds / profile.seconds:.0f} %",
            duration(line.seconds),
            f"[green]{'█' * forward}[/][dark_orange]{'▒' * backward}[/]",
            escape(line.place.rpartition("/")[2]),
            escape(line.text),
        )
    if any(line.backward for line in rows):
        told.caption, told.caption_justify = "[green]█[/] forward  [dark_orange]▒[/] backward", "left"
    return told


def kernel_table(kernels: Sequence[Any], library: str = "NumPy") -> Any:
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
    table.caption = f"{left} left to {library}" if left else f"nothing is left to {library}"
    return table


def cost_tables(cost: Any, lines: int) -> list[Any]:
    """A predicted cost (`analysis.cost.Cost`): by category with its law, and the lines that answer for the peak."""
    from rich.markup import escape

    rows = [(category, f"{size:,}", str(cost.laws[category])) for category, size in cost.bytes.items()]
    rows.append(("total", f"{cost.total:,}", f"{cost.peak.bytes:,} alive at once at most"))
    if cost.course:
        kept = f"computed at a time, and {cost.course.places:,} places for what is kept between"
        rows.append(("steps in a piece", f"{cost.course.chunk:,}", kept))
    if cost.swapped:
        swap = cost.course.swap
        where = "memory of the host" if swap == "host" else f"a file in {escape(swap)}"
        rows.append(("swapped", f"{cost.swapped:,}", f"beside all that, in {where}"))
    rows.append(("forward steps", f"{cost.evaluations:,.3f}", "computed for each step of the sequence"))
    objects = cost.objects
    told = f"about, in {objects.nodes:,} nodes: {objects.per_node:,.0f} a node"
    rows.append(("graph, program", f"{objects.graph + objects.program:,}", told))
    rows.append(("optimiser", f"{cost.optimiser:,}", "beside a run, while training"))
    made = [(f"{line.bytes:,}", escape(line.place), escape(line.text)) for line in cost.lines[:lines]]
    peak, way = cost.peak, "backward" if cost.peak.backward else "forward"
    sizes = ", ".join(f"{axis} {size:,}" for axis, size in cost.sizes.items())
    law = cost.law
    shown = [f"[bold]{sizes}, {cost.dtype}[/]", "", table(("category", "bytes", law), rows, ("category", law))]
    shown += ["", f"The peak is at {escape(peak.place)} ({way}): {escape(peak.text)}", "Where its bytes are made:", ""]
    return [*shown, table(("bytes", "line", ""), made, ("line", ""))] if made else shown[:-2]


def among_table(shared: Any, batch: int) -> list[Any]:
    """What several processes take beside what the table of one says (`analysis.predicted_scaling`)."""
    rows = [
        ("exchange", f"{shared.held:,}", "memory of a process, beside a run"),
        ("sent", f"{shared.sent:,}", "by a process in an update"),
        ("sent by all", f"{shared.sent_by_all:,}", "in an update"),
    ]
    title = f"\n[bold]{batch:,} rows in {shared.shards:,} shards, over {shared.processes:,} processes[/]"
    return [title, f"The bytes above are those of one process, which runs {shared.rows:,} rows at a time.", "",
            table(("", "bytes", "of"), rows, ("", "of"))]  # fmt: skip


def scaling_table(scaling: Any, asked: int | None) -> list[Any]:
    """The time over 1, 2, 4, ... processes (`analysis.predicted_scaling`), up to the first that does not pay."""
    from rnngraph.viz.sentences import duration

    one, best = scaling.took[0], scaling.best
    shown = [took for took in scaling.took if took.processes <= max(2 * best.processes, asked or 0)]
    rows = [
        (
            f"{took.processes:,}",
            f"{took.rows:,}",
            duration(took.computing),
            duration(took.exchange),
            duration(took.hidden),
            duration(took.seconds),
            f"{one.seconds / took.seconds:.3g}x",
        )
        for took in shown
    ]
    ending = "more would have no rows" if best is scaling.took[-1] else "more do not pay"
    columns = ("processes", "rows", "computing", "exchange", "could be hidden", "an update", "speed")
    return ["", table(columns, rows, ()), "",
            f"By this model {best.processes:,} processes are the fastest; {ending}."]  # fmt: skip


def processes_table(over: Any) -> list[Any]:
    """A training step over several numbers of processes (`analysis.measured_scaling`), with a bar each."""
    from rnngraph.viz.sentences import duration

    one, longest = over.took[0].seconds, max(took.seconds for took in over.took)
    rows = [
        (
            f"{took.processes:,}",
            duration(took.seconds),
            f"{one / took.seconds:.3g}x",
            "measured" if took.measured else "simulated",
            ("█" if took.measured else "▒") * max(1, round(WIDTH * took.seconds / longest)),
        )
        for took in over.took
    ]
    title = f"\n[bold]A training step of {over.batch:,} rows, {over.steps:,} steps, over processes of one thread[/]"
    shown = [title, "", table(("processes", "a step", "speed", "", "time"), rows, ("", "time"))]
    if all(took.measured for took in over.took):
        return shown
    link = f"{1e6 * over.link.latency:g} µs and {8e-9 * over.link.bandwidth:g} Gbit/s between processes"
    return [*shown, "", f"Simulated: from the step of one process, with {link}; see `cost --processes`."]


WIDTH = 30
"""Characters of the longest bar."""


def bench_tables(found: Any) -> list[Any]:
    """Speeds (`bench.Bench`): a row for each task, and what they were measured on."""
    from rnngraph.viz.sentences import interval

    same = len(set(found.axes.values())) < 2
    steps = f"{found.steps:,}" if same else ", ".join(f"{axis} {count:,}" for axis, count in found.axes.items())
    rows = [
        (
            speed.task,
            f"{1e3 * speed.seconds:.3g} ms",
            interval(speed.times * 1e3),
            f"{1e3 * speed.seconds / found.steps:.3g} ms",
            f"{speed.rate / 1e9:.3g} GFLOP/s",
            f"{speed.rate / found.peak:.0%}",
        )
        for speed in found.speeds
    ]
    return [
        f"[bold]{found.model}[/]: batch {found.batch:,}, {steps} steps, {found.how}",
        "",
        table(("task", "a run", "between", "a step", "products", "of the peak"), rows, ("task",)),
        "",
        f"{found.machine}\npeak: {found.peak / 1e9:.0f} GFLOP/s, {found.peak_of}\n",
    ]
