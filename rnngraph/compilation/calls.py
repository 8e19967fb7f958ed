"""A call of a compiled program: data in, results out, and what is kept from one call for the next.

The first call with data of one form (names, shapes, types) checks everything. Calls with more data of that form only
look at the contents, so that a call takes a few microseconds beside its arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from msgspec import Struct, field

from rnngraph.data.lengths import LENGTHS
from rnngraph.data.shape_checks import target
from rnngraph.data.value_checks import within
from rnngraph.files.arrays import on_device
from rnngraph.files.safetensors import Arrays
from rnngraph.ir.order import Order, batch_first
from rnngraph.ir.types import Type
from rnngraph.language.elaboration.elaborated import DataInput, StateInput
from rnngraph.runtime.buffer_pool import Begun, Spares
from rnngraph.runtime.device import Device
from rnngraph.runtime.execution import Bound, Tell

Form = tuple[tuple[str, tuple[int, ...], Any], ...]
Holds = tuple[tuple[str, Callable[[Any], bool]], ...]

GRADIENT, COTANGENT = "grad:", "cot:"
"""How the names of those results begin that are gradients, and of those inputs that are cotangents."""


Rows = tuple[tuple[str, str, list[int]], ...]
"""Of each result the name it is known by, its own, and the program's axes in the user's order."""


class Runs(Protocol):
    """What has arrays and can be run."""

    @property
    def backend(self) -> Device:
        """Who owns the arrays."""

    def run(self, inputs: Mapping[str, Any], weights: Mapping[str, Any]) -> Arrays:
        """Results by name, as views that the next run writes over."""


class Call(Struct, frozen=True, eq=False):
    """A program bound to arrays, and how its results are handed out."""

    bound: Runs | Spares
    needed: frozenset[str]
    """The weights that it must be given."""
    shown: Rows
    gradients: Rows
    cotangents: Mapping[str, list[int]] = field(default_factory=dict)
    """Where they come later: of each output that takes one the user's axes in the program's order."""

    @np.errstate(all="ignore")  # what is not finite is told by name, see `finite`
    def run(self, inputs: Mapping[str, Any], weights: Mapping[str, Any], ready: Tell | None = None) -> Arrays:
        """Results by their own names, as views that the next run writes over; axes stand in the program's order.

        `ready` may be told gradients before the end, as `lent` gives them.
        """
        assert not isinstance(self.bound, Spares)
        if ready is None or not isinstance(self.bound, Bound):  # pieces that are run again have no early ends
            return self.bound.run(inputs, weights)
        return self.bound.run_telling(inputs, weights, partial(self._told, ready))

    def _told(self, ready: Tell, made: Arrays) -> None:
        ready(self.lent(made, tuple(row for row in self.gradients if row[1] in made)))

    @np.errstate(all="ignore")
    def begun(self, inputs: Mapping[str, Any], weights: Mapping[str, Any]) -> Begun:
        """The forward pass alone."""
        assert isinstance(self.bound, Spares)
        return self.bound.begun(inputs, weights)

    def fresh(self, results: Arrays, wanted: Rows, device: bool = False) -> Arrays:
        """New batch-major arrays of these results, by the names that they are known by; on the host, or where they
        were computed."""
        return {known_as: array.copy() for known_as, array in self.lent(results, wanted, device).items()}

    def lent(self, results: Arrays, wanted: Rows, device: bool = False) -> Arrays:
        """These results as they are, batch-major, by the names that they are known by."""
        fetch = _as_it_is if device else self.bound.backend.fetch
        return {known_as: fetch(results[name]).transpose(axes) for known_as, name, axes in wanted}

    def weighted(self, results: Arrays, cotangents: Mapping[str, Any]) -> float:
        """The sum of all outputs times their cotangents."""
        found = self.fresh(results, tuple(row for row in self.shown if row[1] in cotangents))
        fetch = self.bound.backend.fetch
        return float(sum(np.add.reduce(found[n] * np.asarray(fetch(c)), axis=None) for n, c in cotangents.items()))


def _as_it_is(array: Any) -> Any:
    return array


def call_of(
    bound: Runs | Spares,
    needed: frozenset[str],
    outputs: Mapping[str, Type],
    orders: Mapping[str, Order],
    later: Collection[str] = (),
) -> Call:
    """The call of a bound program whose results have these types, and their axes outside this order.

    `later` names the outputs whose cotangents come after the forward pass.
    """
    rows = [(name, to_user(type, orders.get(name))) for name, type in outputs.items()]
    gradients = tuple((n.removeprefix(GRADIENT), n, axes) for n, axes in rows if n.startswith(GRADIENT))
    shown = tuple((known_as(n, outputs), n, axes) for n, axes in rows if not n.startswith(GRADIENT))
    cotangents = {name: to_program(outputs[name], orders.get(name)) for name in later}
    return Call(bound, needed, shown, gradients, cotangents)


def known_as(name: str, outputs: Container[str]) -> str:
    """What the user calls a result: its name without its kind in front.

    An output of the same name keeps it; the other goes by its full name.
    """
    plain = name.removeprefix("metric.").removeprefix("watch.")
    return name if plain in outputs else plain


def to_user(type: Type, order: Order | None = None) -> list[int]:
    """The batch first, then times (in this order), then what the user wrote: as positions in the program's order."""
    axes = [type.axes.index(axis) for axis in order or batch_first(type.axes)]
    return [*axes, *range(len(axes), type.rank)]


def to_program(type: Type, order: Order | None = None) -> list[int]:
    """The program's order as positions in the user's."""
    return [int(i) for i in np.argsort(to_user(type, order))]


# --- data of a form that was met before --------------------------------------------------------------------------


class Known(Struct, frozen=True, eq=False):
    """The call for data of one form: their inputs with the user's axes in the program's order, the other inputs as
    they are, and what must hold of the contents."""

    call: Call
    data: tuple[tuple[str, list[int]], ...]
    cotangents: tuple[tuple[str, list[int]], ...]
    beside: Arrays
    holds: Holds

    def takes(self, data: Mapping[str, Any]) -> bool:
        """Whether there are no problems; where there are, the full check finds the words."""
        return all(holds(data[name]) for name, holds in self.holds)

    def inputs(self, data: Mapping[str, Any], cotangents: Mapping[str, Any]) -> Arrays:
        found = self.beside.copy()
        for name, axes in self.data:
            found[name] = data[name].transpose(axes)
        for name, axes in self.cotangents:
            found[COTANGENT + name] = cotangents[name].transpose(axes)
        return found


def known(
    call: Call, turned: Mapping[str, list[int]], inputs: Arrays, given: Mapping[str, Any], holds: Holds
) -> Known:
    """What to keep of a call: `inputs` in the program's order, of which `given` came from the user.

    `turned` is that order of each input's axes, as positions in the user's.
    """
    data = tuple((name, turned[name]) for name in inputs if name in given)
    cotangents = tuple((n.removeprefix(COTANGENT), turned[n]) for n in inputs if n.startswith(COTANGENT))
    beside = {n: a for n, a in inputs.items() if n not in given and not n.startswith(COTANGENT)}
    return Known(call, data, cotangents, beside, holds)


def form(data: Mapping[str, Any]) -> Form | None:
    """Name, shape and type of every array; None where something is not an array yet."""
    if not all(map(is_plain, data.values())):
        return None
    return tuple([(name, array.shape, array.dtype) for name, array in data.items()])


def is_plain(array: Any) -> bool:
    """Whether it is an array of NumPy's own kind, or of a device: those that are derived from it, as masked ones are,
    hold more than their numbers, and others only look like one."""
    return type(array) is np.ndarray or on_device(array)


def contents(
    items: Sequence[DataInput | StateInput], data: Mapping[str, Any], limits: Mapping[str, int], dtype: str
) -> Holds | None:
    """What must hold of the contents of such data; None where that is not all that there is to check.

    Lengths of rows, and arrays that have to be converted, are looked at in full at every call.
    """
    found: list[tuple[str, Callable[[Any], bool]]] = []
    for item in items:
        if item.name + LENGTHS in data or data[item.name].dtype != target(item.type.dtype, dtype):
            return None
        if item.type.dtype == "float":
            found.append((item.name, _finite))
        elif isinstance(item, StateInput) and item.begins:
            if item.stride > 1 or not np.all(data[item.name]):
                return None  # what goes on in the middle of a sequence has been seen to be able to
            found.append((item.name, _positive))
        elif item.name in limits:
            found.append((item.name, partial(within, limits[item.name])))
    return tuple(found)


def _finite(array: Any) -> bool:
    return b"\0" not in np.isfinite(array).tobytes()  # of a small array sooner than `all`


def _positive(array: Any) -> bool:
    return bool(array.size == 0 or array.min() > 0)
