"""What stands in boxes and tooltips: the user's own text, shapes, bytes."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Loop, Node, Value
from rnngraph.ir.text import name_of
from rnngraph.ir.types import DType, Type

WIDTH = 38
_LONGEST = 3 * WIDTH
_ELIDED = "..."
_OWN_NAME = re.compile(r"[^.]+(\.\d+)*$")


def shape_text(type: Type) -> str:
    """`[8, 20]`; for a single number its kind (`float`)."""
    return f"[{', '.join(map(str, type.shape))}]" if type.shape else type.dtype


def item_bytes(kind: DType, dtype: str) -> int:
    """Bytes of one entry, where floats are `dtype`."""
    floats = {"float16": 2, "float32": 4, "float64": 8}
    return {"float": floats.get(dtype, 8), "int": 8, "bool": 1}[kind]


def own_name(name: str) -> str:
    """A state or weight as its instance calls it: `stack.0.c` is `c`, and `net.r.2`, made by a `for`, is `r.2`."""
    found = _OWN_NAME.search(name)
    return found.group() if found else name


def bytes_text(type: Type, dtype: str) -> str:
    """What a value takes, as a formula: `batch x 5 floats = 20 B x batch (float32)`."""
    count = 1
    for size in type.shape:
        count *= size
    size = count * item_bytes(type.dtype, dtype)
    entries = f"{count:,} {type.dtype}{'s' if count != 1 else ''}"
    stored = {"float": dtype, "int": "int64", "bool": "bool"}[type.dtype]
    return f"{' x '.join([*type.axes, entries])} = {' x '.join([f'{size:,} B', *type.axes])} ({stored})"


def tooltip(span: Span | None, types: Iterable[Type], dtype: str) -> str:
    """Source line, type and bytes, a line each."""
    lines = [place_text(span)] if span else []
    for type in types:
        lines += [str(type), bytes_text(type, dtype)]
    return "\n".join(lines)


def place_text(span: Span) -> str:
    """`file:line: the text of the line`."""
    return f"{span.at}: {span.source.line(span.line).strip()}"


def source_text(span: Span, elided: Iterable[Span] = ()) -> str:
    """The user's text in one line, each elided part (what another box computes) as `...`."""
    text, end = "", span.start
    for part in sorted(_outermost(span, elided), key=lambda s: s.start):
        text += span.source.text[end : part.start] + _ELIDED
        end = part.end
    text += span.source.text[end : span.end]
    return " ".join(re.sub(r"#[^\n]*", "", text).split())


def _outermost(span: Span, parts: Iterable[Span]) -> list[Span]:
    inside = [p for p in set(parts) if inner(p, span)]
    return [p for p in inside if not any(inner(p, other) for other in inside)]


def inner(part: Span, whole: Span) -> bool:
    """Whether `part` is a smaller piece of `whole`."""
    return within(part, whole) and (part.start, part.end) != (whole.start, whole.end)


def within(part: Span, whole: Span) -> bool:
    return part.source is whole.source and whole.start <= part.start and part.end <= whole.end


def wrapped(text: str) -> tuple[str, ...]:
    """Lines of a readable width; a very long text is cut, its tooltip has the rest."""
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 3] + _ELIDED
    return tuple(textwrap.wrap(text, WIDTH, break_long_words=True, break_on_hyphens=False))


def loop_title(loop: Loop) -> str:
    """`RNN over time`, `RNN over time reversed`."""
    counted = re.match(r"(\d+)@for", loop.axis)
    along = f"for {counted[1]} steps" if counted else f"over {loop.axis}"
    return f"{loop.label or 'loop'} {along}{' reversed' * loop.reverse}"


def op_text(node: Node) -> str:
    """For a node that no line of the source stands for."""
    return node.op.name.replace("_", " ")


def carry_names(loop: Loop) -> list[str]:
    return [name_of(carry.param) or f"state {i}" for i, carry in enumerate(loop.carries)]


def stack_names(loop: Loop) -> list[str]:
    """What each stacked row is called: the user's name, or that of the carry whose next value it is."""
    nexts = {c.next: n for c, n in zip(loop.carries, carry_names(loop), strict=True)}
    return [nexts.get(v) or name_of(v) or op_text(v.node) for v in loop.stacks]


def shape_of(value: Value) -> str:
    return shape_text(value.type)
