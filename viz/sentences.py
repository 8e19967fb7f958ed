"""What a comparison says in words, each sentence backed by the numbers of the run."""

from __future__ import annotations

from rnngraph.analysis.results import CompareRow, Comparison, Spread


def verdict(results: Comparison) -> str:
    """Whether all modes gave the same bits; if not, what differs most."""
    count = len(results.differences)
    if len(results.modes) == 1:
        return "Only one mode was run: there is nothing to compare it with."
    if results.equal:
        return f"The modes give the same bits: all {count} outputs and gradients are equal."
    wrong = sorted((d for d in results.differences if not d.equal), key=lambda d: -d.max_abs)
    worst = ", ".join(f"{d.name} by up to {d.max_abs:.3g}" for d in wrong[:5])
    return f"The modes differ in {len(wrong)} of {count} outputs and gradients: {worst}."


def honest(results: Comparison) -> tuple[str, ...]:
    """What a loop saves and what it does not, told of the most steps that both modes were run for."""
    both = {n: rows for n, rows in results.pairs().items() if {"static", "dynamic"} <= rows.keys()}
    if not both:
        return ()
    steps = max(both)
    static, dynamic = both[steps]["static"], both[steps]["dynamic"]
    rows = steps, static, dynamic
    return _graphs(*rows), _saved(*rows), _speed(*rows, results.repeats)


def _graphs(steps: int, static: CompareRow, dynamic: CompareRow) -> str:
    """The gradient's graph and what it takes to compile it."""
    smaller = static.nodes_gradient > dynamic.nodes_gradient
    claim = "A loop shrinks the graph" if smaller else "A loop does not shrink the graph here"
    return (
        f"{claim}: with gradients at {steps:,} steps, {static.nodes_gradient:,} nodes static against "
        f"{dynamic.nodes_gradient:,} dynamic. They were compiled in {duration(static.compile_seconds)} and "
        f"{duration(dynamic.compile_seconds)}, measured once."
    )


def _saved(steps: int, static: CompareRow, dynamic: CompareRow) -> str:
    """The bytes that neither mode avoids."""
    one, two = static.measured("saved"), dynamic.measured("saved")
    if one == two == 0:
        return "Nothing but inputs and outputs is kept for the backward pass, in either mode."
    if one == two:
        return (
            f"The values saved for the backward pass are the same in both modes: {data(one)} at {steps:,} steps. "
            "A loop does not save that memory; fewer steps, smaller batches or recomputing do."
        )
    return (
        f"The values saved for the backward pass take {data(one)} static and {data(two)} dynamic at {steps:,} "
        "steps; both grow with the number of steps."
    )


def _speed(steps: int, static: CompareRow, dynamic: CompareRow, repeats: int) -> str:
    """Later runs: which mode is faster, where that is no noise. One run of each tells nothing of noise."""
    one, two = static.later_ms, dynamic.later_ms
    times = f"{span(one)} static, {span(two)} dynamic at {steps:,} steps"
    if repeats == 1:
        return f"Once compiled: {times}, each measured once, which tells no difference from noise."
    if one.meets(two):
        return f"Once compiled, there is no difference beyond the noise: {times}."
    (name, fast), slow = (("dynamic", two), one) if two.middle < one.middle else (("static", one), two)
    return f"Once compiled, the {name} mode is {slow.middle / fast.middle:.2f} times as fast: {times}."


def later(results: Comparison) -> str:
    """What is told of the later runs."""
    between = "what they lie between at 95 %" if results.repeats >= 6 else "the least and the most"
    return f"later ones: medians of {results.repeats} in turns, and {between}"


def span(ms: Spread) -> str:
    """`2.05 ms (1.98 to 2.11)`: the median, and the interval that it lies in."""
    return f"{ms.middle:,.3g} ms {interval(ms)}"


def interval(ms: Spread) -> str:
    return f"({ms.low:,.3g} to {ms.high:,.3g})"


def data(count: float) -> str:
    """`1,024 B`, `25.0 kB`, `3.1 MB`: decimal, as disks and papers count."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e4)):
        if count >= size:
            scale = {"GB": 1e9, "MB": 1e6, "kB": 1e3}[unit]
            return f"{count / scale:,.1f} {unit}"
    return f"{count:,.0f} B"


def duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
