"""Draws docs/pictures/rooms.svg, the map of the package, from the imports between its rooms.

`python docs/pictures/rooms.py` writes it anew; `tests/test_architecture.py` tells when that is due.
"""

from __future__ import annotations

import ast
import subprocess
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path

import graphviz
import networkx as nx

PACKAGE = Path(__file__).resolve().parents[2] / "rnngraph"
PICTURE = Path(__file__).with_suffix(".svg")
APART = {"__init__", "__main__", "grammar"}
"""The doors from outside, and the grammar, which is text."""
UPWARDS = {("model", "viz"), ("compiled", "viz")}
"""A model and a program draw themselves in a notebook: the only imports that point upwards."""


def rooms() -> dict[str, list[Path]]:
    """Each room, a folder or a file of the package, with its files."""
    found = {p.stem: [p] for p in PACKAGE.glob("*.py")}
    found |= {p.name: sorted(p.rglob("*.py")) for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    return {name: found[name] for name in sorted(found.keys() - APART)}


def imported(file: Path) -> Iterator[str]:
    """The rooms that a file imports from."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rnngraph"):
            path = (node.module or "").split(".")
            yield from [path[1]] if len(path) > 1 else [alias.name for alias in node.names]


def arrows() -> nx.DiGraph:
    """The imports between rooms, without those that another way of imports tells already."""
    found = rooms()
    graph = nx.DiGraph()
    graph.add_nodes_from(found)
    pairs = {(name, other) for name, files in found.items() for file in files for other in imported(file)}
    graph.add_edges_from(sorted((a, b) for a, b in pairs - UPWARDS if a != b and b in found))
    reduced = nx.transitive_reduction(graph)
    return nx.DiGraph(sorted(reduced.edges))


def about(files: list[Path]) -> str:
    """The first sentence of a room's own words, without its name."""
    first = next((f for f in files if f.name == "__init__.py"), files[0])
    said = (ast.get_docstring(ast.parse(first.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    head, colon, rest = said.partition(": ")
    return " ".join((rest if colon and len(head.split()) < 5 else said).split()).rstrip(".")


def dot() -> str:
    """The map as DOT."""
    look = {"shape": "box", "style": "rounded,filled", "fillcolor": "#eef3fa", "color": "#7f97b8"}
    picture = graphviz.Digraph(
        "rooms",
        graph_attr={"rankdir": "TB", "nodesep": "0.18", "ranksep": "0.32", "fontname": "Helvetica"},
        node_attr={**look, "fontname": "Helvetica", "fontsize": "10", "margin": "0.1,0.05"},
        edge_attr={"color": "#9aa7b8", "arrowsize": "0.6"},
    )
    for name, files in rooms().items():
        text = "<br/>".join(escape(line) for line in textwrap.wrap(about(files), 30))
        folder = "/" if len(files) > 1 else ".py"
        picture.node(name, f'<<b>{name}{folder}</b><br/><font point-size="8">{text}</font>>')
    for above, below in sorted(arrows().edges):
        picture.edge(above, below)
    return str(picture.source)


def main() -> None:
    from rnngraph.viz.dot_program import dot_binary
    from rnngraph.viz.text_width import fitted

    drawn = subprocess.run([dot_binary(), "-Tsvg"], input=dot().encode(), capture_output=True, check=True).stdout
    PICTURE.write_text(fitted(drawn.decode()), encoding="utf-8")
    PICTURE.with_suffix(".dot").write_text(dot(), encoding="utf-8")


if __name__ == "__main__":
    main()
