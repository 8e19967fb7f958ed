"""Imports point downwards only, and each heavy library has one door; read from the source, not by importing."""

from __future__ import annotations

import ast
import keyword
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

from tests.support.paths import ROOT

PACKAGE = ROOT / "rnngraph"

LAYERS: list[set[str]] = [
    {"__main__", "ipython"},
    {"cli"},
    {"language_server"},
    {"torch", "jax"},
    {"frameworks"},
    {"explore"},
    {"api"},
    {"viz", "editor"},
    {"analysis", "check", "exchange", "generation"},
    {"training"},
    {"run_options"},
    {"model"},
    {"compiled"},
    {"debugging"},
    {"compilation"},
    {"data", "checkpointing"},
    {"weights"},
    {"runtime"},
    {"kernels"},
    {"planning"},
    {"language"},
    {"passes"},
    {"ops"},
    {"ir"},
    {"files"},
    {"distributed"},
    {"diagnostics"},
    {"system"},
]
"""From the top down. A module may import from lower layers and from its own part, not from its neighbours."""

ALLOWED = {
    ("compiled", "viz.notebook"): "a program draws itself",
}
"""Imports that do not point downwards, inside functions, each with its reason."""

DOORS = {
    "cupy": {"runtime.cupy"},
    "cupyx": {"runtime.cupy"},
    "lark": {"language.syntax.error_recovery", "language.syntax.grammar"},
    "llvmlite": {"kernels.cpu.machine_code"},
    "matplotlib": {"viz.figure", "viz.heat", "viz.memory"},
    "graphviz": {"viz.dot"},
    "graphviz_pure": {"viz.dot_program"},
    "networkx": {"language.checking.recursion", "ir.text"},
    "safetensors": {"files.safetensors"},
    "filelock": {"training.checkpoint"},
    "pygments": {"cli.terminal", "editor.pygments_lexer"},
    "mpi4py": {"distributed.mpi"},
}
"""Which modules import a library."""

ROOMS = {
    "click": "cli",
    "rich": "cli",
    "torch": "frameworks",
    "jax": "frameworks",
    "pygls": "language_server",
    "lsprotocol": "language_server",
}
"""Libraries that one whole room may import."""

LEVEL = {part: depth for depth, layer in enumerate(LAYERS) for part in layer}


def modules() -> dict[str, Path]:
    """Every module by its name below `rnngraph`, those behind the links too."""
    folders = [PACKAGE, *(p for p in PACKAGE.iterdir() if p.is_dir() and p.name != "examples")]
    files = {f for folder in folders for f in (folder.glob("*.py") if folder == PACKAGE else folder.rglob("*.py"))}
    return {".".join(f.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


MODULES = modules()


@cache
def imports(name: str) -> tuple[str, ...]:
    """What a module imports, anywhere in it, by full name, for types alone too."""
    return tuple(_imports(name))


def _imports(name: str) -> Iterator[str]:
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name: str) -> set[str]:
    """The modules of rnngraph that a module imports."""
    found = set()
    for full in imports(name):
        inside = full.removeprefix("rnngraph.")
        if inside != full:
            found.add(inside if inside in MODULES else inside.rpartition(".")[0] or "__init__")
    return found


def part(name: str) -> str:
    return name.split(".")[0]


def test_every_module_has_a_layer() -> None:
    parts = {part(name) for name in MODULES} - {"__init__", "grammar", "library"}
    assert parts <= set(LEVEL), f"without a layer: {parts - set(LEVEL)}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_downwards(name: str) -> None:
    if part(name) in ("__init__", "grammar", "library"):
        return
    for other in ours(name) - {"__init__"}:
        same, lower = part(other) == part(name), LEVEL[part(other)] > LEVEL[part(name)]
        assert (name, other) in ALLOWED or same or lower, f"{name} imports {other}"


def test_exceptions_are_still_needed() -> None:
    for name, other in ALLOWED:
        assert other in ours(name)


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library: str) -> None:
    users = {name for name in MODULES if any(full.split(".")[0] == library for full in imports(name))}
    assert users <= DOORS[library], f"{library} is imported by {users - DOORS[library]}"


@pytest.mark.parametrize("library", ROOMS)
def test_a_library_has_one_room(library: str) -> None:
    users = {name for name in MODULES if any(full.split(".")[0] == library for full in imports(name))}
    assert {part(name) for name in users} == {ROOMS[library]}


def test_a_verb_stands_in_a_file_of_its_name() -> None:
    from rnngraph.cli.main import cli

    for name, command in cli.commands.items():
        defined = command.callback.__module__ if command.callback is not None else ""
        assert defined == f"rnngraph.cli.{name}{'_' if keyword.iskeyword(name) else ''}"


def test_the_graph_knows_no_array_and_no_text() -> None:
    allowed = ("rnngraph.ir", "rnngraph.diagnostics.source", "rnngraph.diagnostics.errors")
    for name in MODULES:
        if part(name) == "ir":
            for full in imports(name):
                known = full.split(".")[0] in {*sys.stdlib_module_names, "msgspec"} or full.startswith(allowed)
                assert known or (full == "networkx" and name == "ir.text"), f"{name} imports {full}"


def test_importing_the_package_is_light() -> None:
    heavy = "numpy cupy lark matplotlib click rich graphviz networkx safetensors psutil"
    code = f"import sys, rnngraph; print([m for m in {heavy.split()!r} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert said.strip() == "[]"


def test_help_is_light() -> None:
    code = (
        "import sys\nfrom rnngraph.cli.main import exit_code\nexit_code(['--help'])\n"
        "print([m for m in ('numpy', 'lark', 'matplotlib', 'networkx') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert said.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", ["check", "fmt"])
def test_a_text_is_looked_at_without_arrays(verb: str, tmp_path: Path) -> None:
    goal = "  loss mean(y * y)\n  train {\n    optimizer adam(rate = 0.1)\n  }\n"
    text = "model M {\n  input x: seq[3]\n  y, _ = unroll LSTM(4) over x\n  output y\n" + goal + "}\n"
    (tmp_path / "m.rnn").write_text(text)
    code = (
        f"import sys\nfrom rnngraph.cli.main import exit_code\nassert exit_code([{verb!r}, 'm.rnn']) == 0\n"
        "print([m for m in ('numpy', 'matplotlib', 'networkx', 'llvmlite', 'rich') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert said.stdout.splitlines()[-1] == "[]"


def test_no_two_files_import_each_other() -> None:
    graph = nx.DiGraph((name, other) for name in MODULES for other in ours(name) - {"__init__"})
    assert [sorted(c) for c in nx.strongly_connected_components(graph) if len(c) > 1] == []


def test_shared_kernels_know_no_cpu() -> None:
    for name in MODULES:
        if part(name) == "kernels" and not name.startswith("kernels.cpu"):
            assert not [other for other in ours(name) if other.startswith("kernels.cpu")], name


def test_the_map_is_of_these_rooms() -> None:
    """`python docs/pictures/rooms.py` draws it anew."""
    scope = runpy.run_path(str(ROOT / "docs" / "pictures" / "rooms.py"))
    assert scope["dot"]() == (ROOT / "docs" / "pictures" / "rooms.dot").read_text(encoding="utf-8")


def test_the_table_of_rooms_names_files_that_are_there() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split("## The map")[1].split("\n## ")[0]
    for row in re.findall(r"^\| `.*", table, re.M):
        rooms, said = row.split(" | ", 1)
        folders = [PACKAGE / room for room in re.findall(r"`([a-z_/]+)/`", rooms)]
        there = {n for f in folders for p in f.rglob("*") for n in (p.name, p.name.removesuffix(".py"))}
        assert not folders or set(re.findall(r"`([a-z_0-9]+(?:\.cuh)?)`", said)) <= there, rooms


def test_the_documents_name_files_that_are_there() -> None:
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        if page.name == "decisions.md":  # a diary: its names are those of their day
            continue
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`((?:[a-z_0-9]+/)+(?:[a-z_0-9]+\.(?:py|rnn|md|lark))?)`", text):
            places = [ROOT / name, ROOT / "rnngraph" / name, ROOT / "docs" / name]
            assert any(p.exists() for p in places), f"{page.name} names {name}"
