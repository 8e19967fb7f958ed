"""Bytes as formulas in numbers of steps T, rows B and units U: fitted to plans exactly, then tried elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import product
from math import isqrt, sqrt

from msgspec import Struct

SYMBOLS = ("T", "B", "U")
Sizes = tuple[int, int, int]
"""Steps, rows, units."""
Powers = tuple[int, int, int]
Bytes = Mapping[str, int]
"""By category."""


class Formula(Struct, frozen=True):
    """A sum of terms: a number of bytes for each product of powers of T, B and U.

    `exact` says that it gave the right number at every size that it was tried at. With `root` the powers of T are those
    of its square root.
    """

    terms: tuple[tuple[Powers, Fraction], ...]
    exact: bool
    root: bool = False

    def at(self, sizes: Sequence[int]) -> Fraction:
        """The bytes at these steps, rows and units."""
        steps = Fraction(sizes[0])
        if self.root:
            whole = isqrt(sizes[0])
            steps = Fraction(whole if whole**2 == sizes[0] else sqrt(sizes[0]))
        return sum((n * steps**t * sizes[1] ** b * sizes[2] ** u for (t, b, u), n in self.terms), Fraction(0))

    def __str__(self) -> str:
        words = [_term(powers, n, self.root) for powers, n in sorted(self.terms, reverse=True)]
        text = " + ".join(words).replace("+ -", "- ") or "0"
        return text if self.exact else f"about {text}"


def _term(powers: Powers, number: Fraction, root: bool) -> str:
    letters = [_letter(s, p, s == "T" and root) for s, p in zip(SYMBOLS, powers, strict=True) if p]
    return " ".join([_number(number), *letters])


def _letter(symbol: str, power: int, root: bool) -> str:
    if root:
        return " ".join([*([_letter(symbol, power // 2, False)] if power > 1 else []), *(["√T"] if power % 2 else [])])
    return symbol if power == 1 else f"{symbol}²"


def _number(number: Fraction) -> str:
    """Whole, or of three digits."""
    if number.denominator == 1 or abs(number) >= 100:
        return f"{round(number):,}"
    return f"{float(number):.3g}"


def formulas(
    measure: Callable[[Sizes], Bytes],
    steps: Sequence[int],
    rows: Sequence[int],
    units: Sequence[int],
    tried: Iterable[Sizes],
    root: bool = False,
) -> dict[str, Formula]:
    """For each category the formula of the bytes that `measure` tells at every one of these steps, rows and units.

    One number more than the highest power is needed of each; multiples of 16 steps and of 64 rows and units need no
    rounding up to the alignment. `tried` are sizes that a formula must give right to be called exact. With `root` the
    steps are squares.
    """
    points = (tuple(map(isqrt, steps)) if root else steps, rows, units)
    found = {(t, b, u): measure((t**2 if root else t, b, u)) for t, b, u in product(*points)}
    checks = {sizes: measure(sizes) for sizes in tried}
    return {category: _formula(points, found, checks, category, root) for category in next(iter(found.values()))}


def _formula(
    points: Sequence[Sequence[int]],
    found: Mapping[Sizes, Bytes],
    checks: Mapping[Sizes, Bytes],
    category: str,
    root: bool,
) -> Formula:
    terms = _terms(points, {sizes: Fraction(bytes[category]) for sizes, bytes in found.items()})
    formula = Formula(tuple(terms.items()), True, root)
    right = all(formula.at(sizes) == bytes[category] for sizes, bytes in checks.items())
    return Formula(formula.terms, right, root)


def _terms(points: Sequence[Sequence[int]], values: Mapping[Sizes, Fraction]) -> dict[Powers, Fraction]:
    """The polynomial through all points of a grid: one variable after another becomes powers."""
    found = dict(values)
    for axis, places in enumerate(points):
        inverse = _powers_of_basis(places)
        lines: dict[Sizes, Fraction] = {}
        for key, value in found.items():
            for power, weight in enumerate(inverse[places.index(key[axis])]):
                new = (power if axis == 0 else key[0], power if axis == 1 else key[1], power if axis == 2 else key[2])
                lines[new] = lines.get(new, Fraction(0)) + weight * value
        found = lines
    return {key: value for key, value in found.items() if value}


def _powers_of_basis(places: Sequence[int]) -> list[list[Fraction]]:
    """For each place the polynomial, by powers, that is 1 there and 0 at the other places (Lagrange's)."""
    found = []
    for i, here in enumerate(places):
        polynomial = [Fraction(1)]
        for j, other in enumerate(places):
            if j != i:
                shifted = [Fraction(0), *polynomial]
                scaled = [-other * c for c in polynomial] + [Fraction(0)]
                polynomial = [(a + b) / (here - other) for a, b in zip(shifted, scaled, strict=True)]
        found.append(polynomial)
    return found
