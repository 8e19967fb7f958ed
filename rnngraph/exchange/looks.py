"""Which layout a file of weights is in, as the names of its arrays show. Reads names alone, and imports nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

TITLES = {"tf1": "TensorFlow 1", "keras": "Keras", "torch": "PyTorch", "onnx": "ONNX"}


def looks_like(arrays: Iterable[str]) -> str | None:
    """The layout that names of arrays show: "torch", "keras", "tf1" or "onnx"; None where they show none."""
    names = [name.removesuffix(":0") for name in arrays]
    if any(re.search(r"(^|\.)weight_ih(_l\d+)?(_reverse)?$", name) for name in names):
        return "torch"
    if any(re.search(r"(^|[/.])recurrent_kernel$", name) for name in names):
        return "keras"
    if any(re.search(r"cell/(?:(?:gates|candidate)/)?(?:kernel|bias)$", name) for name in names):
        return "tf1"
    parts = {tuple(name.rpartition(".")[::2]) for name in names}
    return "onnx" if any(local == "W" and (module, "R") in parts for module, local in parts) else None


def hint(arrays: Iterable[str]) -> str:
    """What to say of a file of another layout where our own was expected; nothing where it shows none."""
    found = looks_like(arrays)
    if found is None:
        return ""
    return (
        f"it looks like {TITLES[found]}'s layout: convert it with `rnngraph weights convert FILE --from {found} "
        "--to rnngraph --model MODEL.rnn --out OUT.safetensors`"
    )
