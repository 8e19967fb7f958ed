"""FLOPs: the multiplications and additions of the products of graphs and programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod

from rnngraph.ir.graph import LOOP, Node, body_nodes, loop_of
from rnngraph.ir.types import Type
from rnngraph.planning.program import Code, Repeat, steps_of


def flops(nodes: Iterable[Node], sizes: Mapping[str, int]) -> int:
    """The multiplications and additions of every product, those inside loops as often as the loop turns."""
    total = 0
    for node in nodes:
        if node.op is LOOP:
            loop = loop_of(node)
            total += sizes[loop.axis] * flops(body_nodes(loop), sizes)
        elif node.op.name == "contract":
            total += 2 * multiply_adds(node, sizes)
    return total


def products(code: Sequence[Code], sizes: Mapping[str, int]) -> int:
    """The same of a program's code."""
    total = 0
    for item in code:
        if isinstance(item, Repeat):
            total += sizes[item.axis] * products(item.body, sizes)
        else:
            total += flops((step.node for step in steps_of((item,))), sizes)
    return total


def flops_by_step(code: Sequence[Code], sizes: Mapping[str, int], around: tuple[str, ...] = ()) -> dict[int, int]:
    """The operations of each product of a program that is done once, by the identity of its step. What stands in a loop
    and has the loop's axis itself is done a step at a time there."""
    found: dict[int, int] = {}
    for item in code:
        if isinstance(item, Repeat):
            found |= flops_by_step(item.body, sizes, (*around, item.axis))
        else:
            for step in steps_of((item,)):
                if step.node.op.name == "contract":
                    axes = {axis for value in step.node.inputs for axis in value.type.axes}
                    times = prod(sizes[axis] for axis in around if axis in axes)
                    found[id(step)] = 2 * multiply_adds(step.node, sizes) // max(1, times)
    return found


def multiply_adds(node: Node, sizes: Mapping[str, int]) -> int:
    """One for each entry of every axis and letter that any operand has."""
    types: tuple[Type, Type] = (node.inputs[0].type, node.inputs[1].type)
    letters: dict[str, int] = {}
    for letters_of, type in zip((node.attrs["left"], node.attrs["right"]), types, strict=True):
        letters.update(zip(letters_of, type.shape, strict=True))
    axes = {axis for type in types for axis in type.axes}
    return prod(letters.values()) * prod(sizes[axis] for axis in axes)
