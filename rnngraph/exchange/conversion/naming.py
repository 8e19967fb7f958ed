"""How other tools name the arrays of a layer: which arrays of a file belong together, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from rnngraph.exchange.conversion.layers import Place, Plain
from rnngraph.exchange.formats.contents import RECURRENT, Found, Key, Said, Says
from rnngraph.files.safetensors import Arrays


class Module(Struct, frozen=True):
    """The arrays of one layer of a file by local names, their names in the file, what the file says of the layer,
    and a path whose numbers tell where it comes among layers that are named alike."""

    arrays: Arrays
    names: Mapping[str, str]
    says: Says = field(default_factory=dict)
    place: str = ""


Groups = dict[Key, Module]
Split = Callable[[str], "tuple[Key, str] | None"]


class Naming(Struct, frozen=True):
    """`split(name)` says which layer an array belongs to, and its local name there (None: to no layer);
    `group(found)` gives the layers of a file; `name(place, local)` is the full name that an array is written under,
    `key(place)` the key that such names come back with."""

    split: Split
    group: Callable[[Found], Groups]
    name: Callable[[Place, str], str]
    key: Callable[[Place], Key]


def _gathered(found: Found, split: Split) -> Groups:
    arrays: dict[Key, Arrays] = {}
    names: dict[Key, dict[str, str]] = {}
    for name, array in found.arrays.items():
        part = None if of_training(name, found.arrays) else split(name)
        if part is not None:
            arrays.setdefault(part[0], {})[part[1]] = array
            names.setdefault(part[0], {})[part[1]] = name
    return {
        key: Module(local, names[key], found.says.get(key, {}), found.places.get(key.module, key.module))
        for key, local in arrays.items()
    }


_STATE = re.compile(r"(^|/)(optimizer|optimizer_weights)(/|$)|/\.OPTIMIZER_SLOT/|^optimizer\.")


def of_training(name: str, arrays: Mapping[str, object]) -> bool:
    """Whether an array is the state of an optimiser: Adam's `m` has the shape and the path of the weight it is for, and
    TensorFlow 1 calls it `kernel/Adam`, after the weight `kernel`."""
    return bool(_STATE.search(name)) or name.removesuffix(":0").rpartition("/")[0] in arrays


def _module(place: Place) -> str:
    return place.module or place.name


# --- TensorFlow 1: scope/cell/kernel --------------------------------------------------------------------------------

_TF1_CELL = re.compile(
    r"^(?:(.*?)/)?((?:(?:gates|candidate(?:/(?:input|hidden)_projection)?|projection)/)?)(kernel|bias|weights|biases)$"
)
_TF1_DIAGONAL = re.compile(r"^(?:(.*?)[/_])?(w_[ifo]_diag)$", re.IGNORECASE)
_TF1_OLD = re.compile(r"^(.*?)(?:/(Gates|Candidate))?/Linear/(Matrix|Bias)$")
_TF1_LOCAL = {
    **dict.fromkeys(("kernel", "weights", "weight", "matrix", "w", "w_0"), "kernel"),
    **dict.fromkeys(("bias", "biases", "b"), "bias"),
    "w_p_0": "projection/kernel", "table": "table", "gamma": "gamma", "beta": "beta",
}  # fmt: skip
_TF1_PLAIN = re.compile(rf"^(?:(.*?)[/_])?({'|'.join(_TF1_LOCAL)})$", re.IGNORECASE)


def _tf1_split(name: str) -> tuple[Key, str] | None:
    """`weights` and `biases` are of before 1.2, `Linear/Matrix` and `W_0` of before 1.0; `softmax_w`, `softmax_b` are
    a pair. An array of any other name stands alone: it may be a table."""
    plain = name.removesuffix(":0")
    if match := _TF1_OLD.match(plain):
        gate = f"{match[2].lower()}/" if match[2] else ""
        return Key(match[1]), gate + _TF1_LOCAL[match[3].lower()]
    if match := _TF1_CELL.match(plain):
        return Key(match[1] or ""), match[2] + _TF1_LOCAL[match[3]]
    if match := _TF1_DIAGONAL.match(plain):
        return Key(match[1] or ""), match[2].lower()
    if match := _TF1_PLAIN.match(plain):
        return Key(match[1] or ""), _TF1_LOCAL[match[2].lower()]
    return Key(plain), "table"


_TF1_KINDS = {
    **dict.fromkeys(("basic_rnn_cell", "rnn_cell"), "RNN"),
    **dict.fromkeys(("gru_cell", "gru_block_cell", "gru_block_cell_v2", "cudnn_compatible_gru_cell"), "GRU"),
    **dict.fromkeys(
        ("basic_lstm_cell", "lstm_cell", "lstm_block_cell", "lstm_fused_cell", "cudnn_compatible_lstm_cell"), "LSTM"
    ),
}


def _tf1_group(found: Found) -> Groups:
    """The last scope of a cell is its class, unless the user named it otherwise; what is called a cell is one."""
    return {
        key: replace(module, says={**_tf1_says(key.module), **module.says})
        for key, module in _gathered(found, _tf1_split).items()
    }


def _tf1_says(module: str) -> Says:
    """What the scopes of a cell say: its class, and its direction (`fw` and `bw` of `bidirectional_dynamic_rnn`)."""
    *above, scope = module.split("/")
    ways = [Said(name == "bw", f"`{name}` in its name") for name in above if name in ("fw", "bw")]
    way = {"reverse": ways[-1]} if ways else {}
    word = re.sub(r"_\d+$", "", re.sub("([a-z])([A-Z])", r"\1_\2", scope).lower())
    if not word.endswith("cell"):
        return {}
    kind = {"kind": Said(_TF1_KINDS.get(word, RECURRENT), f"a `{scope}`"), **way}
    if word == "cudnn_compatible_lstm_cell":
        return {**kind, "forget_bias": Said(0.0, "cudnn_compatible_lstm_cell, which adds no forget bias")}
    return kind


def _tf1_key(place: Place) -> Key:
    """Scopes as `MultiRNNCell` and `bidirectional_dynamic_rnn` make them."""
    scope = place.module.replace(".", "/") or "rnn"
    if isinstance(place.layer, Plain):
        return Key("/".join(place.layer.path))
    cell = {"RNN": "basic_rnn_cell", "GRU": "gru_cell", "LSTM": "lstm_cell"}[place.layer.kind]
    if place.layer.options.get("reset_after"):
        cell = "cudnn_compatible_gru_cell"
    if place.layer.path != tuple(place.module.split(".")) and place.layer.path[-1].isdigit():
        return Key(f"{scope}/multi_rnn_cell/cell_{place.number}/{cell}")
    if place.layer.path != tuple(place.module.split(".")):
        return Key(f"{scope}/{'bw' if place.reverse else 'fw'}/{cell}")
    return Key(f"{scope}/{cell}")


# --- Keras: layer/kernel --------------------------------------------------------------------------------------------

_KERAS_LOCAL = ("kernel", "recurrent_kernel", "bias", "embeddings", "gamma", "beta", "matrix")
VARIABLE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""What TensorFlow 2 puts behind the name of a variable in a checkpoint."""


def _keras_split(name: str) -> tuple[Key, str] | None:
    plain = name.removesuffix(VARIABLE).removesuffix(":0").replace(".", "/")
    module, _, local = plain.rpartition("/")
    return (Key(module.removesuffix("/cell")), local.lstrip("_")) if local.lstrip("_") in _KERAS_LOCAL else None


def _keras_key(place: Place) -> Key:
    return Key("/".join(place.layer.path))


# --- PyTorch: module.weight_ih_l0_reverse ---------------------------------------------------------------------------

_TORCH = re.compile(r"^(?:(.*)\.)?((?:weight|bias)_(?:ih|hh|hr))(?:_l(\d+))?(_reverse)?$")


def _torch_split(name: str) -> tuple[Key, str] | None:
    match = _TORCH.match(name)
    if match:
        return Key(match[1] or "", int(match[3] or 0), bool(match[4])), match[2]
    module, _, local = name.rpartition(".")
    return Key(module), local


def _torch_group(found: Found) -> Groups:
    """Of a module in two directions the names say which is which; one in one direction may have been fed either way."""
    groups = _gathered(found, _torch_split)
    both = {key.module for key in groups if key.reverse}
    names = {False: "no `_reverse` in its names, beside others with it", True: "`_reverse` in its names"}
    return {
        key: replace(module, says={"reverse": Said(key.reverse, names[key.reverse])}) if key.module in both else module
        for key, module in groups.items()
    }


def _torch_name(place: Place, local: str) -> str:
    if isinstance(place.layer, Plain):
        return f"{place.name}.{local}"
    key = _torch_key(place)
    return f"{key.module}.{local}_l{key.number}{'_reverse' if key.reverse else ''}"


def _torch_key(place: Place) -> Key:
    if isinstance(place.layer, Plain):
        return Key(place.name)
    return Key(place.run, place.depth, place.reverse) if place.run else Key(_module(place), place.number, place.reverse)


# --- ONNX: node.W, with directions as the first dimension -----------------------------------------------------------


def _onnx_group(found: Found) -> Groups:
    """One group for each direction of a node."""
    groups: Groups = {}
    for key, module in _gathered(found, _onnx_split).items():
        local = module.arrays
        for i in range(len(local["W"]) if "W" in local else 1):
            cut = {n: a[i : i + 1] if n in "WRBP" else a for n, a in local.items()}
            one = key._replace(reverse=bool(i))
            groups[one] = Module(cut, module.names, found.says.get(one, {}), module.place)
    return groups


_ONNX_LOCAL = ("W", "R", "B", "P", "kernel", "bias", "table", "gain", "offset")


def _onnx_split(name: str) -> tuple[Key, str] | None:
    module, _, local = name.rpartition(".")
    return (Key(module), local) if local in _ONNX_LOCAL else None


def _onnx_key(place: Place) -> Key:
    return Key(place.name)


def _written(key: Callable[[Place], Key], mark: str) -> Callable[[Place, str], str]:
    return lambda place, local: f"{key(place).module}{mark}{local}"


def _by(split: Split) -> Callable[[Found], Groups]:
    return lambda found: _gathered(found, split)


NAMINGS = {
    "tf1": Naming(_tf1_split, _tf1_group, _written(_tf1_key, "/"), _tf1_key),
    "keras": Naming(_keras_split, _by(_keras_split), _written(_keras_key, "/"), _keras_key),
    "torch": Naming(_torch_split, _torch_group, _torch_name, _torch_key),
    "onnx": Naming(_onnx_split, _onnx_group, _written(_onnx_key, "."), _onnx_key),
}
