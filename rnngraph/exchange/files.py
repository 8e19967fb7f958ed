"""Files of weights of other tools, read without running anything that is in them.

safetensors and `.npz` (no pickles) as they are; Keras's `.weights.h5` and `.keras` through h5py; the operators of an
`.onnx` file through onnx. PyTorch's `.pt` and TensorFlow's checkpoints are refused with the way to convert them: the
first is a pickle, which can run any code, the second needs TensorFlow itself.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from rnngraph.diagnostics import CannotDo, UserError
from rnngraph.exchange.onnx_export import needed
from rnngraph.learn.files import Arrays, readable
from rnngraph.learn.weights import load_weights

_PICKLED = (
    "import torch; from safetensors.torch import save_file; "
    "save_file({{k: v.contiguous() for k, v in torch.load('{0}', weights_only=True).items()}}, '{1}')"
)


def read(path: str) -> Arrays:
    """The arrays of a file by name. Raises CannotDo where it cannot be read, UserError where it is not to be."""
    readable(path)
    kind = Path(path).name.lower()
    if kind.endswith((".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle")):
        raise UserError(
            f"`{path}` may be a pickle, and reading one runs whatever code is in it",
            "E696",
            "where PyTorch is installed and the file is trusted, write its state_dict as safetensors: "
            f'`python -c "{_PICKLED.format(path, Path(path).with_suffix(".safetensors"))}"`',
        )
    if kind.endswith((".index", ".meta")) or ".data-" in kind:
        raise UserError(
            f"`{path}` is part of a TensorFlow checkpoint",
            "E696",
            "write its variables as .npz where TensorFlow is installed: `r = tf.train.load_checkpoint(PREFIX); "
            "np.savez('weights.npz', **{n: r.get_tensor(n) for n in r.get_variable_to_shape_map()})`",
        )
    if kind.endswith(".npz"):
        return _npz(path)
    if kind.endswith((".h5", ".hdf5", ".keras")):
        return _keras(path)
    return _onnx(path) if kind.endswith(".onnx") else load_weights(path)


def _npz(path: str) -> Arrays:
    try:
        with open(path, "rb") as content, np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise UserError(f"`{path}` cannot be read as .npz: {error}", "E697") from error


# --- Keras ----------------------------------------------------------------------------------------------------------


def _keras(path: str) -> Arrays:
    with needed("h5py"):
        import h5py
    try:
        source: Any = path
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as whole:
                source = io.BytesIO(whole.read("model.weights.h5"))
        with h5py.File(source, "r") as file:
            found: dict[str, Any] = {}
            file.visititems(lambda name, item: _dataset(h5py, name, item, found))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"`{path}` cannot be read as Keras weights: {error}", "E697") from error
    return keras_names(found)


def _dataset(h5py: Any, name: str, item: Any, found: dict[str, Any]) -> None:
    if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu" and not name.startswith("optimizer"):
        found[name] = np.asarray(item)


def keras_names(found: Arrays) -> Arrays:
    """Keras 3 numbers the arrays of a layer (`layers/lstm/cell/vars/0`); these are their names (`lstm/kernel`)."""
    layers: dict[str, Arrays] = {}
    named: Arrays = {}
    for name, array in found.items():
        layer, mark, number = name.rpartition("/vars/")
        if mark:
            layers.setdefault(layer, {})[number] = array
        else:
            named[name] = array
    for layer, variables in layers.items():
        order = [variables[n] for n in sorted(variables, key=int)]
        words = _words(layer, order)
        module = layer.removeprefix("layers/").removesuffix("/cell")
        named |= {f"{module}/{word}": array for word, array in zip(words, order, strict=True)}
    return named


def _words(layer: str, arrays: list[Any]) -> list[str]:
    cell = "cell" in layer.rpartition("/")[2]
    if cell and len(arrays) in (2, 3):
        return ["kernel", "recurrent_kernel", "bias"][: len(arrays)]
    if len(arrays) == 1 and arrays[0].ndim == 2:
        return ["embeddings"]
    plain = len(arrays) == 2 and [a.ndim for a in arrays] == [2, 1]
    return ["kernel", "bias"] if plain else [f"vars_{i}" for i in range(len(arrays))]


# --- ONNX -----------------------------------------------------------------------------------------------------------


def _onnx(path: str) -> Arrays:
    """The constant W, R, B and P of each LSTM, GRU and RNN of an ONNX model, as `NODE.W`."""
    with needed("onnx"):
        import onnx
        from onnx import numpy_helper
    try:
        graph = onnx.load(path).graph
    except Exception as error:  # whatever protobuf's own classes are in the installed release
        raise UserError(f"`{path}` cannot be read as ONNX: {error}", "E697") from error
    constants = {t.name: t for t in graph.initializer}
    found: Arrays = {}
    for i, node in enumerate(n for n in graph.node if n.op_type in ("LSTM", "GRU", "RNN")):
        name = node.name or f"{node.op_type.lower()}_{i}"
        for place, local in ((1, "W"), (2, "R"), (3, "B"), (7, "P")):
            if len(node.input) > place and node.input[place] in constants:
                found[f"{name}.{local}"] = numpy_helper.to_array(constants[node.input[place]])
    if not found:
        raise CannotDo(f"`{path}` has no LSTM, GRU or RNN with constant weights", "E697")
    return found
