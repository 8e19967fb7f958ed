"""Where the entries come from of ops that only move them: borders, windows, dimensions that are turned or repeated.

Each dimension of an array is read at a place that is affine in the places of a nest's dimensions, maybe divided: what
lies outside, or between, is not there. Ops that do so differ in a few numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from rnngraph.ir.graph import Node


class Index(Struct, frozen=True):
    """The place along a dimension: (`first` + the places of the nest's dimensions, by name, times `each`) / `by`."""

    each: Mapping[str, int]
    first: int = 0
    by: int = 1

    def inside(self, size: int, sizes: Mapping[str, int]) -> bool:
        """Whether every place is one of so many."""
        ends = [n * (sizes[letter] - 1) for letter, n in self.each.items()]
        least, most = (self.first + sum(f(0, end) for end in ends) for f in (min, max))
        return self.by == 1 and least >= 0 and most < size


class Gap(Struct, frozen=True):
    """A dimension of the first operand that has no entry for some places: it is read at (`first` + the places of the
    nest's dimensions times `each`) / `by`, where that is one of `size` places, which lie `apart` entries apart; 0
    where the strides of the operand say so already."""

    each: tuple[int, ...]
    first: int
    by: int
    size: int
    apart: int


class Reading(Struct, frozen=True):
    """How an op reads its operand: the sizes of the nest's dimensions by name, in order, the last `inner` of which are
    summed; the place along each dimension of the operand, and along each of the result; and what stands where nothing
    is read."""

    sizes: Mapping[str, int]
    operand: tuple[Index, ...]
    result: tuple[Index, ...]
    inner: int = 0
    fill: float = 0.0


Rule = Callable[[Node, Sequence[int], Sequence[int]], Reading]


def plain(letters: Sequence[str]) -> list[Index]:
    """Each dimension is one of the nest."""
    return [Index({letter: 1}) for letter in letters]


def _along(node: Node, source: Sequence[int], sizes: Sequence[int], first: int, each: int) -> Reading:
    """One dimension is read another way than the result's."""
    letters = [str(i) for i in range(len(sizes))]
    dim = node.attrs["dim"] % len(sizes)
    operand = plain(letters)
    operand[dim] = Index({letters[dim]: each}, first)
    return Reading(dict(zip(letters, sizes, strict=True)), tuple(operand), tuple(plain(letters)))


def _pad(node: Node, source: Sequence[int], sizes: Sequence[int]) -> Reading:
    return _along(node, source, sizes, -node.attrs["before"], 1)


def _flip(node: Node, source: Sequence[int], sizes: Sequence[int]) -> Reading:
    return _along(node, source, sizes, sizes[node.attrs["dim"] % len(sizes)] - 1, -1)


def _repeat(node: Node, source: Sequence[int], sizes: Sequence[int]) -> Reading:
    """The copies of an entry are a dimension of their own."""
    letters, dim, times = [str(i) for i in range(len(source))], node.attrs["dim"] % len(source), node.attrs["times"]
    named = {"copy": times, **dict(zip(letters, source, strict=True))}
    order = [*letters[: dim + 1], "copy", *letters[dim + 1 :]]
    result = plain(letters)
    result[dim] = Index({letters[dim]: times, "copy": 1})
    return Reading({one: named[one] for one in order}, tuple(plain(letters)), tuple(result))


def _reshape(node: Node, source: Sequence[int], sizes: Sequence[int]) -> Reading:
    """The result lies in order, so it can be looked at in the shape of the operand."""
    letters = [str(i) for i in range(len(source))]
    return Reading(dict(zip(letters, source, strict=True)), tuple(plain(letters)), tuple(plain(letters)))


def _patches(node: Node, source: Sequence[int], sizes: Sequence[int]) -> Reading:
    """Dimensions: places of the windows, entries of a window, channels."""
    attrs, rank = node.attrs, len(source) - 1
    letters = [str(i) for i in range(len(sizes))]
    operand = [
        Index({letters[i]: attrs["stride"][i], letters[rank + i]: attrs["dilation"][i]}, -attrs["before"][i])
        for i in range(rank)
    ]
    named, result = dict(zip(letters, sizes, strict=True)), tuple(plain(letters))
    return Reading(named, (*operand, Index({letters[-1]: 1})), result, fill=attrs.get("fill", 0.0))


def _unpatch(node: Node, source: Sequence[int], sizes: Sequence[int]) -> Reading:
    """Dimensions: places of the image, channels; summed over the entries of the window that look at a place."""
    attrs, rank = node.attrs, len(sizes) - 1
    image, window = [str(i) for i in range(rank)], [f"w{i}" for i in range(rank)]
    operand = [
        Index({image[i]: 1, window[i]: -attrs["dilation"][i]}, attrs["before"][i], attrs["stride"][i])
        for i in range(rank)
    ]
    letters = [*image, "channel"]
    named = dict(zip((*letters, *window), (*sizes, *attrs["window"]), strict=True))
    return Reading(named, (*operand, *plain((*window, "channel"))), tuple(plain(letters)), inner=rank)


RULES: dict[str, Rule] = {
    "pad": _pad, "flip": _flip, "repeat": _repeat, "reshape": _reshape, "patches": _patches, "unpatch": _unpatch,
}  # fmt: skip


def gaps(indices: Sequence[Index], strides: Sequence[int], sizes: Sequence[int], named: Mapping[str, int],
         names: Sequence[str]) -> tuple[Gap, ...]:  # fmt: skip
    """The dimensions of an operand that have no entry for some places."""
    return tuple(
        Gap(tuple(index.each.get(name, 0) for name in names), index.first, index.by, size,
            0 if index.by == 1 else stride)
        for index, stride, size in zip(indices, strides, sizes, strict=True) if not index.inside(size, named)
    )  # fmt: skip


def moved(indices: Sequence[Index], strides: Sequence[int], names: Sequence[str]) -> tuple[int, tuple[int, ...]]:
    """Of an array that is read so: its entry at places 0, from its first, and the strides along the nest's
    dimensions."""
    told = [(index, stride) for index, stride in zip(indices, strides, strict=True) if index.by == 1]
    along = tuple(sum(index.each.get(name, 0) * stride for index, stride in told) for name in names)
    return sum(index.first * stride for index, stride in told), along
