"""What a trained model says of data: its outputs in the user's units, with ids and dates beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from rnngraph.compiled import CompiledProgram
from rnngraph.data.dataset import Named, made_of
from rnngraph.data.lengths import LENGTHS
from rnngraph.data.preprocessing import Recipe, recipe_in
from rnngraph.data.result_tables import apart, table_rows
from rnngraph.data.shape_checks import steps_of
from rnngraph.diagnostics.errors import UserError
from rnngraph.files.atomic_writes import PathLike
from rnngraph.files.dataframes import frame
from rnngraph.files.results import Rows, columns_of, write_results
from rnngraph.ir.types import BATCH
from rnngraph.model import Model
from rnngraph.run_options import RunOptions
from rnngraph.training import batches
from rnngraph.training.batch_rows import told_by
from rnngraph.training.evaluation import EVALUATED
from rnngraph.training.metric_accumulation import adds_up, draws

Array = NDArray[Any]


@dataclass(frozen=True, repr=False)
class Predictions(Named):
    """The outputs of a model by name, batch first.

    `scaled` are those that stand in the scale of standardised columns still, as the loss compares them with none.
    `rows` says which of them make one table, and what stands beside its rows.
    """

    arrays: Mapping[str, Array]
    rows: Rows
    scaled: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Predictions {', '.join(f'{name} {list(array.shape)}' for name, array in self.arrays.items())}>"

    def to_frame(self) -> Any:
        """Those that make one table as a pandas DataFrame, with ids, dates or numbers of rows beside them."""
        return frame(columns_of(self.arrays, self.rows))

    def save(self, path: PathLike) -> tuple[str, ...]:
        """Writes them as .csv (what makes one table), .npz, .json or .safetensors; the names of those in the file."""
        return write_results(path, self.arrays, self.rows)


def predict(model: Model, data: Mapping[str, Any], weights: Mapping[str, Any], options: RunOptions) -> Predictions:
    """The outputs of a model for all rows of data, a part of them at a time.

    What the loss compares with a standardised column is given back in that column's units, if the data are of a table.
    UserError where the model has no output with a value for each row.
    """
    names = tuple(n for n in model.outputs if BATCH in model.graph.outputs[n].type.axes)
    if not names:
        raise UserError("the model has no output with a value for each row", "E627", "add `output y` to it")
    program = options.compiled(model, steps_of(model.inputs, data), outputs=names).telling_own_steps()
    given = _with_lengths(_read_by(program, data), data, program)
    program.check(given)
    arrays, own = apart(_in_parts(program, given, weights))
    recipe = _recipe(data)
    scaled = recipe is not None and bool(recipe.scaling)
    units = {n: scaling_of(model, n, recipe) for n in names} if recipe and scaled else {}
    plain = {n: _unscaled(a, units.get(n)) for n, a in arrays.items()}
    left = [n for n in names if scaled and units.get(n) is None and model.graph.outputs[n].type.dtype == "float"]
    rows = replace(table_rows(model.graph, model.inputs, data, plain, own), words=_words(model, recipe))
    return Predictions(plain, rows, tuple(left))


def _words(model: Model, recipe: Recipe | None) -> dict[str, tuple[str, ...]]:
    """Of each output that says a class of a column of words, the words; of a class beyond them its number."""
    columns = {n: recipe.columns.get(target, ()) for n, target in model.roles.classes.items()} if recipe else {}
    known = {n: recipe.classes.get(c[0], ()) for n, c in columns.items() if len(c) == 1} if recipe else {}
    return {n: (*w, *map(str, range(len(w), _choices(model, n)))) for n, w in known.items() if w}


def _choices(model: Model, output: str) -> int:
    """How many classes an argmax chooses from."""
    value = model.graph.outputs[output]
    while value.op.name != "argmax":
        value = value.node.inputs[0]
    return value.node.inputs[0].type.shape[-1]


def _read_by(program: CompiledProgram, data: Mapping[str, Any]) -> dict[str, Any]:
    """What is for what is computed; all of it where that reads none of the data but has as many rows."""
    mine = {name: array for name, array in data.items() if _belongs(name, program)}
    return mine if any(np.ndim(array) for array in mine.values()) else dict(data)


def _belongs(name: str, program: CompiledProgram) -> bool:
    """Whether something that is given is for what is computed: targets are not."""
    known = {i.name for i in program.made.inputs}
    plain = name.removesuffix(LENGTHS)
    return plain not in known or plain in program.read


def _with_lengths(given: dict[str, Any], data: Mapping[str, Any], program: CompiledProgram) -> dict[str, Any]:
    """What is given, with lengths that only a target has: they are those of all that runs along its axes."""
    told = {i.axes: data[i.name + LENGTHS] for i in program.made.inputs if i.axes and i.name + LENGTHS in data}
    read = [i for i in program.made.inputs if i.name in given and i.axes in told]
    return {**{i.name + LENGTHS: told[i.axes] for i in read}, **given}


def _in_parts(program: CompiledProgram, data: Mapping[str, Any], weights: Mapping[str, Any]) -> Mapping[str, Array]:
    if not any(np.ndim(array) for array in data.values()):
        return program.run(data, weights)
    parts: list[Mapping[str, Array]] = []
    count = batches.row_count(data)
    for rows in batches.chunks(count, count if _together(program) else EVALUATED):
        with told_by(rows, "the data"):
            parts.append(program.run(batches.take(data, rows), weights))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _together(program: CompiledProgram) -> bool:
    """Whether what is found for a row depends on the others, or on its number."""
    return any(adds_up(node) or draws(node) for node in program.made.graph.nodes())


def _recipe(data: Mapping[str, Any]) -> Recipe | None:
    """How the table was read that the data come from. Arrays that were made otherwise are what they are."""
    return recipe_in(made_of(data))


def scaling_of(model: Model, output: str, recipe: Recipe) -> tuple[Array, Array] | None:
    """Mean and deviation of each value of an output, or of all of them; None where none are known."""
    shape = model.graph.outputs[output].type.shape
    known = [s for i in model.inputs if i.name == model.roles.units.get(output) for s in recipe.scaling_of(i)]
    if not known or len(known) not in (1, int(np.prod(shape))):
        return None
    mean, deviation = np.array(known).T
    return (mean, deviation) if len(known) == 1 else (mean.reshape(shape), deviation.reshape(shape))


def _unscaled(array: Array, scaling: tuple[Array, Array] | None) -> Array:
    """In float64: of large numbers, float32 would lose what tells them apart."""
    return array if scaling is None else array.astype(np.float64) * scaling[1] + scaling[0]
