"""The cheapest cut of a network, beside that of networkx."""

from __future__ import annotations

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from rnngraph.passes.minimum_cut import SINK, SOURCE, Network

PLACES = [SOURCE, *range(7), SINK]
PIPES = st.dictionaries(st.tuples(st.sampled_from(PLACES), st.sampled_from(PLACES)), st.integers(0, 9), max_size=40)


@settings(max_examples=200, deadline=None)
@given(PIPES)
def test_of_the_cheapest_cuts_it_is_the_one_nearest_to_the_sink(pipes: dict[tuple[object, object], int]) -> None:
    ours, theirs = Network(), nx.DiGraph()
    theirs.add_nodes_from(PLACES)
    for (start, end), room in pipes.items():
        if start != end:
            ours.pipe(start, end, room)
            theirs.add_edge(start, end, capacity=room)
    _, (_, near) = nx.minimum_cut(theirs, SOURCE, SINK)
    assert ours.near_the_sink() == near
