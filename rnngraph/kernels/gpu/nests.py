"""A nest of loops as a function of CUDA C++: a thread for each entry of the result."""

from __future__ import annotations

from math import inf

from rnngraph.kernels.gpu.expressions import TYPES, expression
from rnngraph.kernels.nests import Move, Nest, Walk

DEPTH = 256
"""Terms of a chain of products, before it joins the total."""


def write(nest: Nest, name: str) -> str:
    """The function `name(share, arrays..., words)`: `words` are those of `Nest.words`, with distances in entries."""
    *operands, result = [TYPES[s.dtype] for s in nest.strands]
    read = nest.walk.ins if nest.walk else len(operands)
    arrays = [f"{'const ' * (i < read)}{kind}* a{i}" for i, kind in enumerate(operands)] + [f"{result}* y"]
    kept = len(nest.loops) - nest.summed
    sizes = [*(f"words.turns[{i}]" for i in range(kept)), *map(str, nest.dims[: len(nest.dims) - nest.inner])]
    body = "\n".join(f"    {line}" for line in _entry(nest, kept))
    places = "\n".join(_decoded(sizes, kept))
    loops, arrays_count = max(1, len(nest.loops)), len(nest.strands)
    return f"""
struct {name}_words {{ Int turns[{loops}], unit, steps, far[{arrays_count}][{loops + 1}], apart; }};
static __device__ void {name}({", ".join(["const Share& s", *arrays, f"const {name}_words& words"])}) {{
  const Int each = {" * ".join(sizes) or "1"}, all = s.size() * each;
  for (Int i = s.part * THREADS + threadIdx.x; i < all; i += s.parts * THREADS) {{
    const Int row = s.row(int(i / each));
    Int e = i % each;
{places}
{body}
  }}
}}
"""


def _decoded(sizes: list[str], kept: int) -> list[str]:
    """The turn of each loop of the result, and the place in each of its dimensions, from the last to the first."""
    lines = []
    for i, size in reversed(list(enumerate(sizes))):
        name = f"t{i}" if i < kept else f"d{i - kept}"
        lines += [f"    const Int {name} = e % {size};", f"    e /= {size};"]
    return lines


def _entry(nest: Nest, kept: int) -> list[str]:
    results = len(nest.dims) - nest.inner
    starts = [_start(nest, i, kept, results) for i in range(len(nest.strands))]
    if nest.move is not None:
        return _moved(nest, nest.move, starts)
    kind = TYPES[nest.strands[-1].dtype]
    if nest.walk is not None:
        return [_walked(nest, nest.walk, starts)]
    if not nest.how:
        there, further = _there(nest)
        starts[0] += further
        loads = [f"const {TYPES[s.dtype]} v{i} = a{i}[{starts[i]}];" for i, s in enumerate(nest.strands[:-1])]
        value = f"y[{starts[-1]}] = {expression(nest.operation, [f'v{i}' for i in range(len(loads))])};"
        if not there:
            return [*loads, value]
        fill = f"lowest<{kind}>()" if nest.fill == -inf else f"{kind}({nest.fill!r})"
        return [f"if ({there}) {{", *loads, value, f"}} else y[{starts[-1]}] = {fill};"]
    lines = [f"const Int o{i} = {starts[i]};" for i in range(len(starts))]
    lowest = f"lowest<{kind}>()" if nest.how == "max" else f"{kind}(0)"
    begun = f"y[o{len(starts) - 1}]" if nest.onto and nest.how == "sum" else lowest
    lines += [f"{kind} total = {begun}, part = {lowest};", "int terms = 0;"]
    lines += _reduced(nest, kept, results)
    if nest.how == "max" and nest.summed:
        turns = " * ".join(f"words.turns[{i}]" for i in range(kept, len(nest.loops)))
        lines.append(f"if ({turns} == 0) total = 0;")
    return [*lines, f"y[o{len(starts) - 1}] = total;"]


def _start(nest: Nest, array: int, kept: int, results: int) -> str:
    """Where the first term of an entry lies."""
    strand = nest.strands[array]
    parts = [f"row * words.far[{array}][0]"] if nest.axes and strand.places[0] is not None else []
    parts += [f"t{i} * words.far[{array}][{i + 1}]" for i in range(kept) if strand.places[i + 1] is not None]
    parts += [f"d{i} * {strand.strides[i]}" for i in range(results) if strand.strides[i]]
    return " + ".join([*parts, *([str(strand.first)] if strand.first else [])]) or "0"


def _walked(nest: Nest, walk: Walk, starts: list[str]) -> str:
    """The walk along a line."""
    lines = []
    for i, strand in enumerate(nest.strands):
        many, near, array = walk.counts[i], walk.apart[i], f"a{i}" if i < len(starts) - 1 else "y"
        last = len(nest.loops) - 1
        far = f"{near}, {many}" if many else f"words.far[{i}][{last + 1}], words.turns[{last}]"
        lines.append(f"Line<{'const ' * (i < walk.ins)}{TYPES[strand.dtype]}>{{{array} + {starts[i]}, {far}}}")
    return f"{walk.kind}<{'true' if walk.back else 'false'}>({', '.join(lines)});"


def _there(nest: Nest) -> tuple[str, str]:
    """Whether the first operand has an entry, "" where it always has; and how much further that lies."""
    conditions, further = list[str](), ""
    for gap in nest.gaps:
        moving = [f"d{i} * {each}" for i, each in enumerate(gap.each) if each]
        place = f"({' + '.join([*moving, str(gap.first)])})"
        if gap.by > 1:
            conditions.append(f"{place} % {gap.by} == 0")
            place = f"({place} / {gap.by})"
            further += f" + {place} * {gap.apart}"
        conditions.append(f"Bits({place}) < {gap.size}")
    return " && ".join(conditions), further


def _reduced(nest: Nest, kept: int, results: int) -> list[str]:
    """Loops over what is summed, the first axis unit by unit; a chain of products ends after `DEPTH` of them."""
    flush = "total = at_least(total, part);" if nest.how == "max" else "total += part;"
    reset = "" if nest.how == "max" else " part = 0;"
    inner = [f"for (Int d{i} = 0; d{i} < {nest.dims[i]}; ++d{i})" for i in range(results, len(nest.dims))]
    after = [f"for (Int t{i} = 0; t{i} < words.turns[{i}]; ++t{i})" for i in range(kept + 1, len(nest.loops))]
    term = _term(nest, kept, results)
    if nest.how == "max" or kept == len(nest.loops):
        first = [f"for (Int t{kept} = 0; t{kept} < words.turns[{kept}]; ++t{kept})"] if nest.summed else []
        return [*first, *after, *inner, "{", *term, "}", flush]
    count = f"words.turns[{kept}]"
    low = f"({'units - 1 - n' if nest.back else 'n'}) * unit"
    return [
        f"const Int unit = least(words.unit, {count} > 0 ? {count} : 1), units = ({count} + unit - 1) / unit;",
        "for (Int n = 0; n < units; ++n) {",
        f"const Int low = {low}, end = least(low + unit, {count});",
        "terms = 0;",
        f"for (Int t{kept} = low; t{kept} < end; ++t{kept})", *after, *inner, "{", *term, "}",
        flush + reset,
        "}",
    ]  # fmt: skip


def _term(nest: Nest, kept: int, results: int) -> list[str]:
    loads = []
    for array, strand in enumerate(nest.strands[:-1]):
        parts = [f"o{array}"]
        parts += [
            f"t{i} * words.far[{array}][{i + 1}]"
            for i in range(kept, len(nest.loops)) if strand.places[i + 1] is not None
        ]  # fmt: skip
        parts += [f"d{i} * {strand.strides[i]}" for i in range(results, len(nest.dims)) if strand.strides[i]]
        loads.append(f"a{array}[{' + '.join(parts)}]")
    there, further = _there(nest)
    if there:
        return [f"if ({there}) part += {loads[0][:-1]}{further}];"]
    if nest.how == "max":
        return [f"part = at_least(part, {loads[0]});"]
    if len(loads) == 1:
        return [f"part += {loads[0]};"]
    return [
        f"part = plus_times({loads[0]}, {loads[1]}, part);",
        f"if (++terms == {DEPTH}) {{ total += part; part = 0; terms = 0; }}",
    ]


def _moved(nest: Nest, move: Move, starts: list[str]) -> list[str]:
    """The entry of another step, or zero."""
    t = "0" if move.loop is None else f"t{move.loop}"
    length = f"a1[{starts[1]}]" if len(nest.strands) == 3 else "words.steps"
    step, there = _source(move, t)
    return [
        f"const Int length = {length}, step = {step};",
        f"y[{starts[-1]}] = {there} ? a0[{starts[0]} + step * words.apart] : {TYPES[nest.strands[-1].dtype]}(0);",
    ]


def _source(move: Move, t: str) -> tuple[str, str]:
    """Which step of the operand step t of the result is, and whether there is one."""
    steps = "words.steps"
    return {
        "shift": (f"{t} - ({move.by})", f"step >= 0 && step < {steps}"),
        "reverse": (f"{steps} - 1 - {t}", f"{t} < {steps}"),
        "reverse_within": (f"{t} < length ? length - 1 - {t} : {t}", f"{t} < {steps}"),
        "last": ("length - 1", "length > 0"),
        "last_within": ("length - 1", "length > 0"),
        "place_last": ("0", f"{t} == length - 1"),
        "place_last_within": ("0", f"{t} == length - 1"),
        "every": (f"{t} * {move.by}", f"{t} < {steps}"),
        "place_every": (f"{t} / {move.by}", f"step * {move.by} == {t}"),
    }[move.kind]
