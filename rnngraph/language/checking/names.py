"""What can be said of definitions without sizes or types: names, declarations, and near-certain slips."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, MutableMapping
from typing import Any

from rnngraph.diagnostics.diagnostic import Diagnostic, Label
from rnngraph.diagnostics.source import Span
from rnngraph.diagnostics.suggestions import Hints, nearest
from rnngraph.language.builtins.registry import is_function, names
from rnngraph.language.checking.recursion import recursion
from rnngraph.language.elaboration import forms  # noqa: F401 fills the registries
from rnngraph.language.elaboration.imports import Known, Loaded, twice
from rnngraph.language.elaboration.indexing import is_new
from rnngraph.language.elaboration.initialisers import is_initialiser
from rnngraph.language.elaboration.scope import World
from rnngraph.language.syntax import ast
from rnngraph.language.syntax.ast import Definition, Statement
from rnngraph.language.syntax.traversal import statements, walk

SPECIAL = {"t", "training"}


def check(loaded: Loaded, hints: Hints) -> list[Diagnostic]:
    """Errors and warnings of the file's own definitions and the imported ones. Sizes come later."""
    found = twice((*loaded.imported, *loaded.own)) + recursion(loaded)
    for definition in (*loaded.imported, *loaded.own):
        file = definition.span.source
        found += _Body(definition, loaded.worlds[file], loaded.known[file], hints).check()
    return found


def _drawing(initial: ast.Expr | None) -> Iterator[ast.Expr]:
    """What is called behind `~`: initialisers, or what should be one."""
    for e in (initial, *(part for part in walk(initial) if is_initialiser(part))):
        yield e.function if isinstance(e, ast.Call) else e


# --- one body -------------------------------------------------------------------------------------


class _Body:
    """The names of one definition, gathered before they are judged."""

    def __init__(self, definition: Definition, world: World, brought: Known, hints: Hints) -> None:
        self.definition, self.hints = definition, hints
        self.world, self.brought = world, brought
        self.found: list[Diagnostic] = []
        self.all = list(statements(definition.body))
        self.states = {s.name: s for s in self.all if isinstance(s, ast.State)}
        self.targets = [t for s in self.all if isinstance(s, ast.Assign) for t in s.targets]
        self.read = list(self._names())

    def check(self) -> list[Diagnostic]:
        self._declared_twice(self.definition.body, ChainMap(self._given()))
        self._named_twice()
        self._unknown()
        self._primes()
        self._places()
        if not self.found:
            self._slips()
        return self.found

    def tell(self, code: str, message: str, span: Span, help: str = "", labels: tuple[Label, ...] = ()) -> None:
        severity: Any = "warning" if code.startswith("W") else "error"
        self.found.append(Diagnostic(code, message, span, labels=labels, help=help, severity=severity))

    def _names(self) -> Iterator[ast.Name]:
        """Names that are read: not initialisers, axes behind `axis =`, or words of a recipe."""
        skipped: set[int] = set()
        assigned = {t.name for t in self.targets}
        for node in walk((self.definition.settings, self.definition.body)):
            if isinstance(node, ast.Param) and node.drawn:
                skipped |= {id(head) for head in _drawing(node.initial)}
            elif isinstance(node, ast.Argument) and node.name == "axis":
                if not isinstance(node.value, ast.Name) or node.value.name not in assigned:
                    skipped.add(id(node.value))
            elif isinstance(node, ast.Index):
                skipped |= {id(i) for i in node.indices if is_new(i)}
            elif isinstance(node, ast.Options):
                skipped |= {id(n) for n in walk(node.options)}
            elif isinstance(node, ast.Name) and id(node) not in skipped:
                yield node

    def _dimensions(self) -> dict[str, Span]:
        """Names that the types of inputs bring, and where."""
        if self.definition.kind == "model":
            return {}
        sizes = [e for s in self.all if isinstance(s, ast.Input) for e in s.type.sizes]
        return {e.name: e.span for e in reversed(sizes) if isinstance(e, ast.Name)}

    def _local(self) -> set[str]:
        """Names that the body itself gives a meaning."""
        declared = {s.name for s in self.all if isinstance(s, (ast.Input, ast.State, ast.Param, ast.For))}
        settings = {s.name for s in self.definition.settings}
        local = {t.name for t in self.targets}
        counts = {g.name for g in walk(self.definition.body) if isinstance(g, ast.Gathered)}
        return {*declared, *settings, *local, *counts, *self._dimensions()}

    # --- errors ------------------------------------------------------------------------------------------

    def _given(self) -> dict[str, Span]:
        """The settings, each told where its name comes twice, and the sizes that inputs bring."""
        seen: dict[str, Span] = {}
        for s in self.definition.settings:
            self._declare(s.name, s.span, seen)
        return {**self._dimensions(), **seen}

    def _declare(self, name: str, at: Span, seen: MutableMapping[str, Span]) -> None:
        if name in seen:
            self.tell("E103", f"`{name}` is declared twice", at, labels=(Label(seen[name], "first declared here"),))
        seen[name] = at

    def _declared_twice(self, body: tuple[Statement, ...], outer: ChainMap[str, Span]) -> None:
        """In one block or in one around it; the two branches of an `if` may declare the same."""
        seen = outer.new_child()
        for s in body:
            if isinstance(s, (ast.Input, ast.State, ast.Param)):
                self._declare(s.name, s.name_span, seen)
        for s in body:
            for g in () if isinstance(s, (ast.For, ast.If)) else walk(s):
                if isinstance(g, ast.Gathered):
                    self._declare(g.name, g.name_span, seen.new_child())
            if isinstance(s, ast.For):
                inner = seen.new_child()
                self._declare(s.name, s.name_span, inner)
                self._declared_twice(s.body, inner)
            elif isinstance(s, ast.If):
                self._declared_twice(s.body, seen)
                self._declared_twice(s.orelse, seen)

    def _named_twice(self) -> None:
        """`a, a = ...`: only the second would be left."""
        for s in self.all:
            seen: dict[str, Span] = {}
            for target in s.targets if isinstance(s, ast.Assign) else ():
                if target.name != "_" and not target.primed:
                    self._declare(target.name, target.span, seen)

    def _unknown(self) -> None:
        local = self._local()

        def known() -> set[str]:
            return {*local, *self.world, *names(), *SPECIAL}

        for name in self.read:
            if name.name in local:
                continue
            if len(self.brought.get(name.name, ())) > 1:
                self._brought_twice(name)
            if not name.primed and not (name.name in self.world or is_function(name.name) or name.name in SPECIAL):
                hint = self.hints.of(name.name, known, id(self.definition))
                self.tell("E101", f"there is no `{name.name}` here", name.span, hint)

    def _brought_twice(self, name: ast.Name) -> None:
        """A definition that two imports bring, where it is named and this file has none of its own."""
        found = self.brought[name.name]
        labels = tuple(Label(d.name_span, "one is defined here") for d in found[:2])
        help = f"rename one of them, or define `{name.name}` in this file"
        self.tell("E103", f"`{name.name}` comes from two imports", name.span, help, labels)

    def _primes(self) -> None:
        """`h'` belongs to a state, and every state has one; a state that was misspelt is not told again."""
        primed: list[ast.Name | ast.Target] = [n for n in self.read if n.primed]
        primed += [t for t in self.targets if t.primed]
        given = {t.name for t in self.targets if t.primed}
        meant: set[str] = set()
        for name in primed:
            if name.name not in self.states:
                hint = self.hints.of(name.name, lambda: self.states, ("state", id(self.definition)))
                meant |= {nearest(name.name, self.states)} if hint else set()
                self.tell(
                    "E106",
                    f"`{name.name}'` is the next value of a state, but there is no state `{name.name}`",
                    name.span,
                    self._no_prime(name.name, hint),
                )
        for state in self.states.values():
            if state.name not in given and state.name not in meant:
                self.tell(
                    "E302",
                    f"the state `{state.name}` has no next value",
                    state.name_span,
                    f"write `{state.name}' = ...`",
                )

    def _no_prime(self, name: str, hint: str) -> str:
        """What was probably meant by `h'`."""
        if any(isinstance(s, ast.Param) and s.name == name for s in self.all):
            return f"the transpose of a matrix is `{name}.T`"
        return f"{hint[:-2]}'`?" if hint.endswith("`?") else hint or f"declare it: `state {name}: [...]`"

    def _places(self) -> None:
        """Statements that stand where they mean nothing."""
        kind, title, model = self.definition.kind, self.definition.name, self.definition.kind == "model"
        top = {id(s) for s in self.definition.body}
        for s in self.all:
            if isinstance(s, (ast.Loss, ast.Metric, ast.Options)) and not model:
                word = type(s).__name__.lower() if not isinstance(s, ast.Options) else s.kind
                self.tell("E311", f"`{word}` belongs to a model, but `{title}` is a {kind}", s.span)
            elif isinstance(s, ast.Input) and s.type.anything and model:
                help = f"write `input {s.name}: [3]`, or `seq[3]` for a sequence"
                self.tell("E311", f"the input `{s.name}` of a model needs a type", s.span, help)
            elif isinstance(s, ast.State) and model:
                self.tell("E311", "a model has no states of its own", s.span, "write a `cell` and `unroll` it")
            elif isinstance(s, ast.Stop) and kind != "cell":
                self.tell("E311", f"`stop` ends the steps of a cell, but `{title}` is a {kind}", s.span)
            elif isinstance(s, ast.Input) and id(s) not in top:
                self.tell("E311", "an input cannot depend on a `for` or `if`", s.span, "declare it at the top")
        gives = (ast.Output, ast.Loss, ast.Metric) if model else (ast.Output,)
        if not any(isinstance(s, gives) for s in self.all) and not (self.states and kind == "cell"):
            self.tell("E307", f"the {kind} `{title}` has no output", self.definition.name_span, "write `output ...`")

    # --- warnings ------------------------------------------------------------------------------------------

    def _slips(self) -> None:
        old = {n.name for n in self.read if not n.primed} | {t.name for t in self.targets if t.indices}
        for s in self.all:
            if isinstance(s, (ast.Input, ast.Param)) and s.name not in old:
                word = "input" if isinstance(s, ast.Input) else "parameter"
                self.tell("W401", f"nothing reads the {word} `{s.name}`", s.name_span)
            elif isinstance(s, ast.State) and s.name not in old and self.definition.kind != "model":
                self.tell(
                    "W403",
                    f"nothing reads the state `{s.name}`: a step does not depend on the step before it",
                    s.name_span,
                    f"its value from the step before is `{s.name}`",
                )
            elif isinstance(s, ast.Assign):
                self._unused_targets(s, old)
        if self.definition.kind == "cell":
            self._weights_alone()

    def _unused_targets(self, s: ast.Assign, old: set[str]) -> None:
        stateful = isinstance(s.value, (ast.Unroll, ast.FromStates)) and len(s.targets) > 1
        wanted = s.targets[:-1] if stateful else s.targets
        for target in wanted:
            if not target.primed and target.name not in old and not target.name.startswith("_"):
                help = "`_` stands for a value that is not used" if len(s.targets) > 1 else ""
                self.tell("W402", f"nothing reads `{target.name}`", target.span, help)

    def _weights_alone(self) -> None:
        weights = {s.name for s in self.all if isinstance(s, ast.Param)}
        for node in walk(self.definition.body):
            if (
                isinstance(node, ast.Binary)
                and node.operator == "@"
                and all(isinstance(side, ast.Name) and side.name in weights for side in (node.left, node.right))
            ):
                self.tell(
                    "W404",
                    f"`{node.span.text}` multiplies only weights: it is the same at every step",
                    node.span,
                    "a step usually multiplies an input or a state by a weight",
                )
