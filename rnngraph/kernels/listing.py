"""What a program's kernels are, in words: for each its size, its operations and the lines they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from rnngraph.kernels.target import Target
from rnngraph.planning.program import Code, Group, Repeat, Step

PARTS = {"": "", "live": ", rows that go on", "past": ", rows that have ended"}


class Listed(Struct, frozen=True):
    """One kernel, or what NumPy does: how deep in loops, what it is, its operations, its lines, and how often."""

    depth: int
    what: str
    ops: tuple[str, ...]
    lines: tuple[str, ...]
    why: str = ""
    """Why no kernel takes it; "" where one does."""
    times: int = 1


def _nothing(_: Repeat) -> str:
    return ""


def listed(
    code: Sequence[Code], target: Target, told: Callable[[Repeat], str] = _nothing, library: str = "NumPy"
) -> list[Listed]:
    """Kernels in the order of the program; the same one at many steps of a static program is told once.

    `told` says more of a loop; `library` does what no kernel takes.
    """
    found: dict[Listed, int] = {}
    for one in _listed(code, 0, target, told, library):
        found[one] = found.get(one, 0) + 1
    return [Listed(one.depth, one.what, one.ops, one.lines, one.why, times) for one, times in found.items()]


def _listed(
    code: Sequence[Code], depth: int, target: Target, told: Callable[[Repeat], str], library: str
) -> Iterator[Listed]:
    for item in code:
        if isinstance(item, Repeat):
            yield Listed(depth, f"loop over {item.axis}{', backwards' * item.reverse}{told(item)}", (), ())
            yield from _listed(item.body, depth + 1, target, told, library)
        elif isinstance(item, Group):
            what = item.kernel.title + PARTS[item.part]
            yield Listed(depth, what, tuple(s.node.op.name for s in item.steps), _lines(item.steps))
        else:
            name = item.node.op.name
            yield Listed(depth, library, (name,), _lines((item,)), why_not(item, target))


def _lines(steps: Sequence[Step]) -> tuple[str, ...]:
    spans = [step.node.origin.span for step in steps]
    places = [span.at for span in spans if span is not None]
    return tuple(dict.fromkeys(places))


def why_not(step: Step, target: Target) -> str:
    """Why no kernel takes a step."""
    name = step.node.op.name
    if name in ("contract", "sum_axes") or target.along_row(name):
        return f"a `{name}` over these axes has no kernel"
    if step.node.op.kind == "pointwise":
        return f"`{name}` has no kernel for these types, or its operands lie in no usable order"
    return f"`{name}` has no kernel"
