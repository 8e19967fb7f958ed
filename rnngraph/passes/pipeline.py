"""The passes in their order, with the reason for each place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from rnngraph.ir.graph import Graph, Value
from rnngraph.passes.cse import cse, unnamed
from rnngraph.passes.empty import without_empty
from rnngraph.passes.grad import gradients
from rnngraph.passes.hoist import hoist, merge_sums
from rnngraph.passes.index_checks import watched
from rnngraph.passes.layer_fission import distribute
from rnngraph.passes.merge_products import share
from rnngraph.passes.prune import prune
from rnngraph.passes.reassociate import regroup
from rnngraph.passes.recurrence_fission import apart
from rnngraph.passes.simplify import simplify
from rnngraph.passes.sink import sink
from rnngraph.passes.split_products import split
from rnngraph.passes.summation_order import in_units
from rnngraph.passes.truncation import truncated
from rnngraph.passes.unroll import in_turns, unroll

Pass = Callable[[Graph], Graph]

WATCH: list[tuple[str, Pass]] = [
    ("inside", watched),  # first, while each look at an integer still stands in the loop whose rows it is of
]
BEFORE: list[tuple[str, Pass]] = [
    ("empty", without_empty),  # before all others, none of which then meets a dimension of size 0
    ("split", split),  # early, so that gradients too are of parts: what is not wanted of a part is never made
    ("cse", cse),  # equal work found before it is differentiated is found once
    ("regroup", regroup),  # sums in the order in which their terms can leave the loop
    ("distribute", distribute),  # what is left of a layer in the loop of the next is then moved out of that
    ("hoist", hoist),  # what no carry reaches leaves the loops; its gradient is then no loop's business
]
AFTER: list[tuple[str, Pass]] = [
    ("unnamed", unnamed),  # first values of states, kept apart so far so that each has a gradient of its own
    ("simplify", simplify),  # before its parts are moved
    ("hoist back", hoist),  # the same for the loops that the gradient made
    ("sink", sink),  # then what only feeds stacks; their sums over time join the products
]
APART: list[tuple[str, Pass]] = [
    ("apart", apart),  # of what is left in a loop, what is no recurrence; only where loops are kernels of a GPU
]
LAST: list[tuple[str, Pass]] = [
    ("share", share),  # products that now stand side by side
    ("merge", merge_sums),  # sums over axes of what hoist moved
    ("late cse", cse),  # what the gradient and the moves made twice
    ("prune", prune),  # drops every stack, carry and binding that nothing reads any more
]
STAGES = (
    *("elaborate", *(name for name, _ in WATCH + BEFORE), "grad", *(name for name, _ in AFTER + LAST)),
    *("units", "unroll"),
)


def stages(
    graph: Graph,
    cotangents: Sequence[tuple[Value, Value]] | None,
    wrt: Mapping[str, Value],
    turn: str | int,
    steps: Mapping[str, int],
    watch: bool = True,
    whole_loops: bool = False,
) -> Iterator[tuple[str, Graph]]:
    """Every stage by name: see `looped_stages` and `unrolled`."""
    found = graph
    for name, found in looped_stages(graph, cotangents, wrt, watch, whole_loops):
        yield name, found
    yield "unroll", unrolled(found, turn, steps)


def unrolled(graph: Graph, turn: str | int, steps: Mapping[str, int]) -> Graph:
    """The last stage, where the modes differ: `turn` is "static", "dynamic" or the number of steps per turn."""
    if turn == "static":
        return unroll(graph, steps)
    return in_turns(graph, turn) if isinstance(turn, int) and turn > 1 else graph


def looped_stages(
    graph: Graph,
    cotangents: Sequence[tuple[Value, Value]] | None,
    wrt: Mapping[str, Value],
    watch: bool = True,
    whole_loops: bool = False,
) -> Iterator[tuple[str, Graph]]:
    """The stages before the mode is chosen, by name.

    `cotangents` None means no gradients. `watch` False leaves each look at an integer that chooses where it is, for
    those who say it in another language. `whole_loops` is for a device whose kernels are loops, with all of their
    steps. Values are tracked through the early passes by standing among the outputs,
    under names that start with a colon.
    """
    yield "elaborate", graph
    named = dict(graph.outputs)
    if cotangents is not None:
        named |= {f":wrt:{name}": value for name, value in wrt.items()}
        named |= {f":out:{i}": value for i, (value, _) in enumerate(cotangents)}
        named |= {f":cot:{i}": value for i, (_, value) in enumerate(cotangents)}
    graph = truncated(graph.with_outputs(named), cotangents is not None)
    for name, run in (WATCH if watch else []) + BEFORE:
        graph = run(graph)
        yield name, _visible(graph)
    if cotangents is not None:
        found = graph.outputs
        pairs = [(found[f":out:{i}"], found[f":cot:{i}"]) for i in range(len(cotangents))]
        graph = gradients(_visible(graph), pairs, {name: found[f":wrt:{name}"] for name in wrt})
    yield "grad", graph
    for name, run in AFTER + (APART if whole_loops else []) + LAST:
        graph = run(graph)
        yield name, graph
    if cotangents is not None:
        graph = in_units(graph)  # what may be computed a few steps at a time gives the same bits as all at once
    yield "units", graph


def _visible(graph: Graph) -> Graph:
    return graph.with_outputs({name: v for name, v in graph.outputs.items() if not name.startswith(":")})
