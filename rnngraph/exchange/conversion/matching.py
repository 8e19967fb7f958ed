"""Which layer of a file is which layer of a model: by name where names mean something, else by sizes and order.

A layer fits only where it is of the same kind and size and has the same options, as far as the file says them. Where
several differently named ones fit, nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np
from msgspec import Struct

from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.conversion.layers import Place, Plain
from rnngraph.exchange.conversion.layout import Layout, Unsayable, read_plain, write_plain
from rnngraph.exchange.conversion.naming import NAMINGS, Groups, Module
from rnngraph.exchange.conversion.options import Options, Theirs, differences, theirs
from rnngraph.exchange.formats.contents import RECURRENT, Key
from rnngraph.files.safetensors import Arrays
from rnngraph.weights.checks import shape_text

Shapes = Mapping[str, tuple[int, ...]]
MOST_TOLD = 6
"""How many layers of a file a message lists."""
SIZES, OTHERS, UNSAYABLE = "its sizes differ", "it has different arrays", "there is no such layer: "
"""Reasons that need no words beside the arrays and their sizes."""


class Fit(Struct, frozen=True):
    """A layer of a file that can be a layer of the model: its arrays by local names, its options, the arrays' names in
    the file."""

    key: Key
    arrays: Arrays
    theirs: Theirs
    names: tuple[str, ...]


class Misfit(Struct, frozen=True):
    """Why a layer of a file cannot be the model's: `differs` where it has the sizes, and another option."""

    why: str
    differs: bool = False


class Search(Struct, frozen=True):
    """What is looked through: the layers of a file in a layout, for a model's weights of these shapes; `pairs` names
    the modules of layers, `assumed` the options of layers that a file does not say."""

    layout: Layout
    groups: Groups
    shapes: Shapes
    pairs: Mapping[str, str]
    assumed: Mapping[str, Options]

    def key(self, place: Place) -> Key:
        """The key that the layer would have if we had written the file."""
        return NAMINGS[self.layout.name].key(place)

    def order(self, key: Key) -> Order:
        return order(key, self.groups[key].place)


Row = Mapping[Key, Fit | Misfit]
Table = Mapping[str, Row]


def matches(search: Search, places: Sequence[Place]) -> dict[str, Fit]:
    """For each layer by name the layer of the file that it is. UserError where there is none, or more than one."""
    table = {place.name: _row(search, place) for place in places}
    found: dict[str, Fit] = {}
    told = [place for place in places if place.name in search.pairs]
    found |= {p.name: fit for p in places if (fit := _by_name(search, p, places, table)) is not None}
    for place in (*told, *(p for p in places if p.name not in found and p not in told)):
        used = {fit.key for fit in found.values()}
        waiting = [table[p.name] for p in places if p.name not in found]
        found[place.name] = _by_order(search, place, used, waiting, table[place.name])
    return found


def _row(search: Search, place: Place) -> Row:
    """Every layer of the file as this one of the model."""
    try:
        expected = wanted(search.layout, place, search.shapes)
    except Unsayable as reason:
        return {key: Misfit(f"{UNSAYABLE}{reason}") for key in search.groups}
    return {key: fitted(search, place, key, expected) for key in search.groups}


def _by_name(search: Search, place: Place, places: Sequence[Place], table: Table) -> Fit | None:
    """The layer of the same name: one that the user chose says what is meant, one that we gave means something only
    where all of its kind are there (our `lstm_2` is the second, Keras's the third)."""
    key = search.key(place)
    if place.name in search.pairs or key not in search.groups:
        return None
    own = table[place.name][key]
    if place.chosen:
        if isinstance(own, Misfit) and (own.differs or own.why == SIZES):
            _refused(search, place, {key: own})
        return own if isinstance(own, Fit) else None
    alike = [p for p in places if order(search.key(p))[0] == order(key)[0]]
    all_fit = all(isinstance(table[p.name].get(search.key(p)), Fit) for p in alike)
    return own if isinstance(own, Fit) and all_fit else None


def _by_order(search: Search, place: Place, used: set[Key], waiting: Sequence[Row], row: Row) -> Fit:
    """The first that fits of those that are left, if all that fit are named alike; or if their order is known, and as
    many layers of the model wait for them."""
    module = search.pairs.get(place.name)
    free = {key: fit for key, fit in row.items() if key not in used and module in (None, key.module)}
    fits = [free[key] for key in sorted(free, key=search.order)]
    good = [fit for fit in fits if isinstance(fit, Fit)]
    if not good:
        return _refused(search, place, free)
    wanted_by = sum(any(isinstance(other[fit.key], Fit) for fit in good) for other in waiting)
    named_alike = len({order(fit.key)[0] for fit in good}) == 1
    if len({search.order(fit.key)[0] for fit in good}) > 1 or (len(good) > wanted_by and not named_alike):
        some = sorted({fit.key.module for fit in good})
        raise UserError(
            f"`{place.name}` could be any of {', '.join(f'`{m}`' for m in some)}",
            "E693",
            f"say which: `--map {place.name}={some[0]}`",
        )
    return good[0]


# --- one layer of the model, one of the file ----------------------------------------------------------------------


def fitted(search: Search, place: Place, key: Key, expected: Shapes) -> Fit | Misfit:
    """A layer of the file as this one of the model, or why it cannot be."""
    module, layout = search.groups[key], search.layout
    says = module.says.get("kind")
    if says is not None and says.value not in (place.layer.kind, None if isinstance(place.layer, Plain) else RECURRENT):
        return Misfit(f"it is {says.words}")
    arrays = _under_its_name(layout, place, module, place.name in search.pairs)
    if (why := _unlike(layout, place, arrays, expected)) is not None:
        return Misfit(why)
    whole = [f"`{module.names[n]}` holds {a.dtype} numbers" for n, a in module.arrays.items() if a.dtype.kind != "f"]
    if whole:
        return Misfit(f"{whole[0]}, not floats: it is quantised, save it as floats", differs=True)
    found = theirs(layout.name, place, arrays, module.says, search.assumed[place.name])
    if reasons := differences(place, found):
        return Misfit("; ".join(reasons), differs=True)
    return Fit(key, arrays, found, tuple(module.names.values()))


def read(search: Search, place: Place, fit: Fit) -> Arrays:
    """Our arrays made of those of the file. UserError where they are not of the model's sizes."""
    layer, layout = place.layer, search.layout
    try:
        own = (
            read_plain(layout, layer, fit.arrays)
            if isinstance(layer, Plain)
            else layout.read(layer, fit.theirs.options, fit.arrays)
        )
    except (KeyError, ValueError) as reason:
        return _refused(search, place, {fit.key: Misfit(f"its arrays do not go together ({reason})")})
    if any(local not in own or own[local].shape != search.shapes[full] for local, full in layer.weights.items()):
        return _refused(search, place, {fit.key: Misfit(SIZES)})
    return {local: own[local] for local in layer.weights}


def _under_its_name(layout: Layout, place: Place, module: Module, told: bool) -> Arrays:
    """The arrays of a module; one that stands alone, of a kind that nothing shows, may be a table, or a matrix."""
    lone = {"matrix", "table"} & set(module.arrays) if len(module.arrays) == 1 else set[str]()
    main = {"Embedding": "table", "Dense": "kernel"}.get(place.layer.kind)
    if lone and main and (told or main == "table" or "matrix" in lone):
        return {layout.plain[place.layer.kind][main]: next(iter(module.arrays.values()))}
    return module.arrays


def wanted(layout: Layout, place: Place, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The arrays that a layer has there, by local names, and their shapes. Unsayable where it has no such layer."""
    empty = {local: np.zeros(shapes[full], np.float32) for local, full in place.layer.weights.items()}
    if isinstance(place.layer, Plain):
        made = write_plain(layout, place.layer, empty)
    else:
        made = layout.write(place.layer, empty)
    return {local: array.shape for local, array in made.items()}


_MORE = {"P", "w_i_diag", "w_f_diag", "w_o_diag", "candidate/kernel", "candidate/bias"} | {
    f"candidate/{part}_projection/{local}" for part in ("input", "hidden") for local in ("kernel", "bias")
}
"""Arrays that show an option: a layer with another option than the model's may have them, or be without."""


def _unlike(layout: Layout, place: Place, arrays: Arrays, expected: Shapes) -> str | None:
    """Why these are not the arrays of such a layer: others, or matrices of other sizes."""
    if set(arrays) - set(expected) - _MORE:
        return OTHERS
    for local, shape in expected.items():
        if local not in arrays:
            if local in _MORE or _may_lack(layout, place, local, arrays):
                continue
            return f"it has no `{local}`"
        of_form = isinstance(place.layer, Plain) or (len(shape) > 1 and not _is_bias(local))
        if of_form and arrays[local].shape != shape:
            return SIZES
    return None


def _may_lack(layout: Layout, place: Place, local: str, arrays: Arrays) -> bool:
    if place.layer.kind == "LayerNorm":
        return bool(arrays)
    return local in layout.may_lack or (place.layer.kind == "Dense" and local == layout.plain["Dense"]["bias"])


def _is_bias(local: str) -> bool:
    """Whether its form depends on an option or on where the layer comes from: it is looked at when it is read."""
    return local in ("bias", "B", "P")


# --- order, and what is said where there is none ------------------------------------------------------------------

Order = tuple[str, tuple[tuple[int, int], ...], int, bool]
_NUMBER, _DIRECTION = re.compile(r"_?\d+"), {"fw": 0, "forward": 0, "bw": 1, "backward": 1}


def order(key: Key, place: str = "") -> Order:
    """The name without numbers and directions, then these: layers in order, forward before backward."""
    pattern, numbers = [], []
    for word in re.split(r"[/.]", place or key.module):
        direction = next((rank for name, rank in _DIRECTION.items() if re.match(rf"{name}(_|$)", word)), -1)
        found = _NUMBER.findall(word)
        numbers.append((int(found[-1].strip("_-")) if found else -1, direction))
        pattern.append("direction" if direction >= 0 else _NUMBER.sub("", word))
    return "/".join(pattern), tuple(numbers), key.number, key.reverse


def _refused(search: Search, place: Place, free: Row) -> NoReturn:
    """Says what the layer takes, and why none of these is it."""
    misfits = {key: fit for key, fit in free.items() if isinstance(fit, Misfit)}
    differing = {key: fit for key, fit in misfits.items() if fit.differs}
    if differing:
        key, fit = next(iter(differing.items()))
        raise UserError(f"`{place.name}` is `{place.layer.text}`, and the file's {key} is not", "E699", fit.why)
    raise UserError(
        f"no arrays of {search.layout.title} fit the layer `{place.name}`, `{place.layer.text}`",
        "E692",
        f"{_sought(search, place)}; {_there(search, misfits)}",
    )


def _sought(search: Search, place: Place) -> str:
    try:
        sizes = wanted(search.layout, place, search.shapes)
    except Unsayable as reason:
        return str(reason)
    return f"it takes {_sizes(sizes)}"


def _there(search: Search, misfits: Mapping[Key, Misfit]) -> str:
    """What the file has instead, the layers with such arrays first."""
    if not misfits:
        return "the file has nothing left" if search.groups else "the file has no layers"
    shown = []
    for key in list(misfits)[:MOST_TOLD]:
        module = search.groups[key]
        why = misfits[key].why
        seen = why in (SIZES, OTHERS) or why.startswith(UNSAYABLE)
        shown.append(
            _sizes({module.names[n]: a.shape for n, a in module.arrays.items()}) + ("" if seen else f" ({why})")
        )
    more = len(misfits) - len(shown)
    split = any(_IN_PARTS.search(name) for key in misfits for name in search.groups[key].names.values())
    return (
        f"the file has {'; '.join(shown)}{f'; and {more} more' if more > 0 else ''}"
        f"{_TOGETHER if split and search.layout.name == 'torch' else ''}"
    )


_IN_PARTS = re.compile(r"(^|\.)parametrizations\.|(weight|bias)[^.]*_orig$")
_TOGETHER = (
    ". Some of its weights are kept in parts: put them together with `remove_parametrizations` of"
    " `torch.nn.utils.parametrize`, `prune.remove` or `remove_spectral_norm`, and save it again"
)
"""What is said of PyTorch's ways to keep a weight in parts, other than those that `torch_names` knows."""


def _sizes(shapes: Shapes) -> str:
    return ", ".join(f"`{name}` {shape_text(shape)}" for name, shape in shapes.items())
