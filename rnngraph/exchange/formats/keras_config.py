"""What the configuration of a Keras model says of its layers, and where Keras keeps the arrays of each.

The configuration is a tree of layers, walked here in the order in which Keras counts them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from rnngraph.exchange.formats.contents import Said, Says
from rnngraph.exchange.recognise import HARD

Path = tuple[str, ...]
KINDS = {"SimpleRNN": "RNN", "GRU": "GRU", "LSTM": "LSTM", "CuDNNGRU": "GRU", "CuDNNLSTM": "LSTM", "Dense": "Dense",
          "Embedding": "Embedding", "LayerNormalization": "LayerNorm"}  # fmt: skip
"""Keras's classes of layers that others have too, and what they are here."""


class Entry(Struct, frozen=True):
    """A layer of the configuration: the path of its arrays in Keras 3, the names around it and its own, its class,
    what it was made with."""

    path: Path
    names: Path
    kind: str
    config: Mapping[str, Any]


def layers_of(config: Mapping[str, Any]) -> list[Entry] | None:
    """The layers of a model, those inside of others too; None where its configuration has another form than Keras's."""
    try:
        return [entry for entry in _entries(config) if entry.path]
    except (AttributeError, KeyError, TypeError):
        return None


def _entries(node: Mapping[str, Any], path: Path = (), names: Path = ()) -> Iterator[Entry]:
    """The layers of a model or layer, those inside of others too."""
    config = node["config"]
    layers = config if isinstance(config, list) else config.get("layers")
    if layers is not None:  # a model; of old, a Sequential was a list
        yield from _in_order(layers, (*path, "layers"), names)
    elif node["class_name"] == "Bidirectional":
        yield from _both_ways(config, path, names)
    elif "cell" in config:
        yield from _around_cell(config, path, names)
    elif "layer" in config:  # TimeDistributed and its like
        yield from _entries(config["layer"], (*path, "layer"), names)
    else:
        yield Entry(path, names, node["class_name"], config)


def _in_order(nodes: Any, path: Path, names: Path) -> Iterator[Entry]:
    """Nodes side by side: each is called after its class, the next of a class with a number."""
    seen = Counter[str]()
    for node in nodes:
        word = snake_case(node["class_name"])
        own = f"{word}_{seen[word]}" if seen[word] else word
        seen[word] += 1
        yield from _entries(node, (*path, own), (*names, _name(node)))


def _name(node: Mapping[str, Any]) -> str:
    config = node["config"]
    return str((config.get("name") if isinstance(config, dict) else None) or node.get("name") or node["class_name"])


def _both_ways(config: Mapping[str, Any], path: Path, names: Path) -> Iterator[Entry]:
    forward = config["layer"]
    turned = {**forward["config"], "go_backwards": not forward["config"].get("go_backwards", False)}
    backward = config.get("backward_layer") or {**forward, "config": turned}
    merged = {"merge_mode": config.get("merge_mode", "concat")}
    for word, node in (("forward", forward), ("backward", backward)):
        inner = {**node, "config": {**node["config"], **merged}}
        yield from _entries(inner, (*path, f"{word}_layer"), (*names, word))


def _around_cell(config: Mapping[str, Any], path: Path, names: Path) -> Iterator[Entry]:
    """A layer `RNN` around a cell, or around several in a stack."""
    outer = {name: config[name] for name in ("go_backwards", "stateful", "merge_mode") if name in config}
    cell = config["cell"]
    inside = cell["config"].get("cells")
    if inside is None:
        yield Entry((*path, "cell"), names, cell["class_name"], {**cell["config"], **outer})
        return
    for entry in _in_order(inside, (*path, "cell", "cells"), names):
        yield Entry(entry.path, entry.names, entry.kind, {**entry.config, **outer})


def snake_case(name: str) -> str:
    """As Keras makes it: `SimpleRNN` is `simple_rnn`, `CuDNNLSTM` is `cu_dnnlstm`."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))).lower()


# --- what it says of a layer ------------------------------------------------------------------------------------------


def said_of(entry: Entry, version: str) -> tuple[Says, list[str]]:
    """What the file says of a layer, and what it says besides: that the model must be told in another way."""
    config, cell = entry.config, entry.kind.removesuffix("Cell")
    kind = KINDS.get(cell, cell)
    said = {"kind": Said(kind, f"a `{entry.kind}`")}
    if cell.startswith("CuDNN"):
        config = {"activation": "tanh", "recurrent_activation": "sigmoid", "reset_after": True, **config}
    if kind in ("RNN", "GRU", "LSTM", "Dense"):
        said["activation"] = _function(config, "activation", "linear" if kind == "Dense" else "tanh", version)
    if kind in ("GRU", "LSTM"):
        said["gate"] = _function(config, "recurrent_activation", "sigmoid", version)
    if kind == "GRU":
        after = bool(config.get("reset_after", False))
        said["reset_after"] = Said(after, f"reset_after = {str(after).lower()}")
    if kind in ("RNN", "GRU", "LSTM"):
        back = bool(config.get("go_backwards", False))
        said["reverse"] = Said(back, f"go_backwards = {str(back).lower()}")
    if (merge := config.get("merge_mode", "")) != "":
        said["merge"] = Said(merge, f"merge_mode = {merge or 'none'}")
    if kind == "LayerNorm":
        said |= _norm(config)
    return said, _beside(kind, config)


def _function(config: Mapping[str, Any], option: str, usual: str, version: str) -> Said:
    told = config.get(option, usual)
    name = str(told.get("config", told.get("class_name")) if isinstance(told, dict) else told or "linear")
    value = {"linear": "identity", "hard_sigmoid": HARD[version >= "3"]}.get(name, name)
    return Said(value, f"{option} = {name}")


def _norm(config: Mapping[str, Any]) -> dict[str, Said]:
    said = {"epsilon": Said(float(config.get("epsilon", 1e-3)), f"epsilon = {config.get('epsilon', 1e-3):g}")}
    if config.get("rms_scaling"):
        said["kind"] = Said("a norm without a mean", "a `LayerNormalization` with rms_scaling")
    return said


def _beside(kind: str, config: Mapping[str, Any]) -> list[str]:
    notes = []
    if config.get("stateful"):
        notes.append("the file says stateful = true: give the final states of a run with the data of the next")
    if config.get("mask_zero"):
        notes.append("the file says mask_zero = true: give lengths with the data, id 0 masks nothing here")
    if config.get("go_backwards") and config.get("return_sequences") and "merge_mode" not in config:
        notes.append(
            "the file says go_backwards = true: Keras hands out the last step first, here each is in its place"
        )
    return notes
