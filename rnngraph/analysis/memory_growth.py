"""How the bytes of a run grow: formulas in steps T, rows B and units U, from plans alone, by the schedule asked for.

A schedule does not do the same at every length: `every:100` makes one piece of 50 steps, and ten of 1,000. So the
lengths that a formula is fitted to are such at which it does what it does at the length asked for. What a limit of
memory leads to is found for that length, and is taken as it is: pieces as long, as many states.

Where each axis of the data has a number of steps of its own, T is that of the first one; the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from fractions import Fraction
from math import isqrt
from weakref import WeakKeyDictionary

from msgspec.structs import replace

from rnngraph.analysis.memory_formulas import Formula, Sizes, formulas
from rnngraph.checkpointing.options import telling, within
from rnngraph.checkpointing.plan import Walking
from rnngraph.compilation.variant import Signature, Variant
from rnngraph.compiled import CompiledProgram
from rnngraph.diagnostics.errors import UserError
from rnngraph.language.elaboration.resize import UNITS, resized, width
from rnngraph.model import Model
from rnngraph.planning.plan import Plan

Compiled = Callable[[Model, int | Mapping[str, int]], CompiledProgram]
"""Compiles a model, for so many steps where it is static."""


NEAR = Fraction(1, 20)
"""A formula is near where it is off by no more of the bytes."""


class Growth:
    """The plan for one size, and how it grows. `compiled` makes every program alike, if not that of the size itself."""

    def __init__(
        self,
        model: Model,
        compiled: Compiled,
        steps: int | Mapping[str, int],
        rows: int,
        padded: bool = False,
        program: CompiledProgram | None = None,
    ) -> None:
        self.model, self.compiled, self.padded = model, compiled, padded
        self.units = units_of(model)
        by_axis = {} if isinstance(steps, int) else model.steps_by_axis(steps)
        self.axis = next((axis for i in model.inputs for axis in i.axes if axis in by_axis), "")
        """The one of which T is the steps; "" where it is those of all."""
        self.others = {axis: n for axis, n in by_axis.items() if axis != self.axis}
        self.asked: Sizes = (steps if isinstance(steps, int) else by_axis.get(self.axis, 0), rows, self.units or 0)
        self._variants: dict[tuple[int | None, int], Variant] = {}
        self.program = program or compiled(model, steps)
        self.variant = self._variant(self.asked)
        self.made = self.variant.plan(self.sizes(self.asked))
        self._known: dict[Sizes, Mapping[str, int]] = {self.asked: self.made.bytes}

    def steps(self, steps: int) -> int | dict[str, int]:
        """So many steps, along each axis."""
        return {self.axis: steps, **self.others} if self.axis else steps

    def sizes(self, sizes: Sizes) -> dict[str, int]:
        return self.model.sizes(self.steps(sizes[0]), sizes[1])

    # --- how it grows ---

    def laws(self) -> dict[str, Formula]:
        """For each category its bytes in steps T, rows B and units U, checked at these sizes and at others.

        Without U where the model has no one number of units, without B too where bytes grow unevenly with them (pieces
        are longer for fewer rows); where nothing gives the right bytes, the formula that comes nearest.
        """
        steps, rows, units = self.asked
        ways: list[tuple[Sizes, tuple[int, ...], tuple[int, ...]]] = [
            ((steps, 192, 256), (64, 128), (64, 128, 192)),
            ((steps, 96, units), (32, 64), (units,)),
            ((steps, rows, units), (rows,), (units,)),
        ]
        fits = list[Mapping[str, Formula]]()
        for way in ways if self.units is not None else ways[1:]:
            with suppress(UserError):  # sizes that a static program, or the model, does not take
                fits.append(self._fit(*way))
            if fits and all(law.exact for law in fits[-1].values()):
                break
        return {category: self._nearest(category, fits) for category in self.made.bytes}

    def in_steps(self) -> dict[str, Formula]:
        """For each category its bytes in steps T alone, checked at another number of them."""
        _, rows, units = self.asked
        return self._fit(self.asked, (rows,), (units,))

    def _fit(self, sizes: Sizes, rows: tuple[int, ...], units: tuple[int, ...]) -> dict[str, Formula]:
        """The formulas of plans for such rows and units; tried at the sizes asked for, and at some beyond them."""
        steps, root = self._lengths(sizes[0], rows[0])
        beyond = 4 * steps[1] if root else steps[0] + steps[-1]
        return formulas(self, steps, rows, units, (self.asked, (beyond, *sizes[1:])), root)

    def _lengths(self, steps: int, rows: int) -> tuple[tuple[int, ...], bool]:
        """The numbers of steps to look at, and whether they are squares. Where other axes stay as they are, they are
        near to those asked for (below them in a static program, which takes long to compile): which arrays are the
        largest depends on those axes too."""
        found, root = self._telling(steps, rows)
        times = max(1, steps // found[-1 if self.program.schedule.static else 0]) if self.axis else 1
        return tuple(n * (isqrt(times) ** 2 if root else times) for n in found), root

    def _telling(self, steps: int, rows: int) -> tuple[tuple[int, ...], bool]:
        if isinstance(self.made, Plan):
            return within(64), False
        schedule, course = self.variant.schedule, self.made.course
        if schedule.told:
            return telling(schedule.keep, schedule.truncate, schedule.swap, steps, rows)
        whole = course.chunk * course.chunks
        return ((whole, 2 * whole, 3 * whole) if course.chunks > 1 else within(course.chunk)), False

    def _nearest(self, category: str, fits: Iterable[Mapping[str, Formula]]) -> Formula:
        """The first that is exact; of others the shortest that is near."""
        right = self.made.bytes[category]
        alone = Formula((((0, 0, 0), Fraction(right)),), False)

        def rank(law: Formula) -> tuple[bool, bool, Fraction | int]:
            apart = abs(law.at(self.asked) - right)
            near = apart <= NEAR * right
            return not law.exact, not near, 0 if law.exact else len(law.terms) if near else apart

        return min((fit[category] for fit in fits), key=rank, default=alone)

    # --- plans at other sizes ---

    def __call__(self, sizes: Sizes) -> Mapping[str, int]:
        """The planned bytes at any steps, rows and units."""
        if sizes not in self._known:
            self._known[sizes] = self._planned(sizes).bytes
        return self._known[sizes]

    def _planned(self, sizes: Sizes) -> Plan | Walking:
        variant, data = self._variant(sizes), self.sizes(sizes)
        if isinstance(self.made, Plan):
            return variant.everything(data)
        return variant.walking(data) if variant.schedule.told else variant.walked(self.made.course, data)

    def _variant(self, sizes: Sizes) -> Variant:
        """The program for such sizes. Of a static one only the number of steps is another; it is compiled when it is
        planned."""
        steps, _, units = sizes
        key = (steps if self.program.schedule.static else None, units)
        if key not in self._variants:
            first = self._of_units(units)
            static = first.schedule.static and sizes != self.asked
            schedule = replace(first.schedule, steps=self.steps(steps)) if static else first.schedule
            self._variants[key] = replace(first, schedule=schedule, _bound={}) if static else first
        return self._variants[key]

    def _of_units(self, units: int) -> Variant:
        model = self._sized(units)
        program = self.program if units == self.asked[2] else self.compiled(model, 1)
        wanted = model.differentiated if program.schedule.gradient else None
        return program.variant(Signature(self.padded, cotangents=wanted))

    def _sized(self, units: int) -> Model:
        if units == (self.units or 0):
            return self.model
        known = _SIZED.setdefault(self.model, {})
        if units not in known:
            known[units] = _of_units(self.model, units)
        return known[units]


_SIZED: WeakKeyDictionary[Model, dict[int, Model]] = WeakKeyDictionary()
"""Models of other units, elaborated once whatever the ways that they are run."""


def _of_units(model: Model, units: int) -> Model:
    if UNITS in model.made.settings:
        return Model(model.file, {**model.settings, UNITS: units}, model.name)
    return Model(resized(model.file, model.block.definition, units), model.settings, model.name)


def units_of(model: Model) -> int | None:
    """The setting called `units`, or the number that is written as the units of every cell."""
    known = model.made.settings.get(UNITS)
    return known if isinstance(known, int) else width(model.file, model.block.definition)
