"""The graph as text, as two numbers, and as a networkx graph."""

from __future__ import annotations

import time

import networkx
import pytest

from rnngraph.ir.graph import Graph, Value, graph_input, loop_of
from rnngraph.ir.text import counts, show, to_networkx
from rnngraph.ir.types import Type
from rnngraph.ops import call
from tests.support.hand_built import stack_model


def chain(length: int) -> Graph:
    value = x = graph_input("x", "data", Type(("batch",), (3,)))
    for _ in range(length):
        value = call("tanh", value)
    return Graph({"x": x}, {"y": value})


def test_a_small_graph() -> None:
    assert show(chain(2)) == (
        "%0 = input() name=x kind=data : batch[3] float\n"
        "%1 = tanh(%0) : batch[3] float\n"
        "%2 = tanh(%1) : batch[3] float\n"
        "output y = %2\n"
    )


def test_a_loop_shows_its_bindings_and_its_body() -> None:
    text = show(stack_model()[0])
    lines = text.splitlines()
    (head,) = [i for i, line in enumerate(lines) if "= loop LSTM(4) >> LSTM(5) over time" in line]
    assert lines[head].endswith("# lstm.rnn:16:14 stack y")
    assert lines[head + 1].startswith("  carry 0.c %")
    assert " then %" in lines[head + 1]
    assert sum(line.startswith("  carry ") for line in lines) == 4
    assert sum(line.startswith("  slice x ") for line in lines) == 1
    assert sum(line.startswith("  capture stack.") for line in lines) == 4
    assert sum(line.startswith("  stack %") for line in lines) == 1
    assert "left=n right=nm out=m" in text
    assert "# lstm.rnn:8:22 stack.0" in text


def test_every_value_is_numbered_once_and_before_it_is_read() -> None:
    seen: set[str] = set()
    for line in show(stack_model()[0]).splitlines():
        left, equals, _ = line.partition(" = ")
        words = [w.strip() for w in left.split(",")]
        if equals and all(w.startswith("%") for w in words):
            assert not seen & set(words)
            seen |= set(words)
    assert len(seen) > 40


def test_text_is_the_same_each_time() -> None:
    assert show(stack_model()[0]) == show(stack_model()[0])


def test_counts_go_into_bodies() -> None:
    assert counts(chain(3)) == (4, 3)
    graph, _ = stack_model()
    nodes = list(graph.all_nodes())
    loop = next(n for n in nodes if n.op.name == "loop")
    edges = sum(len(n.inputs) for n in nodes) + len(loop_of(loop).results)
    assert counts(graph) == (len(nodes), edges)


def test_networkx_has_every_level() -> None:
    graph, _ = stack_model()
    found = to_networkx(graph)
    assert found.number_of_nodes() == counts(graph)[0]
    assert networkx.is_directed_acyclic_graph(found)
    assert {d["level"] for _, d in found.nodes(data=True)} == {0, 1}
    products = [d for _, d in found.nodes(data=True) if d["op"] == "contract"]
    assert [(d["line"], d["path"], d["level"]) for d in products] == [(8, "stack.0", 1), (8, "stack.1", 1)]
    assert {found.nodes[d["loop"]]["op"] for d in products} == {"loop"}


@pytest.mark.parametrize("length", [50_000])
def test_a_long_chain_is_quick_and_does_not_recurse(length: int) -> None:
    graph = chain(length)
    began = time.process_time()
    text = show(graph)
    assert time.process_time() - began < 5
    assert text.count("\n") == length + 2
    assert counts(graph) == (length + 1, length)


def test_a_value_with_several_results_has_a_number_for_each() -> None:
    graph, _ = stack_model()
    (loop,) = [n for n in graph.nodes() if n.op.name == "loop"]
    assert len(loop.types) == 5
    line = next(line for line in show(graph).splitlines() if "= loop" in line)
    assert line.partition(" = ")[0].count("%") == 5
    assert Value(loop, 4) == graph.outputs["y"]
