"""A step of a cell as the parts of a diagram: gates, products, round operations, closed layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal, NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.ir.graph import LOOP, Value, loop_of
from rnngraph.language.elaboration.one_step import OneStep
from rnngraph.viz.box_texts import inner, loop_title, op_text, own_name, source_text, tooltip, within, wrapped
from rnngraph.viz.cell_terms import UNARY, Term, Terms, users
from rnngraph.viz.groups import REARRANGING, Path

PartKind = Literal["gate", "round", "product", "join", "box", "block", "input", "state"]
SIGNS = {"add": "+", "sub": "−", "mul": "×", "div": "÷", "maximum": "max", "minimum": "min", "pow": "^"}
SHORT = 16
FUNCTIONS = {
    "sigmoid": "σ", "log_sigmoid": "log σ", "neg": "−", "square": "x²", "reciprocal": "1/x", "abs": "|x|",
}  # fmt: skip


class Part(Struct, frozen=True, eq=False):
    """One thing in the diagram. `name` is what the user calls its result, `weights` are those that it reads."""

    kind: PartKind
    lines: tuple[str, ...]
    reads: tuple[Exit, ...] = ()
    name: str = ""
    weights: tuple[str, ...] = ()
    tooltip: str = ""

    @property
    def operands(self) -> tuple[Part, ...]:
        """The parts that it reads."""
        return tuple(dict.fromkeys(exit.part for exit in self.reads))


class Exit(NamedTuple):
    """One of the results of a part: most have one."""

    part: Part
    number: int = 0


class Diagram(Struct, frozen=True):
    """The parts, each before those that read it; which part each state goes to, and each output comes from."""

    title: str
    parts: tuple[Part, ...]
    states: dict[str, tuple[Part, Exit]] = field(default_factory=dict)
    outputs: dict[str, Exit] = field(default_factory=dict)


class Circle(Exception):
    """A layer inside that reads what is made of what it gave before: it cannot be one part."""


def diagram(step: OneStep) -> Diagram:
    step = with_short_names(step)
    try:
        made = _Parts(step)
    except Circle:
        made = _Parts(replace(step, closed={}))
    states = {name: (made.of(old).part, made.of(new)) for name, (old, new) in step.states.items()}
    outputs = {name: made.of(value) for name, value in step.outputs.items()}
    return Diagram(step.title, tuple(made.parts.values()), states, outputs)


def with_short_names(step: OneStep) -> OneStep:
    """States by the last part of their names (`inner.c` as `c`), where that tells them apart."""
    count = Counter(map(own_name, step.states))
    names = {name: own_name(name) if count[own_name(name)] == 1 else name for name in step.states}
    outputs = {names[n[:-1]] + "'" if n[:-1] in names else n: value for n, value in step.outputs.items()}
    return replace(step, states={names[n]: pair for n, pair in step.states.items()}, outputs=outputs)


def _declared(name: str) -> str:
    """A weight as it is written: without its instance, and without the counts of loops around."""
    return next(part for part in reversed(name.split(".")) if not part.isdecimal())


def _said(term: Term, other: Term) -> bool:
    """Whether the words of one are among those of the other."""
    return term.span is not None and other.span is not None and within(term.span, other.span)


Head = Term | int
"""What a part is made around: its last term, or the number of a closed layer."""


class _Parts:
    """Which terms share a part, and the parts."""

    def __init__(self, step: OneStep) -> None:
        self.step, self.terms = step, Terms(step)
        self.all = self.terms.all()
        results = [self.terms.of(v) for v in (*step.outputs.values(), *(new for _, new in step.states.values()))]
        self.users = users(self.all, results)
        self.readers = {operand: term for term in self.all for operand in term.operands}
        self.told = {f"{name}'" for name in step.states} | {result.name for result in results}
        known = self.terms.of_node
        self.weights = {known[v.node]: _declared(n) for v, n in step.weights.items() if v.node in known}
        self.fixed = self._fixed()
        self.layers = dict(self._layers())
        self.affine: set[Term] = set()
        for term in self.all:
            if term not in self.layers and self._is_affine(term):
                self.affine.add(term)
        self.heads: dict[Term, Head] = {}
        for term in reversed(self.all):
            if term not in self.fixed:
                self.heads[term] = self._head(term)
        self.members: dict[Head, list[Term]] = {}
        for term in self.all:
            if term in self.heads:
                self.members.setdefault(self.heads[term], []).append(term)
        self.exits: dict[Head, list[Term]] = {}
        for term in (*(d for t in self.all for d in self.data(t) if self.heads.get(t) != self.heads[d]), *results):
            if term in self.heads and term not in self.exits.setdefault(self.heads[term], []):
                self.exits[self.heads[term]].append(term)
        self.parts: dict[Head, Part] = {}
        for head in self._order():
            self.parts[head] = self._part(head)

    def of(self, value: Value) -> Exit:
        term = self.terms.of(value)
        if term not in self.heads:  # a written number, or a weight, handed out
            self.heads[term] = term
            self.parts[term] = Part("box", wrapped(source_text(term.span) if term.span else op_text(term.node)))
        return self._exit(term)

    def _exit(self, term: Term) -> Exit:
        head = self.heads[term]
        return Exit(self.parts[head], self.exits[head].index(term) if head in self.exits else 0)

    # --- what kind of term it is ------------------------------------------------------------------------------------

    def _fixed(self) -> set[Term]:
        """Written numbers, weights, and what is made of these alone."""
        found = set(self.weights) | {t for t in self.all if t.node in self.terms.constants}
        for term in self.all:
            if term.operands and all(operand in found for operand in term.operands):
                found.add(term)
        return found

    def data(self, term: Term) -> list[Term]:
        return list(dict.fromkeys(operand for operand in term.operands if operand not in self.fixed))

    def _weighs(self, term: Term) -> bool:
        """Whether one of its operands is made of weights."""
        return any(operand in self.fixed and self._weights_in([operand]) for operand in term.operands)

    def _weights_in(self, terms: list[Term]) -> list[str]:
        found: dict[Term, None] = {}
        pending = list(terms)
        while pending:
            term = pending.pop(0)
            if term not in found:
                found[term] = None
                pending += [operand for operand in term.operands if operand in self.fixed]
        return list(dict.fromkeys(self.weights[term] for term in found if term in self.weights))

    def _is_affine(self, term: Term) -> bool:
        """Whether it is a product with weights, a sum with some, a piece of one, or a sum of such."""
        data, op = self.data(term), term.op
        if op == "contract":
            return len(data) == 1 and self._weighs(term)
        if self._passes(term):
            return len(data) == 1
        if op == "concat":
            reader = self.readers.get(term)
            return self.users[term] == 1 and reader is not None and reader.op == "contract" and self._weighs(reader)
        if op not in ("add", "sub", "mul", "div"):
            return False
        alone = all(operand in self.affine and self.users[operand] == 1 for operand in data)
        return (len(data) == 1 and (self._weighs(term) or alone)) or (op in ("add", "sub") and len(data) == 2 and alone)

    # --- which terms share a part -----------------------------------------------------------------------------------

    def _layers(self) -> Iterator[tuple[Term, int]]:
        """The terms of a layer inside that has no states, for each call of it: those that hang together; and those of a
        function that is computed in several operations, as `softmax`."""
        numbers: dict[Term, int] = {}
        same: dict[int, int] = {}

        def root(number: int) -> int:
            while same[number] != number:
                number = same[number]
            return number

        wholes = {t: w for t in self.all if t.operands and t not in self.fixed and (w := self._whole(t))}
        around: dict[Term, set[object]] = {}
        for term in self.all:
            for operand in term.operands:
                around.setdefault(operand, set()).add(wholes.get(term))
        for number, term in enumerate(wholes):
            numbers[term] = same[number] = number
            for operand in term.operands:
                if wholes.get(operand) == wholes[term] and around[operand] == {wholes[term]}:
                    same[root(numbers[operand])] = root(number)
        sizes = Counter(map(root, numbers.values()))
        for term, number in numbers.items():
            if self._closed(term) or sizes[root(number)] > 1:
                yield term, root(number)

    def _whole(self, term: Term) -> object:
        """What it is a piece of, if that is one part: a closed layer, or a call of a function."""
        call = (term.path, term.span) if term.span and term.op != "slice" else None
        if len(term.node.types) > 1:
            return self._closed(term) or term.node
        return None if term.node.origin.backward else self._closed(term) or call

    def _closed(self, term: Term) -> Path | None:
        """The outermost instance around it that stays closed."""
        return next((p for p in self.step.closed if term.path[: len(p)] == p), None)

    def _head(self, term: Term) -> Head:
        if term in self.layers:
            return self.layers[term]
        reader = self.readers.get(term)
        if reader is None or self.users[term] != 1 or not term.operands or term.op == LOOP.name:
            return term
        head = self.heads.get(reader, reader)
        return head if isinstance(head, Term) and self._joins(term, reader, head) else term

    def _joins(self, term: Term, reader: Term, head: Term) -> bool:
        if term.path != head.path or head.op == LOOP.name:
            return False
        if head.op in UNARY:  # which says the words of each of its arguments
            return term in self.affine and (reader is head or reader in self.affine)
        if head in self.affine:
            said = term.op == "slice" or (_said(term, head) and not self._passes(head))
            return term in self.affine and reader in self.affine and said
        return self._kind(head) == "box" and term not in self.affine and _said(term, head)

    def _passes(self, term: Term) -> bool:
        """Whether it only hands on entries of its operand."""
        return term.op == "slice" or term.op in REARRANGING

    # --- the parts --------------------------------------------------------------------------------------------------

    def _order(self) -> Iterator[Head]:
        """Every part after those that it reads."""
        done: dict[Head, None] = {}
        begun: set[Head] = set()
        pending: list[tuple[Head, bool]] = [(head, False) for head in reversed(self.members)]
        while pending:
            head, ready = pending.pop()
            if ready:
                done[head] = None
                yield head
            elif head in begun and head not in done:
                raise Circle
            elif head not in done:
                begun.add(head)
                pending.append((head, True))
                pending += [(other, False) for other in reversed(self._read(head)) if other not in done]

    def _read(self, head: Head) -> list[Head]:
        """The parts that go into one."""
        found = (self.heads[d] for term in self.members[head] for d in self.data(term))
        return list(dict.fromkeys(other for other in found if other != head))

    def _part(self, head: Head) -> Part:
        members = self.members[head]
        outside = (d for t in members for d in self.data(t) if self.heads[d] != head)
        operands = tuple(dict.fromkeys(map(self._exit, outside)))
        weights = tuple(self._weights_in([o for t in members for o in t.operands if o in self.fixed]))
        if isinstance(head, int):
            last = members[-1]
            if closed := self._closed(last):
                (given, *others) = self.exits[head]
                name = "" if others else self.step.called.get(given.node, "")
                return Part("block", (self.step.closed[closed],), operands, name, weights, self._tip(last))
            text = wrapped(self._text(last, members))
            hidden = last.name in self.told or len(self.exits[head]) > 1
            return Part("box", text, operands, "" if hidden else last.name, weights, self._tip(last))
        kind = self._kind(head)
        name = next((t.name for t in reversed(members) if t.name), "")
        lines = tuple(self._lines(head, kind, members))
        hidden = name in self.told or lines == (name,)
        return Part(kind, lines, operands, "" if hidden else name, weights, self._tip(head))

    def _kind(self, term: Term) -> PartKind:
        if not term.operands:
            return "state" if any(old.node is term.node for old, _ in self.step.states.values()) else "input"
        data = self.data(term)
        if term.op in UNARY:
            return "gate" if self.heads.get(data[0]) is term else "round"
        if term.op == "concat" or (term.op == "slice" and data[0] not in self.affine):
            return "join"
        if term in self.affine:
            return "join" if self._passes(term) else "product"
        if term.op in SIGNS and (len(data) == 2 or (self._number(term) and data[0].span != term.span)):
            return "round"
        return "box"

    def _number(self, term: Term) -> str:
        """The written number that it has beside its one operand."""
        others = [o for o in term.operands if o in self.fixed]
        return f"{others[0].node.attrs['value']:g}" if len(others) == 1 and "value" in others[0].node.attrs else ""

    def _lines(self, term: Term, kind: PartKind, members: list[Term]) -> Iterator[str]:
        if not term.operands:
            states = {old.node: name for name, (old, _) in self.step.states.items()}
            yield states.get(term.node) or own_name(str(term.node.attrs["name"]))
        elif term.op in UNARY:
            yield FUNCTIONS.get(term.op, op_text(term.node))
            for argument in self._arguments(members) if kind == "gate" else ():
                yield from wrapped(self._text(argument, members))
        elif kind == "round":
            yield self._ordered(term, members) or self._sign(term)
        elif kind == "join" and term.name:
            yield term.name
        else:
            yield from wrapped(self._text(term, members))

    def _arguments(self, members: list[Term]) -> list[Term]:
        """Of a gate: those whose words stand in those of no other; nothing for a piece of what another part gives."""
        *found, head = members
        said = [t for t in found if t.op != "slice" or (set(t.operands) & set(found) and not _said(head, t))]
        last = {t.span: t for t in said if t.span}
        return [t for t in last.values() if t.span and not any(inner(t.span, other) for other in last)]

    def _ordered(self, term: Term, members: list[Term]) -> str:
        """Where the order of the operands matters, the words that say it, if they are few."""
        if term.op not in ("sub", "div", "pow") or len(self.data(term)) < 2:
            return ""
        text = self._text(term, members)
        return text if len(text) <= SHORT and text.count("...") < 2 else ""

    def _sign(self, term: Term) -> str:
        sign, number = SIGNS[term.op], self._number(term)
        if not number:
            return sign
        before = term.operands[0] in self.fixed and term.op in ("sub", "div", "pow")
        return f"{number} {sign}" if before else f"{sign} {number}"

    def _text(self, term: Term, members: list[Term]) -> str:
        """In the user's words, with `...` for what other parts compute."""
        if term.node.op is LOOP:
            return loop_title(loop_of(term.node))
        if term.span is None:
            return op_text(term.node)
        mine = set(members)
        outside = [d for t in members for d in self.data(t) if d not in mine and any(o.operands for o in d.operands)]
        others = [d.span for d in outside if d.span]
        return source_text(term.span, others)

    def _tip(self, term: Term) -> str:
        return tooltip(term.span, [t.with_axes(()) for t in term.node.types], "float32")
