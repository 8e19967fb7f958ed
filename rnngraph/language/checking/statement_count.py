"""How many statements a body runs at least, told from the text: what could never be finished is not begun.

Forty layers of which each uses the one before twice are 2 ** 40 layers. The number is found once for each definition
with its settings, so in steps that grow with the text. What the text does not tell counts as little as it can: a `for`
whose counts are not known as no turn, an `if` whose condition is not as the shorter of its branches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate

from msgspec import Struct

from rnngraph.language.elaboration.arithmetic import fold
from rnngraph.language.elaboration.imports import library
from rnngraph.language.elaboration.mistakes import MOST_REPETITIONS, MOST_STATEMENTS, Mistake
from rnngraph.language.elaboration.scope import World
from rnngraph.language.elaboration.trace import Trace
from rnngraph.language.elaboration.values import Class, Instance, Item, Number
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition, Expr, Statement
from rnngraph.language.syntax.traversal import statements, walk
from rnngraph.system.records import Keyed

_MOST_VARIANTS = 2_000
"""Definitions with their settings that are looked at; of further ones the settings count as unknown."""
_LONG = MOST_STATEMENTS // 100
_DEEPEST = 50
"""Definitions within each other that are looked at."""


class _Kind(Keyed, Struct, frozen=True, eq=False):
    """A definition that has not been given its settings."""

    definition: Definition
    key: int

    @property
    def identity(self) -> object:
        return self.key


class _Made(Keyed, Struct, frozen=True, eq=False):
    """A definition with its settings: name, type and value of each that was given, None where that is not known."""

    definition: Definition
    key: int
    settings: tuple[tuple[str, str, _Known | None], ...] = ()

    @property
    def identity(self) -> object:
        return self.key, self.settings


class _Pipe(Struct, frozen=True):
    """Cells and layers in order, of which only the amount matters."""

    amount: int


_Known = Number | _Kind | _Made | _Pipe
_Names = dict[str, _Known | None]
"""What a body has given a meaning; None where the text does not tell which."""


def look_ahead(trace: Trace, definition: Definition, settings: Mapping[str, Item]) -> int:
    """How many statements one run of a body has at least; where that passes the bound, the trace is told at which
    statement to stop: the first long one, so that what is wrong before it is given as well.
    """
    try:
        found = _Amounts(trace).body(definition, {name: _known(item) for name, item in settings.items()})
    except RecursionError:  # told where it is met again
        return 0
    totals = list(accumulate(amount for _, amount in found))
    if not totals or totals[-1] <= MOST_STATEMENTS:
        return totals[-1] if totals else 0
    passing = next(s for (s, _), total in zip(found, totals, strict=True) if total > MOST_STATEMENTS)
    trace.stop_at = next((s for s, amount in found if amount > _LONG), passing), passing.span
    return totals[-1]


class _Amounts:
    """Those of all definitions that are met on the way; what is found is kept for all traces of a file."""

    def __init__(self, trace: Trace) -> None:
        self.worlds, self.training = trace.worlds, trace.training
        self.found: dict[_Made, int] = trace.amounts.setdefault(trace.training, {})
        self.depth = 0

    def body(self, definition: Definition, names: _Names) -> list[tuple[Statement, int]]:
        """The statements of a body, each with its amount; `names` are the settings given."""
        world = self.worlds.get(definition.span.source, library())
        for setting in definition.settings:
            if setting.name not in names:
                default = setting.default
                names[setting.name] = None if default is None else _held(self.meant(default, names, world))
        names.setdefault("training", self.training)
        for s in definition.body:
            if isinstance(s, (ast.Input, ast.State, ast.Param)):
                names[s.name] = None
        return [(s, 1 + self.statement(s, names, world)) for s in definition.body]

    def applied(self, made: _Known | None) -> int:
        """Of one use of a cell or layer; of what is neither, nothing."""
        if isinstance(made, _Pipe):
            return made.amount
        if isinstance(made, _Kind):
            made = _Made(made.definition, made.key)
        if not isinstance(made, _Made) or self.depth >= _DEEPEST:
            return 0
        if len(self.found) > _MOST_VARIANTS:
            made = _Made(made.definition, made.key, tuple((s.name, "", None) for s in made.definition.settings))
        if made not in self.found:
            self.found[made] = 0  # for one that is handed to itself
            self.depth += 1
            names = {name: known for name, _, known in made.settings}
            self.found[made] = sum(amount for _, amount in self.body(made.definition, names))
            self.depth -= 1
        return self.found[made]

    # --- statements -----------------------------------------------------------------------------------

    def block(self, body: Iterable[Statement], names: _Names, world: World) -> int:
        return sum(1 + self.statement(s, names, world) for s in body)

    def statement(self, s: Statement, names: _Names, world: World) -> int:
        """Of all that a statement runs, without itself."""
        match s:
            case ast.Assign():
                amount = self.run(s.value, names, world)
                made = _held(self.meant(s.value, names, world)) if len(s.targets) == 1 else None
                names |= {target.name: made for target in s.targets if not target.primed}
                return amount
            case ast.Output():
                return sum(self.run(item.value, names, world) for item in s.items)
            case ast.Loss() | ast.Metric() | ast.Stop():
                return self.run(s.value, names, world)
            case ast.For():
                return self.repeated(s, names, world)
            case ast.If():
                return self.chosen(s, names, world)
        return 0

    def repeated(self, s: ast.For, names: _Names, world: World) -> int:
        before = names.get(s.name)
        _forget(names, s.body)
        amount = self.block(s.body, names | {s.name: None}, world)
        _forget(names, s.body)
        names[s.name] = before
        return _turns(s, names) * amount

    def chosen(self, s: ast.If, names: _Names, world: World) -> int:
        condition = _number(s.condition, names)
        if isinstance(condition, bool):
            return self.block(s.body if condition else s.orelse, names, world)
        amount = min(self.block(body, dict(names), world) for body in (s.body, s.orelse))
        _forget(names, (*s.body, *s.orelse))
        return amount

    # --- expressions ----------------------------------------------------------------------------------

    def run(self, e: Expr, names: _Names, world: World) -> int:
        """Of all cells and layers that an expression applies."""
        nodes = list(walk(e))
        once = sum(self.applied(self.callee(node, names, world)) for node in nodes)
        gathered = [node for node in nodes if isinstance(node, ast.Gathered)]
        return once + sum((_turns(g, names) - 1) * self.run(g.value, names | {g.name: None}, world) for g in gathered)

    def callee(self, node: object, names: _Names, world: World) -> _Known | None:
        """What an expression applies, if it applies something."""
        if isinstance(node, ast.Unroll):
            return self.meant(node.cell, names, world)
        if not isinstance(node, ast.Call):
            return None
        made = self.meant(node.function, names, world)
        return None if _gives_settings(made, node) else made

    def meant(self, e: Expr, names: _Names, world: World) -> _Known | None:
        """The number, cell or layer that an expression stands for, where the text tells it."""
        match e:
            case ast.Name(name=name, primed=False):
                if name in names or name not in world:
                    return names.get(name)
                return _Kind(world[name], id(world[name]))
            case ast.Call():
                made = self.meant(e.function, names, world)
                return self.instance(made, e, names, world) if isinstance(made, _Kind) else None
            case ast.Pipe():
                return _Pipe(sum(self.applied(self.meant(part, names, world)) for part in e.parts))
        return _number(e, names)

    def instance(self, kind: _Kind, e: ast.Call, names: _Names, world: World) -> _Made | None:
        """`LSTM(4)`; nothing where what is given are not settings."""
        order = [s.name for s in kind.definition.settings]
        if not _gives_settings(kind, e) or len(e.arguments) > len(order):
            return None
        told: dict[str, _Known | None] = {}
        for place, argument in enumerate(e.arguments):
            told[argument.name or order[place]] = _held(self.meant(argument.value, names, world))
        return _made(kind.definition, told)


def _gives_settings(made: _Known | None, e: ast.Call) -> bool:
    """Whether a call makes an instance, rather than applying one."""
    return isinstance(made, _Kind) and (bool(made.definition.settings) or not e.arguments)


def _held(made: _Known | None) -> _Known | None:
    """What a name stands for: a definition that needs no settings is an instance there, as in `instantiation.held`."""
    needed = isinstance(made, _Kind) and any(s.default is None for s in made.definition.settings)
    return _Made(made.definition, made.key) if isinstance(made, _Kind) and not needed else made


def _made(definition: Definition, settings: Mapping[str, _Known | None]) -> _Made:
    told = tuple((name, type(known).__name__, known) for name, known in sorted(settings.items()))
    return _Made(definition, id(definition), told)


def _known(item: Item) -> _Known | None:
    """The same of what has been evaluated."""
    match item:
        case bool() | int() | float():
            return item
        case Class():
            return _Kind(item.definition, id(item.definition))
        case Instance():
            return _made(item.definition, {name: _known(given) for name, given in item.settings.items()})
    return None


def _forget(names: _Names, body: Iterable[Statement]) -> None:
    """What a block may have given another meaning is not known."""
    for s in statements(tuple(body)):
        if isinstance(s, ast.Assign):
            names |= {target.name: None for target in s.targets}
        elif isinstance(s, ast.For):
            names[s.name] = None


def _turns(s: ast.For | ast.Gathered, names: _Names) -> int:
    """Those that the text tells; too many are refused on their own."""
    first, last = _number(s.first, names), _number(s.last, names)
    turns = 0 if first is None or last is None else int(last) - int(first) + 1
    return turns if 0 < turns <= MOST_REPETITIONS else 0


def _number(e: Expr, names: _Names) -> Number | None:
    """The number that an expression of settings and numbers stands for."""
    match e:
        case ast.Number() | ast.Bool():
            return e.value
        case ast.Name(name=name, primed=False):
            found = names.get(name)
            return found if isinstance(found, (bool, int, float)) else None
        case ast.Unary(operator="-"):
            operand = _number(e.operand, names)
            return None if operand is None else -operand
        case ast.Binary() if e.operator != "@":
            left, right = _number(e.left, names), _number(e.right, names)
            return None if left is None or right is None else _folded(e, left, right)
    return None


def _folded(e: ast.Binary, left: Number, right: Number) -> Number | None:
    try:
        return fold(e.operator, left, right, e.span)
    except Mistake:
        return None
