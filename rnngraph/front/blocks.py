"""The tree of instances, from the paths that elaboration gave them."""

from __future__ import annotations

from rnngraph.front.block import Block, StateVar, Weight
from rnngraph.front.trace import Trace
from rnngraph.front.values import Instance, PipeOf
from rnngraph.syntax.ast import Definition

Path = tuple[str, ...]


def tree(trace: Trace, model: Definition) -> Block:
    """The model as the root; every instance below the one with the longest path that begins its own."""
    paths = {i.path for i in trace.instances if i.path is not None}
    below: dict[Path, list[Instance | PipeOf]] = {}
    for instance in trace.instances:
        assert instance.path is not None
        below.setdefault(_owner(instance.path, paths), []).append(instance)
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
