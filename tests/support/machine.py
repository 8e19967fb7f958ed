"""A standing machine against silence: everything that must agree about one random program, by its seed.

`python -m tests.support.machine 0 1000` looks for an hour or so, `... 0 1000 linear` at loops that are linear in their
states, in chunks on the emulator too; CI looks at a few (`tests/compilation/test_random_programs.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest.mock import patch

import numpy as np

import rnngraph as rg
from rnngraph.analysis.equality import differences, everything
from rnngraph.analysis.synthetic_data import synthetic
from rnngraph.compilation.schedule_checks import checked_schedule
from rnngraph.compilation.variant import Signature
from rnngraph.data.lengths import lengths_of
from rnngraph.diagnostics.errors import CannotDo, UserError
from rnngraph.exchange.export.request import Wanted
from rnngraph.generation.streaming import per_step
from rnngraph.ir.types import BATCH
from rnngraph.ir.verify import verify
from rnngraph.model import Model
from tests.compilation.test_pieces import in_pieces, unequal
from tests.exchange.test_export_walk import in_numpy, in_onnx
from tests.support import programs, stand_in
from tests.support.cuda import emulator
from tests.support.in_chunks import WALKED, InChunks
from tests.support.seeds import main

Arrays = dict[str, Any]
WAYS: tuple[tuple[str | int, Mapping[str, str]], ...] = (
    ("dynamic", {}),
    ("static", {}),
    (2, {}),
    ("dynamic", {"keep": "every:2"}),
    ("dynamic", {"keep": "revolve:2"}),
)
WHOLE = ("source", "row", "column")
"""The axes of what is given whole with each piece of `x`."""
NO_SCHEDULE, NOT_IN_PIECES, NOT_EXPORTED = {"E614"}, {"E640", "E641", "E642", "E524"}, {"E680", "E681"}


class Program:
    """A random program with data: some steps, some rows, with lengths or without."""

    def __init__(self, seed: int, write: Callable[[int], str] = programs.program) -> None:
        self.seed, self.rng, self.text = seed, np.random.default_rng(seed), write(seed)
        self.model: Model = rg.parse(self.text)
        self.padded = bool(self.rng.integers(2))
        self.steps, self.rows = int(self.rng.integers(0, 6)), int(self.rng.integers(1, 4))
        self.data: Arrays = synthetic(self.model, self.steps, self.rows, seed, self.padded)
        self.weights: Arrays = self.model.init(seed)

    def findings(self) -> Iterator[str]:
        """All that is wrong."""
        for look in self.looks():
            yield from (f"{look.__name__}: {found}" for found in look())

    def looks(self) -> tuple[Callable[[], Iterator[str]], ...]:
        return self.laws, self.ways, self.slopes, self.alone, self.pieces, self.exports

    def laws(self) -> Iterator[str]:
        """Every stage of compilation obeys its laws."""
        for padded in (False, True):
            for unroll in ("dynamic", "static"):
                signature = Signature(padded, cotangents=("loss",))
                for name, graph in self.model.stages(checked_schedule(unroll, 3, "float64", True), signature):
                    verify(graph, "static" if (name, unroll) == ("unroll", "static") else "")
        yield from ()

    def ways(self) -> Iterator[str]:
        """Modes and schedules give the same bits, kernels the same numbers, and all are finite."""
        first: dict[str, Arrays] = {}
        for kernels in ("numpy", "native"):
            for unroll, how in WAYS:
                found = self.everything(unroll, kernels, how)
                if found is not None:
                    base = first.setdefault(kernels, found)
                    yield from (f"{kernels} {unroll} {how}: {d}" for d in differences(base, found) if not d.equal)
        numpy, native = first["numpy"], first["native"]
        yield from (f"{name} is not finite" for name, array in numpy.items() if not np.isfinite(array).all())
        for d in differences(numpy, native):
            if not d.max_abs <= 1e-9 * (1 + np.abs(numpy[d.name]).max(initial=0)):
                yield f"native kernels: {d}"

    def everything(self, unroll: str | int, kernels: str, how: Mapping[str, Any]) -> Arrays | None:
        steps = self.steps if unroll == "static" else None
        try:
            made = self.model.compile(unroll, steps, gradient=True, kernels=kernels or None, **how)
            return everything(made, self.data, self.weights, None)
        except UserError as error:
            if codes(error) <= NO_SCHEDULE:
                return None
            raise

    def slopes(self) -> Iterator[str]:
        """The gradient along a random direction is that of differences; a kink or a jump spoils some of their sizes."""
        made = self.model.compile(gradient=True)
        loss, found = made.gradients(self.data, self.weights)
        way = {name: self.rng.normal(size=w.shape) for name, w in self.weights.items()}
        slope = sum(float(np.sum(found[name] * way[name])) for name in way)

        def at(step: float) -> float:
            return made.gradients(self.data, {n: w + step * way[n] for n, w in self.weights.items()})[0]

        off = [abs((at(h) - at(-h)) / (2 * h) - slope) for h in (1e-4, 1e-5, 1e-6, 3e-7, 1e-7)]
        jumps = off[-1] > 5 * off[0]
        if not min(off) <= 1e-4 * max(1.0, abs(slope), abs(loss)) and not jumps:
            yield f"slope {slope}, off by {off}"

    def alone(self) -> Iterator[str]:
        """A row is what it is alone."""
        made = self.model.compile()
        together = made.run(self.data, self.weights)
        sequences = [i for i in self.model.inputs if i.axes]
        for row in range(self.rows if self.padded else 0):
            lengths = {a: int(n[row]) for a, n in lengths_of(sequences, self.data).items()}
            own = {i.name: (slice(row, row + 1), *(slice(lengths[axis]) for axis in i.axes)) for i in sequences}
            data = {name: self.data[name][steps] for name, steps in own.items()}
            for name, own in made.run(data, self.weights).items():
                if BATCH in self.axes_of(name):
                    among = together[name][(row, *map(slice, own.shape[1:]))]
                    if not np.allclose(among, own[0], rtol=1e-9, atol=1e-12):
                        yield f"row {row} of lengths {lengths} has another `{name}`"

    def axes_of(self, name: str) -> tuple[str, ...]:
        return self.model.graph.outputs[name].type.axes

    def pieces(self) -> Iterator[str]:
        """A run in two pieces has the bits of one, or is refused."""
        if self.steps < 2 or not per_step(self.model):
            return
        cut = int(self.rng.integers(1, self.steps))
        for kernels in ("numpy", "native"):
            whole = self.model.compile(states=True, kernels=kernels).run(self.data, self.weights)
            try:
                outputs, states = in_pieces(
                    self.model, self.data, self.weights, (0, cut, self.steps), WHOLE, kernels=kernels
                )
            except UserError as error:
                if codes(error) <= NOT_IN_PIECES:
                    return
                raise
            cut_up = {name: array for name, array in outputs.items() if "time" in self.axes_of(name)}
            yield from (f"{kernels} at {cut}: {name}" for name in unequal({**cut_up, **states}, whole))

    def exports(self) -> Iterator[str]:
        """Both exports give the same numbers, in both modes."""
        want = self.model.compile(kernels="numpy").run(self.data, self.weights)
        for unroll in ("dynamic", "static"):
            steps = self.steps if unroll == "static" else None
            wanted = Wanted(unroll, steps, self.padded, False, True, "float64")
            for export in (in_numpy, in_onnx):
                if export is in_onnx and unroll == "dynamic" and not self.steps:
                    continue  # onnxruntime's Scan refuses to run no steps
                try:
                    found = export(self.model, wanted, self.data, self.weights)
                except CannotDo as error:
                    if codes(error) <= NOT_EXPORTED:
                        continue
                    raise
                for name, array in found.items():
                    scale = 1 + np.abs(want[name]).max(initial=0)
                    off = np.subtract(array, want[name], dtype="float64") if array.shape == want[name].shape else np.inf
                    if not np.abs(off).max(initial=0) < 1e-8 * scale:
                        yield f"{export.__name__} {unroll}: {name}"


class LinearProgram(Program):
    """A program whose loops a GPU does in chunks of steps at once."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, programs.linear)

    def looks(self) -> tuple[Callable[[], Iterator[str]], ...]:
        return (*super().looks(), *[self.chunks] * emulator.AVAILABLE)

    def chunks(self) -> Iterator[str]:
        """In chunks a loop has the bits of the walk, which has the CPU's numbers."""
        steps, rows, chunk = int(self.rng.integers(64, 100)), int(self.rng.integers(1, 4)), int(self.rng.integers(1, 3))
        data = synthetic(self.model, steps, rows, self.seed, self.padded)
        with patch.dict(sys.modules, cupy=stand_in.cupy(MultiProcessorCount=2)):
            made = (self.model.compile(backend=InChunks(n), gradient=True) for n in (WALKED, chunk))
            walked, found = (everything(one, data, self.weights, None) for one in made)
        right = everything(self.model.compile(gradient=True), data, self.weights, None)
        yield from (f"in chunks: {d}" for d in differences(walked, found) if not d.equal)
        for d in differences(right, walked):
            if not d.max_abs <= 1e-9 * (1 + np.abs(right[d.name]).max(initial=0)):
                yield f"walked: {d}"


def codes(error: UserError) -> set[str]:
    return {d.code for d in error.diagnostics}


def findings(seed: int, kind: str = "any") -> list[str]:
    """All that is wrong with the program of this seed."""
    with np.errstate(all="ignore"):
        return list({"any": Program, "linear": LinearProgram}[kind](seed).findings())


if __name__ == "__main__":
    sys.exit(main("programs", findings))
