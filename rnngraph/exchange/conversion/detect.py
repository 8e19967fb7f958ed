"""Which layout a file of weights is in, as the names of its arrays show. Reads names alone, and imports nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

TITLES = {"tf1": "TensorFlow 1", "keras": "Keras", "torch": "PyTorch", "onnx": "ONNX"}

_TORCH = r"(^|\.)weight_(ih|hh)(_l\d+)?(_reverse)?(_raw|_[gv])?$|(^|\.)parametrizations\.weight"
_TF1 = r"(cell/(?:(?:gates|candidate)/)?(?:kernel|bias|weights|biases)|/Linear/(Matrix|Bias))$"


def looks_like(arrays: Iterable[str]) -> str | None:
    """The layout that names of arrays show: "torch", "keras", "tf1" or "onnx"; None where they show none.

    What no recurrent layer shows is seen from the others: a `weight` is PyTorch's, names with `/` are TensorFlow's.
    """
    names = [name.removesuffix(":0").removesuffix("/.ATTRIBUTES/VARIABLE_VALUE") for name in arrays]
    parts = {tuple(name.rpartition(".")[::2]) for name in names}

    def some(pattern: str) -> bool:
        return any(re.search(pattern, name) for name in names)

    if some(_TORCH):
        return "torch"
    if some(r"(^|[/.])recurrent_kernel$"):
        return "keras"
    if some(_TF1):
        return "tf1"
    if any(local == "W" and (module, "R") in parts for module, local in parts):
        return "onnx"
    if some(r"(^|\.)weight$"):
        return "torch"
    if some(r"/embeddings$"):
        return "keras"
    pair = any(name.endswith("_w") and f"{name.removesuffix('_w')}_b" in names for name in names)
    return "tf1" if pair or some(r"/(kernel|bias|weights|biases|gamma|beta)$") else None


def hint(arrays: Iterable[str]) -> str:
    """What to say of a file of another layout where our own was expected; nothing where it shows none."""
    found = looks_like(arrays)
    if found is None:
        return ""
    return (
        f"it looks like {TITLES[found]}'s layout: convert it with `rnngraph weights convert FILE --from {found} "
        "--to rnngraph --model MODEL.rnn --out OUT.safetensors`"
    )
