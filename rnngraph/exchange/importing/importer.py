"""A model of another tool as the text that a person would have written, its weights, and the proof that both compute
the same."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from rnngraph.diagnostics.argument_kinds import kinds_checked
from rnngraph.diagnostics.errors import UserError
from rnngraph.diagnostics.optional import needed
from rnngraph.exchange.importing.check import Outcome, compared, said
from rnngraph.exchange.importing.description import Read
from rnngraph.exchange.importing.notes import notes
from rnngraph.exchange.importing.text import text_of, weights_of
from rnngraph.files.atomic_writes import PathLike
from rnngraph.files.safetensors import Arrays
from rnngraph.files.untrusted_files import Damaged, foreign, readable

ENDINGS = (".onnx", ".keras", ".h5", ".hdf5")


class Imported(Struct, frozen=True):
    """The text of a `.rnn` file and the weights by name; `notes` are what is to be known of the model, `checked` is how
    it was compared with the file's own, and `difference` the largest one relative to the largest output (None where
    nothing was run)."""

    text: str
    weights: Arrays
    notes: tuple[str, ...]
    checked: str
    difference: float | None


@kinds_checked
def import_model(path: PathLike) -> Imported:
    """Text and weights of the model in an `.onnx`, `.keras` or `.h5` file.

    Nothing in the file is executed. Both models are run on random data where onnxruntime or Keras is installed. Raises
    UserError with everything that the language cannot say, where the file is damaged, or where the two models differ.
    """
    readable(path)
    kind = Path(path).suffix.lower()
    if kind not in ENDINGS:
        raise UserError(
            f"`{path}` is no model that can be imported",
            "E761",
            f"models are in files that end with {', '.join(ENDINGS)}",
        )
    return _onnx(str(path)) if kind == ".onnx" else _keras(str(path))


def _onnx(path: str) -> Imported:
    with needed("onnx"):
        import onnx
    from rnngraph.exchange.importing.check_onnx import run_onnx
    from rnngraph.exchange.importing.onnx.reader import read

    with foreign(path, "an ONNX model", "E761"):
        model = onnx.load(path)
        try:
            onnx.checker.check_model(path)
        except onnx.checker.ValidationError as error:
            raise Damaged(said(error)) from error
    with foreign(path, "an ONNX model", "E761"):
        made = read(model, model_name(model.graph.name, path))
    return _finished(made, lambda data: run_onnx(path, made, data), "onnxruntime")


def _keras(path: str) -> Imported:
    from rnngraph.exchange.importing.check_keras import run_keras
    from rnngraph.exchange.importing.keras.reader import read

    with foreign(path, "a Keras model", "E761"):
        made = read(path, model_name("", path))
    return _finished(made, lambda data: run_keras(path, made, data), "keras")


def _finished(made: Read, run: Outcome, runtime: str) -> Imported:
    text, weights = text_of(made.described), weights_of(made.described)
    seen = compared(made, text, weights, run, runtime)
    return Imported(text, weights, (*notes(made), *seen.notes), seen.text, seen.difference)


_USUAL = re.compile(r"^(main_graph|torch.?jit.*|graph.*|model.*|.*export.*|functional.*|sequential.*|)$", re.IGNORECASE)


def model_name(told: str, path: str) -> str:
    """The name of the model: the file's own, if it says anything, else that of the file."""
    name = Path(path).stem if _USUAL.match(told) else told
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    made = "".join(word[0].upper() + word[1:] for word in words)
    return made if made and not made[0].isdigit() else f"Model{made}"
