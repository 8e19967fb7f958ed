"""`einsum("h i, h i j -> h j", q, S)`: products and sums as Einstein wrote them, from left to right."""

from __future__ import annotations

from msgspec import Struct

from rnngraph.diagnostics.source import Span
from rnngraph.ir.graph import Value
from rnngraph.language.builtins.definition import Use, define
from rnngraph.language.builtins.matrices import diagonal
from rnngraph.language.elaboration.arithmetic import alike
from rnngraph.language.elaboration.mistakes import Mistake, counted
from rnngraph.language.elaboration.values import Item, Words

LETTERS = "abcdefghijklmnopqrstuvwxyz"
Names = tuple[str, ...]


class _Factor(Struct, frozen=True):
    """A value with a name for each of its dimensions."""

    value: Value
    names: Names


@define("einsum", "text x*", "number")
def _(use: Use) -> Item:
    """Dimensions that the result does not name are summed over."""
    given = [g for n, g in use.given.items() if n != "text"]
    values = alike(use.trace, tuple(g.item for g in given), tuple(g.span for g in given))
    terms, result = _read(use, values)
    factors = [_named(use, v, t, g.span) for v, t, g in zip(values, terms, given, strict=True)]
    _check(use, factors, result)
    found = factors[0]
    for i, factor in enumerate(factors[1:], 1):
        later = {name for f in factors[i + 1 :] for name in f.names}
        wanted = {*result, *later}
        found = _product(use, _only(use, found, {*wanted, *factor.names}), factor, wanted)
    return _arranged(use, _only(use, found, {*result}), result)


# --- the text -------------------------------------------------------------------------------------


def _read(use: Use, values: tuple[Value, ...]) -> tuple[list[Names], Names]:
    """The names of each operand's dimensions, and of the result's: words, or single letters as NumPy has them."""
    item = use.given["text"].item
    if not isinstance(item, Words):
        raise use.mistake("E202", '`einsum` begins with a text: `einsum("i j, j -> i", a, b)`', "text")
    before, arrow, after = item.text.partition("->")
    if not arrow:
        raise use.mistake("E202", "the text says behind `->` what the result is", "text")
    terms = [tuple(term.split()) for term in before.split(",")]
    if len(terms) != len(values):
        message = f"the text is of {counted(len(terms), 'value')}, but there are {len(values)}"
        raise use.mistake("E303", message, "text")
    if _in_letters(terms, values):
        return [tuple("".join(term)) for term in terms], tuple(after.replace(" ", ""))
    return terms, tuple(after.split())


def _in_letters(terms: list[Names], values: tuple[Value, ...]) -> bool:
    """Whether each operand is said in one word that has a letter for each dimension: `ij,jk->ik`."""
    ranks = [len(v.type.shape) for v in values]
    return all(len(term) <= 1 and len("".join(term)) == rank for term, rank in zip(terms, ranks, strict=True))


def _check(use: Use, factors: list[_Factor], result: Names) -> None:
    sizes: dict[str, int] = {}
    for factor in factors:
        for name, size in zip(factor.names, factor.value.type.shape, strict=True):
            if sizes.setdefault(name, size) != size:
                raise use.mistake("E201", f"`{name}` has the size {sizes[name]} and the size {size}", "text")
    for name in result:
        if name not in sizes:
            raise use.mistake("E101", f"no value has the dimension `{name}` of the result", "text")
    if len(set(result)) < len(result):
        raise use.mistake("E103", "the result has a dimension twice", "text")
    if len(sizes) > len(LETTERS):
        raise use.mistake("E310", f"at most {len(LETTERS)} dimensions can have names, not {len(sizes)}", "text")


def _named(use: Use, value: Value, names: Names, at: Span) -> _Factor:
    """The value with its dimensions named; of those that have one name the diagonal."""
    shape = value.type.shape
    for name in names:
        if not name.isidentifier():
            raise use.mistake("E202", f"`{name}` is no name of a dimension", "text")
    if len(names) != len(shape):
        said = f"`{' '.join(names)}` names {counted(len(names), 'dimension')}"
        raise Mistake("E204", f"{said}, but `{at.text}` has {len(shape)}", at)
    factor = _Factor(value, names)
    while twice := next((name for name in factor.names if factor.names.count(name) > 1), ""):
        factor = _on_diagonal(use, factor, twice)
    return factor


def _on_diagonal(use: Use, factor: _Factor, name: str) -> _Factor:
    one, other = [i for i, n in enumerate(factor.names) if n == name][:2]
    shape = factor.value.type.shape
    if shape[one] != shape[other]:
        raise use.mistake("E201", f"`{name}` has the size {shape[one]} and the size {shape[other]}", "text")
    rest = [i for i in range(len(shape)) if i not in (one, other)]
    value = _turned(use, factor.value, (*rest, one, other))
    return _Factor(diagonal(use.trace, value, use.at), (*(factor.names[i] for i in rest), name))


# --- sums and products ----------------------------------------------------------------------------


def _only(use: Use, factor: _Factor, wanted: set[str]) -> _Factor:
    """Summed over what is wanted nowhere else."""
    rank = len(factor.names)
    gone = tuple(i - rank for i, name in enumerate(factor.names) if name not in wanted)
    if not gone:
        return factor
    return _Factor(use.op("sum", factor.value, dims=gone), tuple(n for n in factor.names if n in wanted))


def _product(use: Use, a: _Factor, b: _Factor, wanted: set[str]) -> _Factor:
    b = _only(use, b, {*wanted, *a.names})
    letters = dict(zip(dict.fromkeys((*a.names, *b.names)), LETTERS, strict=False))
    names = tuple(name for name in letters if name in wanted)
    left, right, out = ("".join(letters[name] for name in some) for some in (a.names, b.names, names))
    found = use.trace.product(a.value, b.value, at=use.at, left=left, right=right, out=out, reduce=())
    return _Factor(found, names)


def _arranged(use: Use, factor: _Factor, result: Names) -> Value:
    return _turned(use, factor.value, tuple(factor.names.index(name) for name in result))


def _turned(use: Use, value: Value, order: tuple[int, ...]) -> Value:
    return value if order == tuple(range(len(order))) else use.op("transpose", value, perm=order)
