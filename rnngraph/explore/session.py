"""What a page shows of one model: asked for by part, of the text as it is in the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.analysis.results import Comparison
from rnngraph.api import Model
from rnngraph.check import check_source
from rnngraph.diagnostics.diagnostic import Diagnostic, in_order
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.source import Source, printable
from rnngraph.explore.comparison import comparison_json
from rnngraph.explore.costs import costs_json, way_json
from rnngraph.explore.memory import memory_json
from rnngraph.explore.stages import stages_json
from rnngraph.explore.values import Run, random_run, values_json
from rnngraph.language.elaboration.imports import load
from rnngraph.language.syntax.ast import File, Import
from rnngraph.language.syntax.parser import parse
from rnngraph.run_options import RunOptions, run_options

Json = dict[str, Any]
Tell = Callable[[str], None]

COST_STEPS, BATCH, RUN_STEPS, ROWS = 64, 32, 24, 4
"""Where the sliders of the cost begin, and how much random data a run is made of."""


class Given(Struct, frozen=True):
    """What stands beside the text: rows of data and weights, where they are told; None for random ones."""

    data: Mapping[str, Any] | None = None
    weights: Mapping[str, Any] | None = None
    told: str = ""


class Session(Struct, frozen=True, eq=False):
    """One file that is explored. Everything that is told is a function of the text, and of nothing else."""

    source: Source
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    given: Given = Given()
    flags: Mapping[str, str | None] = field(default_factory=dict)

    def page(self, tell: Tell) -> Json:
        """All parts, for a page that has no server; `tell` is told what is made now."""
        tell("the graph after every pass")
        found = self.opened(served=False)
        if found["model"] is None:
            return found
        for part in ("costs", "memory", "values"):
            tell(part)
            found[part] = self.part(part, self.source.text)[part]
        costs = found["costs"] or {"count": 0}
        for index in range(costs["count"]):
            tell(f"costs, way {index + 1} of {costs['count']}")
            if (way := self.part("way", self.source.text, index)["way"]) is not None:
                costs["ways"].append(way)
        return found

    def opened(self, served: bool) -> Json:
        """What a page begins with."""
        first = self.part("model", self.source.text)
        model, _ = self.read(self.source.text)
        title = model.block.definition if model else Path(self.source.shown).stem
        about = {"title": title, "file": self.source.shown, "text": self.source.text, "served": served}
        return {**about, **first, "costs": None, "memory": None, "values": None, "comparison": None}

    def compared(self, results: Comparison) -> Json:
        """The page of `compare`: what it found, the graph, the memory over time and the source."""
        memory = self.part("memory", self.source.text)["memory"]
        return {**self.opened(served=False), "memory": memory, "comparison": comparison_json(results)}

    def part(self, part: str, text: str, number: int = 0) -> Json:
        """One part under its name, with the diagnostics of the text. A part that cannot be made is None.

        `number` is the seed of random values, and the place of a way to run the model.
        """
        model, found = self.read(text)
        if model is None:
            return {part: None, "diagnostics": _told(found)}
        try:
            return {part: self._made(part, model, number), "diagnostics": _told(found)}
        except UserError as error:
            return {part: None, "diagnostics": _told([*found, *error.diagnostics])}

    def _made(self, part: str, model: Model, number: int) -> Json:
        if part == "model":
            return stages_json(model)
        if part == "costs":
            return costs_json(model, self.options(model), COST_STEPS, BATCH)
        if part == "way":
            return way_json(model, self.options(model), COST_STEPS, BATCH, number)
        if part == "memory":
            return memory_json(model, self.options(model), RUN_STEPS, BATCH)
        return values_json(model, self.run(model, number))

    def options(self, model: Model) -> RunOptions:
        return run_options(model, **{"dtype": None, **self.flags}, dtype_default="float32")

    def run(self, model: Model, seed: int) -> Run:
        """The data and weights that are given, and random ones where none are."""
        made = random_run(model, RUN_STEPS, ROWS, seed)
        given = self.given
        if given.data is not None:
            made = replace(made, data=_rows(model, given.data))
        if given.weights is not None:
            made = replace(made, weights=given.weights)
        return replace(made, told=given.told or made.told)

    # --- the text ----------------------------------------------------------------------------------------------

    def read(self, text: str) -> tuple[Model | None, list[Diagnostic]]:
        """The model of a text, and all that `check` says of it."""
        return _read(self, text)

    def source_of(self, text: str) -> Source:
        return replace(self.source, text=text)

    @property
    def imported(self) -> frozenset[Path]:
        """The files that the text on the disk imports: no edit makes another one be read."""
        with suppress(UserError):
            return frozenset(load(parse(self.source)).files)
        return frozenset()


@lru_cache(maxsize=8)
def _read(session: Session, text: str) -> tuple[Model | None, list[Diagnostic]]:
    source = session.source_of(text)
    try:
        file = parse(source)
    except UserError as error:
        return None, list(error.diagnostics)
    if refused := _foreign(session, file):
        return None, refused
    found = list(check_source(source).found)
    if any(d.severity == "error" for d in found):
        return None, found
    try:
        return Model(file, session.settings, session.name), found
    except UserError as error:
        return None, [*found, *(d for d in error.diagnostics if d not in found)]


def _foreign(session: Session, file: File) -> list[Diagnostic]:
    """An error for each import of a file that was not imported when the page was opened."""
    written = [item for item in file.items if isinstance(item, Import)]
    if not written:
        return []
    allowed, folder = session.imported, session.source.folder
    told = "it was not imported when the page was opened: save the file and start `explore` again"
    return [
        Diagnostic("E669", f"`{item.path}` is not read", item.span, help=told)
        for item in written
        if folder is None or _resolved(folder, item.path) not in allowed
    ]


def _resolved(folder: Path, path: str) -> Path | None:
    try:
        return (folder / path).resolve()
    except (OSError, RuntimeError, ValueError):  # too long, or links that lead round in a circle
        return None


def _rows(model: Model, data: Mapping[str, Any]) -> Json:
    """The first rows of what a run needs."""
    names = {i.name for i in model.inputs} | {s.name for s in model.states}
    names |= {f"{name}.lengths" for name in names}
    return {name: array[:ROWS] if getattr(array, "ndim", 0) else array for name, array in data.items() if name in names}


def _told(found: list[Diagnostic]) -> list[Json]:
    """As JSON, under the names that files have in a page."""
    told = [d.as_json() for d in in_order(found)]
    return [{**d, "file": printable(d["file"]) if d["file"] else None} for d in told]
