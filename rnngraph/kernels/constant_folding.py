"""What is left of a chain where its mask is known, and some of its loads are zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rnngraph.kernels.chain import COPIES, LOOKUPS, Chain, Operation

ZERO, FALSE, TRUE = "zero", "false", "true"
Known = int | str
"""A value of a chain: `ZERO`, `FALSE`, `TRUE`, or the number of the value that it equals."""

ODD = {"neg", "abs", "square", "sqrt", "sign", "tanh", "relu", *COPIES}
"""Functions of one number that take zero to zero."""


def folded(chain: Chain, known: Mapping[int, Known]) -> list[Known]:
    """Every value of a chain, loads first, given what is known of some loads."""
    values: list[Known] = [known.get(i, i) for i in range(len(chain.loads))]
    for operation in chain.operations:
        found = _folded(operation.op, [values[i] for i in operation.ins])
        values.append(len(values) if found is None else found)
    return values


def _folded(op: str, x: Sequence[Known]) -> Known | None:
    """What an operation gives; None where it must be done. Zero times anything is zero: what is not finite there
    belongs to no row of the data."""
    if op == "where" and (x[0] in (FALSE, TRUE) or x[1] == x[2]):
        return x[1] if x[0] == TRUE else x[2]
    if (op == "mul" and ZERO in x) or (op == "div" and x[0] == ZERO):
        return ZERO
    if op in (*LOOKUPS, "place") and x[0] == ZERO:
        return ZERO
    if op == "and" and FALSE in x:
        return FALSE
    if op in ("add", "or") and (ZERO if op == "add" else FALSE) in x:
        return x[1] if x[0] in (ZERO, FALSE) else x[0]
    if op == "sub" and x[1] == ZERO:
        return x[0]
    return x[0] if op in ODD and x[0] in (ZERO, FALSE) else None


def remaining(chain: Chain, values: Sequence[Known], stores: Sequence[int]) -> tuple[Chain, list[int]]:
    """The chain that makes these stores, and the numbers of the loads that it takes."""
    first = len(chain.loads)
    roots = [values[chain.stores[i][0]] for i in stores]
    used, todo = set[int](), [v for v in roots if isinstance(v, int)]
    while todo:
        value = todo.pop()
        if value not in used:
            used.add(value)
            if value >= first:
                todo += [v for i in chain.operations[value - first].ins if isinstance(v := values[i], int)]
    loads = sorted(v for v in used if v < first)
    return _Rest(chain, values, loads, sorted(v for v in used if v >= first)).chain(stores), loads


class _Rest:
    """Some of the operations of a chain, with their values numbered anew."""

    def __init__(self, chain: Chain, values: Sequence[Known], loads: Sequence[int], made: Sequence[int]) -> None:
        self.whole, self.values, self.loads = chain, values, loads
        self.number: dict[int, int] = {v: i for i, v in enumerate(loads)}
        self.literals: dict[str, int] = {}
        self.operations: list[Operation] = []
        for value in made:
            one = chain.operations[value - len(chain.loads)]
            ins = tuple([self.of(i, type) for i, type in zip(one.ins, one.types, strict=True)])
            self.number[value] = self.add(replace(one, ins=ins))

    def add(self, operation: Operation) -> int:
        self.operations.append(operation)
        return len(self.loads) + len(self.operations) - 1

    def of(self, value: int, dtype: str) -> int:
        """The new number of an old value; zeros are made where they are needed."""
        known = self.values[value]
        if isinstance(known, int):
            return self.number[known]
        if known not in self.literals:
            self.literals[known] = self.add(Operation("one" if known == TRUE else "zero", (), (), dtype))
        return self.literals[known]

    def chain(self, stores: Sequence[int]) -> Chain:
        kept = tuple([(self.of(v, o.dtype), o) for v, o in (self.whole.stores[i] for i in stores)])
        loads = tuple([self.whole.loads[i] for i in self.loads])
        return Chain(self.whole.dims, loads, tuple(self.operations), kept, self.whole.dtype)
