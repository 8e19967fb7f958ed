"""The tree of instances, from the paths that elaboration gave them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnngraph.language.elaboration.elaborated import Block, StateVar, Weight
from rnngraph.language.elaboration.imports import library
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import Builtin, Class, Instance, PipeOf
from rnngraph.language.syntax.ast import Definition

Path = tuple[str, ...]


def tree(trace: Trace, model: Definition) -> Block:
    """The model as the root; every instance below the one with the longest path that begins its own."""
    paths = set(trace.instances)
    below: dict[Path, list[Instance | PipeOf]] = {}
    for path, instance in trace.instances.items():
        below.setdefault(_owner(path, paths), []).append(instance)
    weights: dict[Path, list[Weight]] = {}
    for weight in trace.weights.values():
        weights.setdefault(_owner(tuple(weight.name.split(".")), paths), []).append(weight)

    def block(instance: Instance | PipeOf) -> Block:
        path = instance.path or ()
        owner = _owner(path, paths)
        return Block(
            ".".join(path[len(owner) :]),
            path,
            "pipe" if isinstance(instance, PipeOf) else instance.definition.kind,
            instance.title,
            tuple(weights.get(path, ())),
            () if isinstance(instance, PipeOf) else _states(instance),
            tuple(map(block, below.get(path, ()))),
            instance.span,
            instance.axis,
            instance.reverse,
            *_made_of(instance),
        )

    return Block(
        model.name,
        (),
        "model",
        model.name,
        tuple(weights.get((), ())),
        (),
        tuple(map(block, below.get((), ()))),
        model.name_span,
    )


def _owner(path: Path, paths: set[Path]) -> Path:
    """The longest path of an instance that `path` goes on from."""
    for length in range(len(path) - 1, 0, -1):
        if path[:length] in paths:
            return path[:length]
    return ()


def _states(instance: Instance) -> tuple[StateVar, ...]:
    return tuple(StateVar(name, shape, span) for name, (shape, span) in instance.states.items())


def _made_of(instance: Instance | PipeOf) -> tuple[bool, Mapping[str, Any]]:
    """Whether the definition is the library's own, and its settings with functions and definitions by name."""
    if isinstance(instance, PipeOf):
        return False, {}
    standard = library().get(instance.definition.name) is instance.definition
    return standard, {name: _named(item) for name, item in instance.settings.items()}


def _named(item: Any) -> Any:
    match item:
        case Builtin():
            return item.name
        case Class():
            return item.definition.name
        case Instance() | PipeOf():
            return item.title
    return item
