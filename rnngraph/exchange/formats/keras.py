"""Keras's files through h5py: `.keras` and `.weights.h5` of Keras 3, `.h5` of Keras 2.

Keras 3 keeps the arrays of a layer as `layers/lstm_1/cell/vars/0`, after the layer's class and its number among those
of the class; Keras 2 as `lstm_1/lstm_1/lstm_cell/kernel:0`, after its name.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from msgspec.structs import replace

from rnngraph.diagnostics.optional import needed
from rnngraph.exchange.conversion.naming import of_training
from rnngraph.exchange.formats.contents import Found, Key, Said, Says
from rnngraph.exchange.formats.keras_config import KINDS, Entry, Path, layers_of, said_of, snake_case
from rnngraph.files.safetensors import Arrays, widened
from rnngraph.files.untrusted_files import Damaged, foreign


def read(path: str) -> Found:
    """The arrays of a file by name, and what it says of its layers. UserError where it cannot be read."""
    with needed("h5py"):
        import h5py
    with foreign(path, "Keras weights", "E697"):
        source, config, version = _opened(path)
        with h5py.File(source, "r") as file:
            config, version = (config, version) if config is not None else _told(file)
            stored = _stored(h5py, file)
            titles = {n.rpartition("/")[0]: str(g.attrs["name"]) for n, g in _vars(h5py, file)}
        arrays = {name: array for name, (array, _) in stored.items() if array is not None}
        types = {name: kind for name, (array, kind) in stored.items() if kind and array is not None}
        entries = layers_of(config) if config else []
        found = named(arrays, entries or [], titles, version, types)
        other = [f"`{name}` holds no numbers" for name in stored.keys() - arrays.keys()]
        strange = [] if entries is not None else ["its configuration is in a form that is not known here"]
        return replace(found, notes=(*strange, *found.notes, *sorted(other)))


def configuration(path: str) -> tuple[Any, str]:
    """The configuration of the model in a file, None where there is none, and the version of Keras."""
    with needed("h5py"):
        import h5py
    with foreign(path, "a Keras model", "E697"):
        source, config, version = _opened(path)
        if config is not None:
            return config, version
        with h5py.File(source, "r") as file:
            return _told(file)


def _told(file: Any) -> tuple[Any, str]:
    """The configuration and the version of Keras that stand in an `.h5` file."""
    if "model_config" not in file.attrs:
        return None, ""
    told = file.attrs.get("keras_version", "")
    return json.loads(file.attrs["model_config"]), told.decode() if isinstance(told, bytes) else str(told)


def _opened(path: str) -> tuple[Any, Any, str]:
    """What h5py opens, the configuration, and the version of Keras; the last two of a `.keras` alone."""
    if not zipfile.is_zipfile(path):
        return path, None, ""
    with zipfile.ZipFile(path) as whole:
        config = json.loads(whole.read("config.json"))
        version = json.loads(whole.read("metadata.json")).get("keras_version", "")
        return io.BytesIO(whole.read("model.weights.h5")), config, version


def _stored(h5py: Any, file: Any) -> dict[str, tuple[Any, str]]:
    """Every array by path, None where it holds no numbers, and the type that NumPy has not, if it is stored so."""
    found: dict[str, tuple[Any, str]] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        kind = str(item.attrs.get("dtype", ""))
        if kind == "bfloat16":
            found[name] = widened(np.asarray(item).tobytes(), item.shape), kind
        elif item.dtype.kind in "fiub":
            found[name] = np.asarray(item), ""
        elif kind:
            raise Damaged(f"`{name}` is stored as {kind}, which NumPy cannot hold: save it as float32")
        else:
            found[name] = None, ""

    file.visititems(visit)
    return found


def _vars(h5py: Any, file: Any) -> Iterator[tuple[str, Any]]:
    """The groups of variables that tell their layer's own name."""
    groups: list[tuple[str, Any]] = []
    file.visititems(lambda name, item: groups.append((name, item)) if isinstance(item, h5py.Group) else None)
    return ((n, g) for n, g in groups if n.endswith("/vars") and "name" in g.attrs)


# --- arrays by their names ------------------------------------------------------------------------------------------

_LOCAL = {
    **dict.fromkeys(("SimpleRNN", "GRU", "LSTM"), ("kernel", "recurrent_kernel", "bias")),
    "Dense": ("kernel", "bias"),
    "Embedding": ("embeddings",),
}


def named(
    stored: Arrays, entries: list[Entry], titles: Mapping[str, str], version: str, types: Mapping[str, str]
) -> Found:
    """Arrays under `MODULE/kernel` and so on, from their paths in the file. `titles` are the names of layers that the
    file itself tells, by path."""
    arrays: Arrays = {}
    kinds: dict[str, str] = {}
    says: dict[Key, Says] = {}
    places: dict[str, str] = {}
    notes: list[str] = []
    for path, array in stored.items():
        owner, local, entry = _owner(path, stored, entries)
        module = "/".join(entry.names) if entry else _title(owner, titles)
        name = f"{module}/{local}" if module and not of_training(path, {}) else path
        name = path if name in arrays else name
        arrays[name] = array
        kinds |= {name: types[path]} if path in types else {}
        if entry and Key(module) not in says:
            says[Key(module)], beside = said_of(entry, version)
            notes += [f"`{module}`: {note}" for note in beside]
        elif kind := _class_of(owner):
            says.setdefault(Key(module), {"kind": Said(KINDS[kind], f"a `{kind}`")})
        places.setdefault(module, "/".join(entry.path) if entry else owner)
    return Found(arrays, says, places, kinds, "keras", tuple(notes))


def _owner(path: str, stored: Arrays, entries: list[Entry]) -> tuple[str, str, Entry | None]:
    """Where the layer of an array stands, the array's local name, and the layer in the configuration."""
    plain = path.replace("_layer_checkpoint_dependencies\\", "layers/").replace("\\", "/")
    owner, mark, number = plain.rpartition("/vars/")
    if not mark:
        owner, _, local = plain.removeprefix("model_weights/").rpartition("/")
        return owner, local.removesuffix(":0"), _by_names(owner, entries)
    whole = [array for name, array in stored.items() if name.rpartition("/vars/")[0] == path.rpartition("/vars/")[0]]
    entry = next((e for e in entries if "/".join(e.path) in (owner, owner.removesuffix("/cell"))), None)
    return owner, _word(owner, int(number), whole, entry), entry


def _by_names(owner: str, entries: list[Entry]) -> Entry | None:
    """The layer whose names, from the outside in, all stand in the path; the deepest of them. What Keras 2 calls
    `forward_lstm` is `forward` here."""
    words = owner.split("/")

    def is_of(name: str, word: str) -> bool:
        return name == word or (name in ("forward", "backward") and word.startswith(f"{name}_"))

    def within(names: Path) -> bool:
        rest = iter(words)
        return all(any(is_of(name, word) for word in rest) for name in names)

    found = [e for e in entries if within(e.names)] if not of_training(owner, {}) else []
    return max(found, key=lambda e: len(e.names), default=None)


def _title(owner: str, titles: Mapping[str, str]) -> str:
    """The name of a layer that no configuration tells: the file's own for it, else its path without what is always
    there."""
    parts = owner.split("/")
    told = [titles.get("/".join(parts[: i + 1]), "") for i in range(len(parts))]
    ways = {"forward_layer": "forward", "backward_layer": "backward"}
    names = [ways.get(part, name) for part, name in zip(parts, told, strict=True) if name and part != "cell"]
    if names:
        return "/".join(names)
    short = owner.removeprefix("layers/").removesuffix("/cell")
    first, _, rest = short.partition("/")
    return rest if rest.split("/")[0] == first else short


def _word(owner: str, number: int, whole: list[Any], entry: Entry | None) -> str:
    """The name of the layer's variable of this number."""
    kind = entry.kind.removesuffix("Cell") if entry else _guessed(owner, whole)
    if kind == "LayerNormalization":
        config = entry.config if entry else {}
        names = [n for n, on in (("gamma", "scale"), ("beta", "center")) if config.get(on, True)]
    else:
        names = list(_LOCAL.get(kind, ()))
    return names[number] if number < len(names) else ("matrix" if kind == "one matrix" else f"vars_{number}")


def _class_of(owner: str) -> str:
    """The class of a layer that stands among others of a model: Keras 3 calls it after its class."""
    above, _, word = owner.removesuffix("/cell").rpartition("/")
    words = {snake_case(kind): kind for kind in KINDS}
    return words.get(re.sub(r"_\d+$", "", word), "") if re.search(r"(^|/)layers$", above) else ""


def _guessed(owner: str, whole: list[Any]) -> str:
    """The kind of a layer that no configuration tells, from its place, else from its arrays."""
    if kind := _class_of(owner):
        return kind
    dims = [array.ndim for array in whole]
    if "cell" in owner.rpartition("/")[2] and len(whole) in (2, 3):
        return "LSTM"  # or another recurrent layer: their arrays have the same names
    if dims == [2]:
        return "one matrix"
    if dims == [2, 1]:
        return "Dense"
    return "LayerNormalization" if dims == [1, 1] and whole[0].shape == whole[1].shape else ""
