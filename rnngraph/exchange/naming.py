"""How other tools name the arrays of a layer: which arrays of a file belong together, and what they are called.

A key says where a group of arrays stands: the module's name, the number of its layer, its direction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from rnngraph.exchange.places import Place, Plain
from rnngraph.learn.files import Arrays


class Key(NamedTuple):
    module: str
    number: int = 0
    reverse: bool = False

    def __str__(self) -> str:
        layer = f" layer {self.number}" if self.number else ""
        return f"`{self.module}`{layer}{' reversed' if self.reverse else ''}"


Groups = dict[Key, Arrays]
Split = Callable[[str], "tuple[Key, str] | None"]


@dataclass(frozen=True)
class Naming:
    """`split(name)` says which layer an array belongs to, and its local name there (None: to no layer);
    `group(arrays)` gives the arrays of each layer by local names; `name(place, local)` is the full name that an
    array is written under; `key(place)` is the key that such names come back with; `plain` are the local names of a
    `Dense` and an `Embedding`, ours to theirs."""

    split: Split
    group: Callable[[Arrays], Groups]
    name: Callable[[Place, str], str]
    key: Callable[[Place], Key]
    plain: Mapping[str, Mapping[str, str]]


def _gathered(arrays: Arrays, split: Split) -> Groups:
    groups: Groups = {}
    for name, array in arrays.items():
        found = split(name)
        if found is not None:
            groups.setdefault(found[0], {})[found[1]] = array
    return groups


def _module(place: Place) -> str:
    return place.module or place.name


# --- TensorFlow 1: scope/cell/kernel --------------------------------------------------------------------------------

_TF1 = re.compile(r"^(.*?)/?((?:gates|candidate|projection)/(?:kernel|bias)|[^/]+)$")


def _tf1_split(name: str) -> tuple[Key, str] | None:
    match = _TF1.match(name.removesuffix(":0"))
    return (Key(match[1]), match[2]) if match else None


def _tf1_key(place: Place) -> Key:
    """Scopes as `MultiRNNCell` and `bidirectional_dynamic_rnn` make them."""
    scope = place.module.replace(".", "/") or "rnn"
    if isinstance(place.layer, Plain):
        return Key("/".join(place.layer.path))
    cell = {"RNN": "basic_rnn_cell", "GRU": "gru_cell", "LSTM": "lstm_cell"}[place.layer.kind]
    if place.layer.path != tuple(place.module.split(".")) and place.layer.path[-1].isdigit():
        return Key(f"{scope}/multi_rnn_cell/cell_{place.number}/{cell}")
    if place.layer.path != tuple(place.module.split(".")):
        return Key(f"{scope}/{'bw' if place.reverse else 'fw'}/{cell}")
    return Key(f"{scope}/{cell}")


# --- Keras: layer/kernel --------------------------------------------------------------------------------------------

_KERAS_LOCAL = ("kernel", "recurrent_kernel", "bias", "embeddings")


def _keras_split(name: str) -> tuple[Key, str] | None:
    module, _, local = name.removesuffix(":0").replace(".", "/").rpartition("/")
    return (Key(module), local) if local in _KERAS_LOCAL else None


def _keras_key(place: Place) -> Key:
    return Key("/".join(place.layer.path))


# --- PyTorch: module.weight_ih_l0_reverse ---------------------------------------------------------------------------

_TORCH = re.compile(r"^(?:(.*)\.)?((?:weight|bias)_(?:ih|hh|hr))(?:_l(\d+))?(_reverse)?$")


def _torch_split(name: str) -> tuple[Key, str] | None:
    match = _TORCH.match(name)
    if match:
        return Key(match[1] or "", int(match[3] or 0), bool(match[4])), match[2]
    module, _, local = name.rpartition(".")
    return (Key(module), local) if local in ("weight", "bias") else None


def _torch_name(place: Place, local: str) -> str:
    if isinstance(place.layer, Plain):
        return f"{place.name}.{local}"
    return f"{_module(place)}.{local}_l{place.number}{'_reverse' if place.reverse else ''}"


def _torch_key(place: Place) -> Key:
    return Key(place.name) if isinstance(place.layer, Plain) else Key(_module(place), place.number, place.reverse)


# --- ONNX: node.W, with directions as the first dimension -----------------------------------------------------------


def _onnx_group(arrays: Arrays) -> Groups:
    """One group for each direction of a node."""
    whole = _gathered(arrays, _onnx_split)
    found: Groups = {}
    for key, local in whole.items():
        directions = len(local["W"]) if "W" in local else 1
        for i in range(directions):
            cut = {n: a[i : i + 1] if n in "WRBP" else a for n, a in local.items()}
            found[key._replace(reverse=bool(i))] = cut
    return found


def _onnx_split(name: str) -> tuple[Key, str] | None:
    module, _, local = name.rpartition(".")
    return (Key(module), local) if local in ("W", "R", "B", "P", "kernel", "bias", "table") else None


def _same(local: str) -> dict[str, str]:
    return {name: name for name in local.split()}


def _written(key: Callable[[Place], Key], mark: str) -> Callable[[Place, str], str]:
    return lambda place, local: f"{key(place).module}{mark}{local}"


def _by(split: Split) -> Callable[[Arrays], Groups]:
    return lambda arrays: _gathered(arrays, split)


NAMINGS = {
    "tf1": Naming(
        _tf1_split, _by(_tf1_split), _written(_tf1_key, "/"), _tf1_key,
        {"Dense": _same("kernel bias"), "Embedding": _same("table")},
    ),
    "keras": Naming(
        _keras_split, _by(_keras_split), _written(_keras_key, "/"), _keras_key,
        {"Dense": _same("kernel bias"), "Embedding": {"table": "embeddings"}},
    ),
    "torch": Naming(
        _torch_split, _by(_torch_split), _torch_name, _torch_key,
        {"Dense": {"kernel": "weight", "bias": "bias"}, "Embedding": {"table": "weight"}},
    ),
    "onnx": Naming(
        _onnx_split, _onnx_group, _written(lambda place: Key(place.name), "."), lambda place: Key(place.name),
        {"Dense": _same("kernel bias"), "Embedding": _same("table")},
    ),
}  # fmt: skip
