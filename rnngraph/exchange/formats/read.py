"""Files of weights of other tools, read without running anything that is in them.

safetensors and `.npz` (no pickles) as they are; TensorFlow's checkpoints (`tensorflow_files`); Keras's files through
h5py (`keras_files`); the layers of an `.onnx` file through onnx (`onnx_files`). Pickles, such as PyTorch's `.pt`, are
refused with the command that makes another file of them (`pickles`).
"""

from __future__ import annotations

from pathlib import Path

from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.formats import keras, onnx, pickles, tensorflow
from rnngraph.exchange.formats.contents import Found
from rnngraph.files.archives import read_npz
from rnngraph.files.safetensors import read_tensors, tensor_types, widened
from rnngraph.files.untrusted_files import foreign, readable
from rnngraph.weights.save_load import best_weights


def read(path: str) -> Found:
    """The arrays of a file by name, and what it says of them. Raises CannotDo where it cannot be read, UserError where
    it is not to be."""
    if (prefix := tensorflow.prefix_of(path)) is not None:
        return tensorflow.read(prefix)
    readable(path)
    kind = Path(path).name.lower()
    if kind.endswith((".index", ".meta")) or ".data-" in kind:
        raise UserError(
            f"`{path}` is part of a TensorFlow checkpoint, and its `.index` is not beside it",
            "E697",
            "give the checkpoint by its prefix, as `model.ckpt`, with all of its files in one folder",
        )
    if tensorflow.is_of_one_file(path):
        raise UserError(
            f"`{path}` is a TensorFlow checkpoint in the form of before 0.12", "E697", tensorflow.advice(path)
        )
    if kind.endswith(pickles.ENDINGS):
        with foreign(path, "weights", "E697"):
            raise pickles.refusal(path)
    if kind.endswith(".npz"):
        return _npz(path)
    if kind.endswith((".h5", ".hdf5", ".keras")):
        return keras.read(path)
    return onnx.read(path) if kind.endswith(".onnx") else _safetensors(path)


def _npz(path: str) -> Found:
    arrays = read_npz(path, "E697")
    halves = [name for name, array in arrays.items() if array.dtype == "V2"]  # what NumPy makes of bfloat16
    wide = {name: widened(arrays[name].tobytes(), arrays[name].shape) for name in halves}
    return Found(arrays | wide, types=dict.fromkeys(halves, "bfloat16"))


def _safetensors(path: str) -> Found:
    """PyTorch keeps a tied weight once, and notes the other name that it had."""
    arrays, texts = read_tensors(path)
    arrays = best_weights(arrays, texts)
    tied = {name: other for name, other in texts.items() if other in arrays and name not in arrays}
    notes = tuple(f"`{name}` is tied to `{other}`" for name, other in tied.items())
    return Found(arrays | {n: arrays[other] for n, other in tied.items()}, types=tensor_types(path), notes=notes)
