"""Passes that go through the bodies of loops."""

from __future__ import annotations

from rnngraph.passes.bodies import everywhere
from tests.support.models import parsed


def test_what_a_pass_leaves_as_it_was_is_the_same_node() -> None:
    graph = parsed("stack").graph
    assert everywhere(graph, lambda node, inputs: None).outputs == graph.outputs
