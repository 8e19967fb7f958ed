"""A chain written as a function: the same equations compute with arrays, and tell here what they would compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from rnngraph.kernels.chain import Chain, Operand, Operation

Formula = Callable[..., tuple[object, ...]]
"""From arrays and numbers by name to arrays, entry by entry, in `+ - * /` and `numpy.sqrt`."""


class Traced(Struct, frozen=True):
    """A value of the chain that is being written, by its number; NumPy's functions ask its methods."""

    operations: list[Operation]
    loads: int
    number: int
    dtype: str

    def then(self, op: str, *values: Traced) -> Traced:
        ins = (self.number, *(v.number for v in values))
        self.operations.append(Operation(op, ins, (self.dtype,) * len(ins), self.dtype))
        return Traced(self.operations, self.loads, self.loads + len(self.operations) - 1, self.dtype)

    def __add__(self, other: Traced) -> Traced:
        return self.then("add", other)

    def __sub__(self, other: Traced) -> Traced:
        return self.then("sub", other)

    def __mul__(self, other: Traced) -> Traced:
        return self.then("mul", other)

    def __truediv__(self, other: Traced) -> Traced:
        return self.then("div", other)

    def sqrt(self) -> Traced:
        return self.then("sqrt")


def traced(formula: Formula, arrays: int, numbers: Sequence[str], dtype: str) -> Chain:
    """The chain of `formula(array, ..., numbers by name)` over arrays of any one size: it loads the arrays, then the
    numbers, and stores the results."""
    entry, one = Operand(dtype, "each", 1, (1,)), Operand(dtype, "none", 0, (0,))
    loads = (*[entry] * arrays, *[one] * len(numbers))
    operations: list[Operation] = []
    values = [Traced(operations, len(loads), i, dtype) for i in range(len(loads))]
    known: Mapping[str, Traced] = dict(zip(numbers, values[arrays:], strict=True))
    results = formula(*values[:arrays], known)
    stores = tuple((result.number, entry) for result in results if isinstance(result, Traced))
    return Chain((1,), loads, tuple(operations), stores, dtype)
