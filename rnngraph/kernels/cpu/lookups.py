"""What an int chooses: entries of a chain, looked up in a table or put in their place among zeros; rows to add to."""

from __future__ import annotations

from rnngraph.kernels.chain import Lookup, Operation
from rnngraph.kernels.cpu.llvm_text import KERNEL, Function, Number
from rnngraph.kernels.cpu.reductions import in_units
from rnngraph.kernels.cpu.vectors import BYTES, Lanes


def apply(v: Lanes, operation: Operation, x: list[str], place: Number) -> str:
    """The result of one operation on a vector of entries, the first of which is the place of the last dimension."""
    assert isinstance(operation.at, Lookup)
    if operation.op == "place":
        return v.select(_here(v, operation.at, x[1], place), x[0], "zeroinitializer", v.type(operation.result))
    if operation.op == "one_hot":
        return v.select(_here(v, operation.at, x[0], place), v.number(1.0), "zeroinitializer", v.floats)
    if operation.at.whole:
        return _run(v, operation, *x)
    return _each(v, operation, *x)


def _here(v: Lanes, lookup: Lookup, ids: str, place: Number) -> str:
    """Whether an entry is the one that is chosen; one int chooses for all lanes."""
    kind, first = f"<{v.width} x i32>", v.to.let(f"trunc i64 {_one(v, lookup, ids)} to i32")
    start = v.to.let(f"trunc i64 {place} to i32")
    places = v.to.let(f"add {kind} {v.spread_short(start)}, {v.ladder()}")
    return v.to.let(f"icmp eq {kind} {places}, {v.spread_short(first)}")


def _one(v: Lanes, lookup: Lookup, ids: str) -> str:
    """The int of all lanes; one outside takes the nearest inside."""
    one = v.to.let(f"extractelement {v.type('int64')} {ids}, i32 0")
    one = v.to.let(f"call i64 @llvm.smax.i64(i64 {one}, i64 0)")
    return v.to.let(f"call i64 @llvm.smin.i64(i64 {one}, i64 {lookup.entries - 1})")


def _inside(v: Lanes, lookup: Lookup, ids: str) -> str:
    return v.ints("smin", v.ints("smax", ids, "splat (i64 0)"), f"splat (i64 {lookup.entries - 1})")


def _run(v: Lanes, operation: Operation, table: str, ids: str) -> str:
    """Entries side by side, all chosen by one int."""
    lookup, dtype = operation.at, operation.types[0]
    assert isinstance(lookup, Lookup)
    return v.load(v.to.at(table, v.to.mul(_one(v, lookup, ids), lookup.apart * BYTES[dtype]), "i8"), dtype)


def _each(v: Lanes, operation: Operation, table: str, ids: str) -> str:
    """An int for each entry."""
    lookup, dtype = operation.at, operation.types[0]
    assert isinstance(lookup, Lookup)
    far = v.to.let(f"mul {v.type('int64')} {_inside(v, lookup, ids)}, splat (i64 {lookup.apart})")
    return v.gather(table, far, dtype)


def outside(v: Lanes, operation: Operation, x: list[str]) -> str:
    """Whether ints are none of so many, of rows that a truth value does not leave out; or a truth value as it is."""
    lookup = operation.at
    if not isinstance(lookup, Lookup):
        return x[0]
    bits = f"<{v.width} x i1>"
    found = v.to.let(f"icmp uge {v.type('int64')} {x[0]}, splat (i64 {lookup.entries})")
    return v.to.let(f"and {bits} {found}, {x[1]}") if len(x) > 1 else found


def write_scatter(name: str, dtype: str, width: int, declared: set[str]) -> str:
    """Rows added, in order, to the rows of a table that ints choose; columns are counted in vectors, and a thread has
    its own, so that no bit depends on how many threads there are.

    Arguments rows, ints, table, entries and ints from row to row, ints of a row, rows of the table, width, rows in
    all, rows of a unit, whether the units go from the last to the first, whether to add to what stands there.
    """
    to = Function(name, KERNEL)
    v = Lanes(to, width, "float" if dtype == "float32" else "double", declared)
    source, ids, table = (to.pointer("%args", i) for i in range(3))
    row, chosen, each, entries, size, rows, unit, back, add = (to.word("%args", i) for i in range(3, 12))
    first = to.mul("%c0", width)
    count = to.sub(to.least(to.mul("%c1", width), size), first)
    with to.when(to.let(f"icmp eq i64 {add}, 0")), to.loop(0, entries) as r:
        v.along(count, lambda i: v.store(v.number(0.0), _place(v, table, r, size, first, i), dtype))
    with in_units(to, rows, unit, back) as (low, high), to.loop(low, high) as r, to.loop(0, each) as k:
        one = to.word(ids, to.add(to.mul(r, chosen), k))
        one = to.let(f"call i64 @llvm.smax.i64(i64 {to.least(one, to.sub(entries, 1))}, i64 0)")
        line = to.at(source, to.mul(r, row), v.element)

        def added(i: Number) -> None:
            target = _place(v, table, one, size, first, i)
            x = v.load(_place(v, line, k, size, first, i), dtype)
            v.store(v.two("fadd", v.load(target, dtype), x), target, dtype)

        v.along(count, added)
    return to.text()


def _place(v: Lanes, start: str, row: Number, size: Number, first: Number, i: Number) -> str:
    return v.to.at(start, v.to.add(v.to.add(v.to.mul(row, size), first), i), v.element)
