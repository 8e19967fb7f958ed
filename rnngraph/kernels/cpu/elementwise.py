"""One kernel for a chain of elementwise steps: every value stays in registers from its first use to its last.

The kernel runs over rows (entries of the named axes) and, in each row, over the entries of a shape. How an operand lies
in memory is known when the kernel is written, but for its address and the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from rnngraph.kernels.chain import CHOOSING, COPIES, Chain, Noise, Operand, Operation
from rnngraph.kernels.cpu import lookups, math_functions, noise, whole_numbers
from rnngraph.kernels.cpu.llvm_text import KERNEL, Function, Number
from rnngraph.kernels.cpu.vectors import BYTES, Lanes


def write(chain: Chain, name: str, width: int, flat: bool, declared: set[str]) -> str:
    """The kernel's text. Columns are entries of the last dimension.

    A flat chain may be written `flat`: then columns are the entries of all rows, and rows are not looked at.
    """
    to = Function(name, KERNEL)
    _Writer(chain, to, Lanes(to, width, "float" if chain.dtype == "float32" else "double", declared)).kernel(flat)
    return to.text()


class _Writer:
    def __init__(self, chain: Chain, to: Function, lanes: Lanes) -> None:
        self.chain, self.to, self.lanes = chain, to, lanes
        self.row: Number = 0
        """The row of the batch, and which of its entries the first of the last dimension is."""
        self.before: Number = 0
        self.operands = [*chain.loads, *(o for _, o in chain.stores)]
        self.bases = [to.pointer("%args", i) for i in range(len(self.operands))]
        self.sums = [lanes.to.variable(lanes.floats) if o.summed else "" for _, o in chain.stores]
        self.fixed = {
            i: lanes.load_one(self.bases[i], o.dtype)
            for i, o in enumerate(chain.loads)
            if o.rows == "none" and not any(o.strides) and not o.table
        }

    def kernel(self, flat: bool) -> None:
        to = self.to
        if flat:
            self.run(self.bases, "%c0", "%c1", None)
            return
        # The inner size stands behind the addresses; absent where no operand needs it.
        split = any(o.rows in ("inner", "outer") for o in self.operands) or self.chain.of_two_axes
        inner: Number = to.word("%args", len(self.operands)) if split else 1
        with to.loop("%r0", "%r1") as place:
            row = to.row(place)
            places: dict[str, Number] = {"each": row, "none": 0, "inner": 0, "outer": 0}
            if split:
                places |= {"inner": to.rem(row, inner), "outer": to.div(row, inner)}
            self.row = places["inner"] if self.chain.of_two_axes else row
            starts = [self.moved(b, o, to.mul(places[o.rows], o.row)) for b, o in self.both(self.bases)]
            for sum in filter(None, self.sums):
                to.do(f"store {self.lanes.floats} zeroinitializer, ptr {sum}")
            self.inside(starts, 0)
            for sum, start in zip(self.sums, starts[len(self.chain.loads) :], strict=True):
                if sum:
                    total = self.lanes.sum(to.let(f"load {self.lanes.floats}, ptr {sum}"))
                    to.do(f"store {self.lanes.element} {total}, ptr {start}")

    def both(self, pointers: list[str]) -> list[tuple[str, Operand]]:
        return list(zip(pointers, self.operands, strict=True))

    def moved(self, pointer: str, operand: Operand, entries: Number) -> str:
        return self.to.at(pointer, self.to.mul(entries, BYTES[operand.dtype]), "i8")

    def inside(self, starts: list[str], dim: int) -> None:
        """All but the last dimension as loops around the last."""
        if dim < len(self.chain.dims) - 1:
            outside = self.before
            with self.to.loop(0, self.chain.dims[dim]) as place:
                self.before = self.to.add(outside, self.to.mul(place, prod(self.chain.dims[dim + 1 :])))
                self.inside(
                    [self.moved(p, o, self.to.mul(place, o.strides[dim])) for p, o in self.both(starts)], dim + 1
                )
            self.before = outside
            return
        self.run(starts, "%c0", "%c1", self.chain.dims[-1])

    def run(self, starts: list[str], first: Number, last: Number, size: int | None) -> None:
        """Whole vectors, then what is left; the size is that of the last dimension where it is known."""
        to, lanes = self.to, self.lanes
        whole = to.let(f"and i64 {to.sub(last, first)}, {-lanes.width}")
        end = to.add(first, whole)
        if size is None or size >= lanes.width:
            with to.loop(first, end, lanes.width) as place:
                self.entry(starts, place)
        if size is not None and size % lanes.width == 0:
            return
        left = to.sub(last, end)
        with to.when(to.let(f"icmp sgt i64 {left}, 0")):
            lanes.mask = lanes.first(left)
            self.entry(starts, end)
            lanes.mask = None

    def entry(self, starts: list[str], place: Number) -> None:
        """All operations on one vector of entries."""
        values: list[str] = []
        for i, operand in enumerate(self.chain.loads):
            values.append(self.loaded(i, starts[i], operand, place))
        for operation in self.chain.operations:
            x = [values[i] for i in operation.ins]
            values.append(self.placed(operation, x, place) if operation.at else apply(self.lanes, operation, x))
        for (value, operand), start, sum in zip(
            self.chain.stores, starts[len(self.chain.loads) :], self.sums, strict=True
        ):
            if sum:
                self.add_up(values[value], sum)
            else:
                self.lanes.store(values[value], self.moved(start, operand, place), operand.dtype)

    def add_up(self, value: str, sum: str) -> None:
        """Adds a vector of entries to the sums of a row, lane by lane as a sum along a row alone would."""
        lanes = self.lanes
        if lanes.mask is not None:
            value = lanes.select(lanes.mask, value, "zeroinitializer", lanes.floats)
        old = self.to.let(f"load {lanes.floats}, ptr {sum}")
        self.to.do(f"store {lanes.floats} {lanes.two('fadd', old, value)}, ptr {sum}")

    def placed(self, operation: Operation, x: list[str], place: Number) -> str:
        """The result of an operation for which the place of an entry matters."""
        if isinstance(operation.at, Noise):
            entry = self.to.add(self.to.add(self.to.mul(self.row, operation.at.each), self.before), place)
            return noise.uniform(self.lanes, operation, operation.at, x, entry)
        return lookups.apply(self.lanes, operation, x, place)

    def loaded(self, i: int, start: str, operand: Operand, place: Number) -> str:
        if i in self.fixed:
            return self.fixed[i]
        if operand.table:
            return self.moved(start, operand, self.to.mul(place, operand.strides[-1]))
        if not operand.strides or not operand.strides[-1]:
            return self.lanes.load_one(start, operand.dtype)
        return self.lanes.load(self.moved(start, operand, place), operand.dtype)


# --- operations ----------------------------------------------------------------------------------------------

COMPARE = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
COMPARE_INT = {"lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge", "eq": "eq", "ne": "ne"}

LITERALS = {"zero": "zeroinitializer", "one": "splat (i1 true)"}
"""Values that stand for themselves: 0 or false, and true."""

Rule = Callable[[Lanes, list[str]], str]


def _number_rule(name: str) -> Rule:
    return lambda v, x: v.intrinsic(name, x[0])


FLOAT_RULES: dict[str, Rule] = {
    "neg": lambda v, x: v.to.let(f"fneg {v.floats} {x[0]}"),
    "abs": _number_rule("fabs"),
    "floor": _number_rule("floor"),
    "round": _number_rule("rint"),
    "sqrt": _number_rule("sqrt"),
    "sign": lambda v, x: _sign(v, x[0]),
    "square": lambda v, x: v.two("fmul", x[0], x[0]),
    "reciprocal": lambda v, x: v.two("fdiv", v.number(1.0), x[0]),
    "exp": lambda v, x: math_functions.exp(v, x[0]),
    "log": lambda v, x: math_functions.log(v, x[0]),
    "tanh": lambda v, x: math_functions.tanh(v, x[0]),
    "sigmoid": lambda v, x: math_functions.sigmoid(v, x[0]),
    "erf": lambda v, x: math_functions.erf(v, x[0]),
    "relu": lambda v, x: v.at_least(x[0], v.number(0.0)),
    "softplus": lambda v, x: _softplus(v, x[0]),
    "log_sigmoid": lambda v, x: v.to.let(f"fneg {v.floats} {_softplus(v, v.to.let(f'fneg {v.floats} {x[0]}'))}"),
    "add": lambda v, x: v.two("fadd", *x),
    "sub": lambda v, x: v.two("fsub", *x),
    "mul": lambda v, x: v.two("fmul", *x),
    "div": lambda v, x: v.two("fdiv", *x),
    "maximum": lambda v, x: v.intrinsic("maximum", *x),
    "minimum": lambda v, x: v.intrinsic("minimum", *x),
    "sin": _number_rule("sin"),
    "cos": _number_rule("cos"),
    "pow": lambda v, x: v.intrinsic("pow", *x),
    "atan2": lambda v, x: v.intrinsic("atan2", *x),
    "mod": lambda v, x: whole_numbers.mod(v, *x),
    "floordiv": lambda v, x: whole_numbers.floordiv(v, *x),
}


def _sign(v: Lanes, x: str) -> str:
    one = v.intrinsic("copysign", v.number(1.0), x)
    return v.select(v.compare("une", x, v.number(0.0)), v.select(v.compare("uno", x, x), x, one, v.floats), x, v.floats)


def _softplus(v: Lanes, x: str) -> str:
    """log(1 + exp(x)) as max(x, 0) + log(1 + exp(-|x|)); for a tiny t, log(1 + t) is t * log(1 + t) / ((1 + t) - 1)."""
    t = math_functions.exp(v, v.to.let(f"fneg {v.floats} {v.intrinsic('fabs', x)}"))
    u = v.two("fadd", t, v.number(1.0))
    part = v.two("fsub", u, v.number(1.0))
    found = v.two("fdiv", v.two("fmul", math_functions.log(v, u), t), part)
    small = v.select(v.compare("oeq", part, v.number(0.0)), t, found, v.floats)
    return v.two("fadd", v.at_least(x, v.number(0.0)), small)


def known(op: str, types: tuple[str, ...], result: str) -> bool:
    """Whether there is a rule for an op over values of these types."""
    if op in COPIES or op in ("where", "cast"):
        return True
    if op == "uniform":
        return True
    if op in CHOOSING:
        return types[-1] == "int64"
    if op in ("and", "or", "not") or op in COMPARE:
        return True
    return (types[0].startswith("float") and op in FLOAT_RULES) or (types[0] == "int64" and op in whole_numbers.OF_INTS)


def apply(v: Lanes, operation: Operation, x: list[str]) -> str:
    """The result of one operation on vectors."""
    op = operation.op
    if op in LITERALS:
        return LITERALS[op]
    type = operation.types[0]
    if op in COPIES:
        return x[0]
    if op == "where":
        return v.select(x[0], x[1], x[2], v.type(operation.result))
    if op == "cast":
        return _cast(v, x[0], type, operation.result)
    if op == "not":
        return v.to.let(f"xor {v.type('bool')} {x[0]}, splat (i1 true)")
    if op in ("and", "or"):
        return v.to.let(f"{op} {v.type('bool')} {x[0]}, {x[1]}")
    if op in COMPARE:
        if type.startswith("float"):
            return v.compare(COMPARE[op], *x)
        how = COMPARE_INT[op] if type == "int64" else COMPARE_INT[op].replace("s", "u", 1)
        return v.to.let(f"icmp {how} {v.type(type)} {x[0]}, {x[1]}")
    if type == "int64":
        return whole_numbers.of_ints(v, op, x)
    return FLOAT_RULES[op](v, x)


def _cast(v: Lanes, x: str, source: str, target: str) -> str:
    if source == target:
        return x
    how = {
        ("bool", "float"): "uitofp", ("bool", "int64"): "zext", ("int64", "float"): "sitofp",
        ("float", "int64"): "fptosi",
    }.get((_plain(source), _plain(target)))  # fmt: skip
    if how is not None:
        return v.to.let(f"{how} {v.type(source)} {x} to {v.type(target)}")
    zero = "zeroinitializer"
    if source == "int64":
        return v.to.let(f"icmp ne {v.type(source)} {x}, {zero}")
    return v.compare("une", x, v.number(0.0))


def _plain(dtype: str) -> str:
    return "float" if dtype.startswith("float") else dtype
