"""One operation of a chain, or of a nest, as an expression of C++."""

from __future__ import annotations

from rnngraph.kernels.chain import CHOOSING, COPIES, Lookup, Noise, Operation
from rnngraph.ops.random import FIRST, GOLDEN, SECOND, SEED, STEP

OF_FLOATS = {
    "neg": "-{0}", "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}",
    "square": "{0} * {0}", "reciprocal": "{T}(1) / {0}", "relu": "at_least({0}, {T}(0))",
    "maximum": "at_least({0}, {1})", "minimum": "at_most({0}, {1})", "abs": "abs_of({0})", "sign": "sign_of({0})",
    "floor": "floor_of({0})", "round": "round_of({0})", "sqrt": "sqrt_of({0})", "exp": "exp_of({0})",
    "log": "log_of({0})", "tanh": "tanh_of({0})", "sigmoid": "sigmoid_of({0})", "softplus": "softplus_of({0})",
    "log_sigmoid": "-softplus_of(-{0})", "erf": "erf_of({0})", "sin": "sin_of({0})", "cos": "cos_of({0})",
    "pow": "pow_of({0}, {1})", "atan2": "atan2_of({0}, {1})", "mod": "mod_of({0}, {1})",
    "floordiv": "floordiv_of({0}, {1})",
}  # fmt: skip
OF_INTS = {
    "neg": "-{0}", "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "abs": "({0} < 0 ? -{0} : {0})",
    "sign": "Int({0} > 0) - Int({0} < 0)", "maximum": "({0} > {1} ? {0} : {1})", "minimum": "({0} < {1} ? {0} : {1})",
    "mod": "mod_of({0}, {1})", "floordiv": "floordiv_of({0}, {1})",
}  # fmt: skip
OF_BOTH = {
    "lt": "{0} < {1}", "le": "{0} <= {1}", "gt": "{0} > {1}", "ge": "{0} >= {1}", "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "and": "{0} && {1}", "or": "{0} || {1}", "not": "!{0}", "where": "{0} ? {1} : {2}", "zero": "0", "one": "1",
}  # fmt: skip

TYPES = {"float32": "float", "float64": "double", "int64": "Int", "bool": "bool"}
"""What a number is called in C++."""


def known(op: str, types: tuple[str, ...]) -> bool:
    """Whether there is an expression for an op over values of these types."""
    if op in CHOOSING:
        return types[-1] == "int64"
    if op in OF_BOTH or op in COPIES or op in ("cast", "uniform"):
        return True
    return op in (OF_FLOATS if types[0].startswith("float") else OF_INTS if types[0] == "int64" else ())


def expression(operation: Operation, x: list[str], place: str = "", row: str = "", entry: str = "") -> str:
    """The value of an operation on the values with these names.

    `place` is that of the entry in the last dimension, `row` its row of the batch, `entry` its place among those of the
    row; they are asked for where they matter.
    """
    op, result = operation.op, TYPES[operation.result]
    if isinstance(operation.at, Noise):
        return _uniform(operation.at, x, result, f"({row}) * {operation.at.each} + {entry}")
    if isinstance(operation.at, Lookup):
        return _chosen(operation.at, op, x, result, place)
    if op in COPIES:
        return x[0]
    if op == "cast":
        return f"{x[0]} != 0" if operation.result == "bool" else f"{result}({x[0]})"
    table = OF_BOTH if op in OF_BOTH else OF_FLOATS if operation.types[0].startswith("float") else OF_INTS
    return table[op].format(*x, T=result)


def _chosen(lookup: Lookup, op: str, x: list[str], result: str, place: str) -> str:
    """What an int chooses; one outside takes the nearest inside."""
    one = f"inside({x[-1]}, {lookup.entries})"
    if op == "place":
        return f"{place} == {one} ? {x[0]} : {result}(0)"
    if op == "one_hot":
        return f"{result}({place} == {one})"
    return f"{x[0]}[{one} * {lookup.apart}]"


def _uniform(noise: Noise, x: list[str], result: str, entry: str) -> str:
    """The numbers of `ops/random.py`, to the bit."""
    seed, step = (f"Bits({one})" for one in x)
    counter = f"(Bits({entry}) + 1) * {GOLDEN:#x}ull + {noise.key:#x}ull + {seed} * {SEED:#x}ull"
    mixed = f"mixed(mixed({counter}) + {step} * {STEP:#x}ull)"
    bits = 53 if result == "double" else 24
    return f"{result}({mixed} >> {64 - bits}) * {result}({2.0**-bits!r})"


MIXED = f"""
__device__ __forceinline__ Bits mixed(Bits x) {{
  x = (x ^ (x >> 30)) * {FIRST:#x}ull;
  x = (x ^ (x >> 27)) * {SECOND:#x}ull;
  return x ^ (x >> 31);
}}
"""
"""The finaliser of SplitMix64."""
