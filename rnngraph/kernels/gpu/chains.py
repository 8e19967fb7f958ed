"""A chain as a function of CUDA C++: a thread takes an entry through all operations, in registers."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from rnngraph.kernels.chain import Chain, Operand
from rnngraph.kernels.gpu.expressions import TYPES, expression

ROWS = {"each": "row", "inner": "inner", "outer": "outer", "none": "0"}
"""Which row of an operand a row of the kernel reads."""


def write(chain: Chain, name: str, units: int, sent: Sequence[int] = ()) -> str:
    """The function `name(share, loads..., stores..., sent..., mask, wanted)`; the parts of a share own entries by their
    place modulo `units`. The stores that `sent` numbers go to all blocks of a cluster too."""
    gates = prod(chain.dims) // units
    loads = [f"const {TYPES[o.dtype]}* a{i}" for i, o in enumerate(chain.loads)]
    stores = [f"{TYPES[o.dtype]}* y{i}" for i, (_, o) in enumerate(chain.stores)]
    loads_of = [f"a{i} + {offset(o)}" if o.table else f"a{i}[{offset(o)}]" for i, o in enumerate(chain.loads)]
    stores_of = [f"y{i}[{offset(o)}]" for i, (_, o) in enumerate(chain.stores)]
    lines, values = entry(chain, loads_of, stores_of)
    handed = [
        f"hand_over(s, h{i} + {offset(o)}, {values[value]});" for i in sent for value, o in [chain.stores[i]]
    ]
    statements = [*places(chain.dims), *lines, *handed]
    body = "\n".join(f"    {line}" for line in statements)
    near = [f"{TYPES[chain.stores[i][1].dtype]}* h{i}" for i in sent]
    arguments = ", ".join(["const Share& s", *loads, *stores, *near, "const bool* mask", "bool wanted"])
    return f"""
static __device__ void {name}({arguments}) {{
  const int units = s.units({units}), first = s.unit0({units});
  const int all = s.size() * {gates} * units;
  for (int i = threadIdx.x; i < all; i += THREADS) {{
    const int q = i / units{f" / {gates}" if gates > 1 else ""};
    const int e = {f"i / units % {gates} * {units} + " if gates > 1 else ""}first + i % units;
    const Int inner = s.inner(q), outer = s.outer(q), row = outer * s.batch + inner;
    if (mask && mask[row] != wanted) continue;
{body}
  }}
}}
"""


def entry(chain: Chain, loads: Sequence[str], stores: Sequence[str]) -> tuple[list[str], list[str]]:
    """The statements for the entry `e` of a row, and the names of its values; loads and stores are expressions."""
    lines, values = computed(chain, loads)
    stored = [f"{y} = {values[value]};" for y, (value, _) in zip(stores, chain.stores, strict=True)]
    return [*lines, *stored], values


def computed(chain: Chain, loads: Sequence[str]) -> tuple[list[str], list[str]]:
    """The statements that compute all values of a chain, and the names of these."""
    lines, values = list[str](), list[str]()
    for i, (operand, load) in enumerate(zip(chain.loads, loads, strict=True)):
        values.append(f"v{i}")
        lines.append(f"const {TYPES[operand.dtype]}{'*' * operand.table} v{i} = {load};")
    noise_row = "inner" if chain.of_two_axes else "row"
    for operation in chain.operations:
        x = [values[i] for i in operation.ins]
        name = f"v{len(values)}"
        said = expression(operation, x, f"d{len(chain.dims) - 1}", noise_row, "e")
        lines.append(f"const {TYPES[operation.result]} {name} = {said};")
        values.append(name)
    return lines, values


def places(dims: tuple[int, ...]) -> list[str]:
    """The place of the entry in each dimension."""
    lines = []
    for i, size in enumerate(dims):
        after = prod(dims[i + 1 :])
        lines.append(f"const int d{i} = e{f' / {after}' if after > 1 else ''}{f' % {size}' if i else ''};")
    return lines


def offset(operand: Operand) -> str:
    """Where the entry lies, in entries from the first."""
    parts = [f"{ROWS[operand.rows]} * {operand.row}"] if operand.row and operand.rows != "none" else []
    parts += [f"d{i}{f' * {s}' if s != 1 else ''}" for i, s in enumerate(operand.strides) if s]
    return " + ".join(parts) or "0"
