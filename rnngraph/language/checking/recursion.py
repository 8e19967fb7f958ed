"""Definitions that contain themselves, directly or through others."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from rnngraph.diagnostics.diagnostic import Diagnostic
from rnngraph.diagnostics.source import Source
from rnngraph.language.elaboration.imports import Known, Loaded
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition
from rnngraph.language.syntax.traversal import statements, walk

_Key = tuple[Source, str]


def recursion(loaded: Loaded) -> list[Diagnostic]:
    """Definitions that contain themselves, each circle told once. Those of the library see nothing but the library."""
    own = {_key(d): d for d in (*loaded.imported, *loaded.own)}
    contains = {key: _contains(d, loaded.known[d.span.source]) for key, d in own.items()}
    try:
        TopologicalSorter(contains).prepare()
    except CycleError:
        return _circles(own, contains)
    return []


def _key(definition: Definition) -> _Key:
    """A definition by its file and its name."""
    return definition.span.source, definition.name


def _circles(own: Mapping[_Key, Definition], contains: dict[_Key, set[_Key]]) -> list[Diagnostic]:
    import networkx  # here, since it takes longer to load than to check a file without circles

    graph = networkx.DiGraph(contains)
    circles = [c for c in networkx.strongly_connected_components(graph) if len(c) > 1]
    circles += [{n} for n in graph if graph.has_edge(n, n) and not any(n in c for c in circles)]
    return [_circle(own, networkx.find_cycle(graph.subgraph(c))) for c in circles]


def _contains(definition: Definition, known: Known) -> set[_Key]:
    local = {s.name for s in definition.settings} | {
        t.name for s in statements(definition.body) if isinstance(s, ast.Assign) for t in s.targets
    }
    named = {n.name for n in walk(definition) if isinstance(n, ast.Name)}
    return {_key(known[n][-1]) for n in named if n in known and n not in local}


def _circle(own: Mapping[_Key, Definition], edges: list[tuple[_Key, _Key]]) -> Diagnostic:
    start = min(range(len(edges)), key=lambda i: own[edges[i][0]].span.start)
    chain = [own[edges[(start + i) % len(edges)][0]] for i in range(len(edges))]
    first = chain[0]
    message = f"`{first.name}` contains itself"
    if len(chain) > 1:
        message += ": " + " contains ".join(f"`{d.name}`" for d in [*chain, first])
    return Diagnostic("E301", message, first.name_span, help="use `unroll` with a cell to repeat over steps")
