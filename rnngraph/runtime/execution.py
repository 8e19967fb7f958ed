"""Runs a planned program: arrays are bound once per plan, then every call only calls kernels.

Straight-line code becomes a list of calls with their arrays. A repeat becomes one Python function, written from
the plan (never from the user's text): per step it takes the rows it needs and calls the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ctypes import addressof, c_char
from functools import cached_property, partial
from typing import Any, NamedTuple

from rnngraph.ir.types import Dtypes, Type
from rnngraph.planning.plan import ALIGN, Plan
from rnngraph.planning.program import Code, Parity, Program, Ref, Repeat, Ring, Step, Turn, gradients_made
from rnngraph.runtime.device import Device
from rnngraph.system import garbage

Index = tuple[Any, ...]
Watch = Callable[[Callable[..., Any], tuple[Step, ...]], Callable[..., Any]]
"""Given a call of a kernel and the steps that it does: what is to be called instead."""


Tell = Callable[[Mapping[str, Any]], None]
"""Is told gradients as soon as they are made."""


class Held(NamedTuple):
    """Where a call keeps a view of a weight: a list of arguments, or the names of a written function."""

    holder: Any
    key: int | str
    slot: int
    where: Index


def _call(kernel: Callable[..., Any], arrays: list[Any]) -> None:
    kernel(*arrays)


class Bound:
    """A program with arrays: views of its arenas, bound to one set of sizes."""

    def __init__(
        self, program: Program, plan: Plan, backend: Device, arenas: Mapping[str, Any] | None = None
    ) -> None:
        """`arenas` are of bytes, by name, where the program is to share those of others."""
        self.program, self.plan, self.backend = program, plan, backend
        self.dtypes = Dtypes(plan.dtype)
        self.own: dict[str, Any] = {}
        self.weights = [(n, s, self.dtypes.of(program.slots[s].type.dtype)) for n, s in program.weights.items()]
        self.arenas = arenas or {name: backend.empty(size) for name, size in plan.arenas.items() if size}
        self.starts = {name: -address(arena) % ALIGN for name, arena in self.arenas.items()}
        self.bases = [self.base(slot) for slot in range(len(program.slots))]
        self.fill()
        self.calls: list[list[Callable[[], Any]]] | None = None
        self.results: dict[str, Any] = {}
        self.held: list[Held] = []

    def fill(self) -> None:
        """Writes the constants; again where another program has used the arenas."""
        for node, slot in self.program.constants:
            kernel = node.op.kernel
            assert kernel is not None
            kernel(self.backend, node)(self.bases[slot], self.plan.sizes)

    def base(self, slot: int) -> Any:
        """The whole array of a slot, in its arena; None for a weight, which is bound when it is given, and for what
        nothing uses."""
        if self.program.categories[slot] == "parameters":
            return None
        shape = self.program.slots[slot].shape(self.plan.sizes)
        if not self.plan.slot_bytes[slot] and 0 not in shape:
            return None
        dtype = self.dtypes.of(self.program.slots[slot].type.dtype)
        size = self.plan.slot_bytes[slot]
        home = self.plan.homes[self.program.categories[slot]]
        if home not in self.arenas:
            return self.backend.xp.empty(shape, dtype)
        arena = self.arenas[home]
        start = self.starts[home] + (self.plan.offsets[slot] if size else 0)
        return arena[start : start + size].view(dtype).reshape(shape)

    # --- running ---

    def run(self, inputs: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
        """Results by name, as views that the next run writes over.

        `inputs` are NumPy arrays whose axes stand in the program's order; `weights` arrays of the backend.
        """
        self.given(inputs, weights)
        assert self.calls is not None
        for way in range(len(self.calls)):
            self.go(way)
        return self.results

    def run_telling(self, inputs: Mapping[str, Any], weights: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
        """The same; `tell` is told gradients as soon as they are made."""
        self.given(inputs, weights)
        for calls, names in self.told:
            for call in calls:
                call()
            if names:
                tell({name: self.results[name] for name in names})
        return self.results

    def given(self, inputs: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
        self.bind(weights)
        for name, slot in self.program.inputs.items():
            self.backend.give(inputs[name], self.bases[slot])

    @cached_property
    def told(self) -> list[tuple[list[Callable[[], Any]], tuple[str, ...]]]:
        """The calls of each piece at whose end gradients are there, and which."""
        code, start, found = self.program.code, 0, []
        with garbage.set_aside():
            for stop, names in [*gradients_made(self.program), (len(code), ())]:
                found.append((self.made_calls(code[start:stop]), names))
                start = stop
        return found

    def run_there(self, inputs: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
        """The first way of two: its results; the others' views hold nothing yet."""
        self.bind(weights)
        for name, slot in self.program.inputs.items():
            if name in inputs:
                self.backend.give(inputs[name], self.bases[slot])
        self.go(0)
        return self.results

    def run_back(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The second way, for the inputs that were not there for the first; None stands for zeros."""
        for name, slot in self.program.inputs.items():
            if name in inputs and inputs[name] is None:
                self.bases[slot].fill(0)
            elif name in inputs:
                self.backend.give(inputs[name], self.bases[slot])
        self.go(1)
        return self.results

    def go(self, way: int) -> None:
        """Runs one of the pieces of the program that are run apart."""
        assert self.calls is not None
        for call in self.calls[way]:
            call()

    def bind(self, weights: Mapping[str, Any]) -> None:
        """Makes the calls over these weight arrays; of arrays that are other ones than before, only what reads them.

        An array of another type or order is copied, at each run, to one of the program's own.
        """
        changed = set()
        for name, slot, dtype in self.weights:
            array = weights[name]
            if array is self.bases[slot]:
                continue
            if not self.backend.fits(array, dtype):
                array = self.copied(name, array, dtype)
            if not _same(self.bases[slot], array):
                self.bases[slot] = array
                changed.add(slot)
        if self.calls is None:
            with garbage.set_aside():
                self.calls = [self.made_calls(code) for code in self.program.ways]
            self.results = self.outputs()
        elif changed:
            self.rebind(changed)

    def copied(self, name: str, given: Any, dtype: str) -> Any:
        if name not in self.own:
            self.own[name] = self.backend.xp.empty(given.shape, dtype)
        self.backend.give(given, self.own[name])
        return self.own[name]

    def rebind(self, changed: set[int]) -> None:
        """Puts other arrays in the place of these weights, without making any call anew."""
        for held in self.held:
            if held.slot in changed:
                held.holder[held.key] = viewed(self.bases[held.slot], held.where)
        self.results = self.outputs()

    def outputs(self) -> dict[str, Any]:
        return {name: viewed(self.bases[ref.slot], self.index(ref)) for name, ref in self.program.outputs.items()}

    def made_calls(self, code: Sequence[Code]) -> list[Callable[[], Any]]:
        return [self.call(item) for item in code]

    def call(self, item: Code) -> Callable[[], Any]:
        if isinstance(item, Repeat):
            return Writer(self).function(item)
        assert isinstance(item, Step)
        kernel, refs = self.parts(item)
        arrays = [viewed(self.bases[ref.slot], index) for ref, index in refs]
        held = [Held(arrays, i, ref.slot, index) for i, (ref, index) in enumerate(refs) if self.is_weight(ref.slot)]
        self.held += held
        return partial(_call, kernel, arrays) if held else partial(kernel, *arrays)

    def is_weight(self, slot: int) -> bool:
        return self.program.categories[slot] == "parameters"

    def parts(self, step: Step) -> tuple[Callable[..., Any], list[tuple[Ref, Index]]]:
        """The kernel, and its arguments in order, each as a slot and an index with the axes it lacks put in."""
        node = step.node
        assert node.op.kernel is not None
        kernel = node.op.kernel(self.backend, node)
        if node.op.kind == "pointwise":
            target = node.types[0]
            ins = [(ref, self.aligned(ref, v.type.axes, target)) for ref, v in zip(step.ins, node.inputs, strict=True)]
        else:
            ins = [(ref, self.index(ref)) for ref in step.ins]
        rest = [(ref, self.index(ref)) for ref in (*step.outs, *step.scratch)]
        return kernel, ins + rest

    def index(self, ref: Ref) -> Index:
        """The index of a view; places of running loops stay as they are."""
        return tuple([self.plan.sizes[e.axis] % 2 if isinstance(e, Parity) else e for e in ref.index])

    def aligned(self, ref: Ref, axes: tuple[str, ...], target: Type) -> Index:
        """The index of an operand with new axes put in where the result has axes or dimensions that it lacks."""
        index, lead = self.index(ref), target.axes
        missing = len(target.shape) + len(axes) - len([e for e in index if isinstance(e, slice)])
        if not axes or (axes == lead[len(lead) - len(axes) :] and not missing):
            return index
        result: list[Any] = []
        entries = list(index)
        for axis in lead:
            if axis not in axes:
                result.append(None)
                continue
            while not isinstance(entries[0], slice):
                result.append(entries.pop(0))
            result.append(entries.pop(0))
        return (*result, *[None] * missing, *entries)


class WatchedBound(Bound):
    """Runs step by step, with something around each kernel."""

    def __init__(
        self, program: Program, plan: Plan, backend: Device, watch: Watch, arenas: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(program, plan, backend, arenas)
        self.watch = watch

    def parts(self, step: Step) -> tuple[Callable[..., Any], list[tuple[Ref, Index]]]:
        kernel, arguments = super().parts(step)
        return self.watch(kernel, (step,)), arguments


def viewed(array: Any, index: Index) -> Any:
    """The view as an array, also where it has no dimensions left."""
    return array[(*index, ...)] if None not in index else array[index]


def address(array: Any) -> int:
    """The first byte of an array, in the memory that it is in. Of most of NumPy's a buffer of ctypes tells it sooner
    than their own words for it."""
    data = array.data
    if isinstance(data, memoryview) and data.nbytes and data.c_contiguous and not data.readonly:
        return addressof(c_char.from_buffer(data))
    ptr = getattr(data, "ptr", None)
    return int(ptr if ptr is not None else array.ctypes.data)


def _same(held: Any, array: Any) -> bool:
    """Whether an array is the memory that is held: as long as it is held, nothing else can lie there."""
    return held is not None and address(held) == address(array)


class Writer:
    """Writes the function of one repeat."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self.names: dict[str, Any] = {}
        self.lines: list[str] = []
        self.known: dict[Any, str] = {}
        self.weights: list[tuple[str, int, Index]] = []

    def function(self, repeat: Repeat) -> Callable[[], Any]:
        self.repeat(repeat, 1)
        text = "def turns():\n" + "\n".join(self.lines) + "\n    return None\n"
        scope = dict(self.names)
        self.bound.held += [Held(scope, *held) for held in self.weights]
        exec(compile(text, "<repeat>", "exec"), scope)
        function: Callable[[], Any] = scope["turns"]
        return function

    def name(self, prefix: str, value: Any) -> str:
        name = f"{prefix}{len(self.names)}"
        self.names[name] = value
        return name

    def line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def repeat(self, repeat: Repeat, depth: int) -> None:
        """`turn` copies of the body per turn, then single steps for what is left over."""
        size, k = self.bound.plan.sizes[repeat.axis], max(1, repeat.turn)
        full = size // k * k
        done = f"d{repeat.loop}"
        if repeat.looks:
            self.line(depth, f"{done} = {repeat.since is not None}")
        for first, last, width in ((0, full, k), (full, size, 1)):
            if first == last:
                continue
            self.line(depth, f"for n{repeat.loop} in range({first}, {last}, {width}):")
            for j in range(width):
                if j:
                    self.line(depth + 1, f"n{repeat.loop} += 1")
                self.turn(repeat, size, depth + 1)

    def turn(self, repeat: Repeat, size: int, depth: int) -> None:
        """One step. Before a loop begins, and once it is done, a step only hands on its states."""
        t, n, done = f"t{repeat.loop}", f"n{repeat.loop}", f"d{repeat.loop}"
        self.line(depth, f"{t} = {size - 1} - {n}" if repeat.reverse else f"{t} = {n}")
        self.placed(repeat, depth)
        if not repeat.looks:
            self.body(repeat.body, depth)
            return
        if repeat.since is not None:
            self.line(depth, f"if {done}:")
            self.look(done, repeat.since, depth + 1)
        self.line(depth, f"if {done}:")
        self.line(depth + 1, "pass")
        self.body(repeat.rest, depth + 1)
        self.line(depth, "else:")
        self.body(repeat.body, depth + 1)
        if repeat.until is not None:
            self.look(done, repeat.until, depth + 1)

    def look(self, done: str, at: Ref, depth: int) -> None:
        """Notes whether there is nothing to do for any row."""
        shown = self.argument(at, self.bound.index(at), depth, {})
        self.line(depth, f"{done} = bool({shown}.all())")

    def placed(self, repeat: Repeat, depth: int) -> None:
        """What else must know the place of a step."""

    def body(self, code: Sequence[Code], depth: int) -> None:
        rows: dict[tuple[str, str], str] = {}
        for item in code:
            if isinstance(item, Repeat):
                self.repeat(item, depth)
            elif isinstance(item, Step):
                self.step(item, depth, rows)

    def step(self, step: Step, depth: int, rows: dict[tuple[str, str], str]) -> None:
        kernel, arguments = self.bound.parts(step)
        key = id(step)
        if key not in self.known:
            self.known[key] = self.name("f", kernel)
        texts = [self.argument(ref, index, depth, rows) for ref, index in arguments]
        self.line(depth, f"{self.known[key]}({', '.join(texts)})")

    def argument(self, ref: Ref, index: Index, depth: int, rows: dict[tuple[str, str], str]) -> str:
        """A fixed view by its name; a row by its place, taken once per step."""
        moving = [(i, e) for i, e in enumerate(index) if isinstance(e, Turn | Ring)]
        base = self.bound.bases[ref.slot]
        fixed = tuple(slice(None) if isinstance(e, Turn | Ring) else e for e in index)
        key = (ref.slot, str(fixed))
        if key not in self.known:
            self.known[key] = self.name("a", viewed(base, fixed))
            if self.bound.is_weight(ref.slot):
                self.weights.append((self.known[key], ref.slot, fixed))
        name = self.known[key]
        if not moving:
            return name
        gone = [sum(isinstance(e, int) for e in fixed[:i]) for i, _ in moving]
        where: list[str] = []
        for (i, e), shift in zip(moving, gone, strict=True):
            where += [":"] * (i - shift - len(where)) + [_place(e)]
        if len(moving) == self.names[name].ndim:
            where.append("...")  # an array of no dimensions, not a number
        text = f"{name}[{', '.join(where)}]"
        found = rows.get((name, text))
        if found is None:
            found = rows[name, text] = f"r{len(self.lines)}_{len(rows)}"
            self.line(depth, f"{found} = {text}")
        return found


def _place(entry: Turn | Ring) -> str:
    if isinstance(entry, Ring):
        return f"(n{entry.loop} + {entry.offset}) % 2"
    return f"t{entry.loop} + {entry.offset}" if entry.offset else f"t{entry.loop}"
