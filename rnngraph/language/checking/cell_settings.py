"""Which settings of a definition are cells or layers: those that it calls, unrolls or hands on to one that does."""

from __future__ import annotations

from rnngraph.language.elaboration.scope import World
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition
from rnngraph.language.syntax.traversal import walk

RUN_CELLS = ("revise", "read_through", "reweigh", "restart")
"""Functions whose first argument is a cell, and whose second may be one."""


def is_cell(world: World, definition: Definition, setting: str, asked: set[tuple[int, str]] | None = None) -> bool:
    """Whether a setting is called, unrolled or piped, here or by a definition that it is handed to.

    `asked` are those that the question was put of before, on the way here: they need no second answer.
    """
    asked = set() if asked is None else asked
    if (id(definition), setting) in asked:
        return False
    asked.add((id(definition), setting))
    for node in walk(definition.body):
        match node:
            case ast.Call(function=ast.Name(name=name)) if name == setting:
                return True
            case ast.Unroll(cell=ast.Name(name=name)) if name == setting:
                return True
            case ast.Call(function=ast.Name(name=name)) if name in RUN_CELLS and _is_named(node.arguments[:2], setting):
                return True
            case ast.Pipe() if any(isinstance(p, ast.Name) and p.name == setting for p in node.parts):
                return True
            case ast.Call(function=ast.Name(name=name)) if name in world and _handed_on(world, node, setting, asked):
                return True
    return False


def _is_named(arguments: tuple[ast.Argument, ...], setting: str) -> bool:
    return any(isinstance(a.value, ast.Name) and a.value.name == setting for a in arguments)


def _handed_on(world: World, node: ast.Call, setting: str, asked: set[tuple[int, str]]) -> bool:
    assert isinstance(node.function, ast.Name)
    other = world[node.function.name]
    for place, argument in enumerate(node.arguments):
        if (
            isinstance(argument.value, ast.Name)
            and argument.value.name == setting
            and place < len(other.settings)
            and is_cell(world, other, argument.name or other.settings[place].name, asked)
        ):
            return True
    return False
