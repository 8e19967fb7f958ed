"""Weights that PyTorch keeps in parts: those of weight normalisation, and the raw ones of AWD-LSTM's dropped weights.

* `torch.nn.utils.weight_norm` keeps `weight_hh_l0_g` and `weight_hh_l0_v`, its successor in `parametrizations` keeps
  `parametrizations.weight_hh_l0.original0` and `.original1`: T. Salimans, D. P. Kingma (2016), "Weight
  normalization", NIPS: w = g v / |v|, a norm for each row.
* S. Merity, N. S. Keskar, R. Socher (2018), "Regularizing and optimizing LSTM language models", ICLR: the weights that
  are dropped while training stand in `weight_hh_l0_raw`; a `weight_hh_l0` beside them is what was left at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from msgspec.structs import replace

from rnngraph.exchange.formats.contents import Found
from rnngraph.files.safetensors import Arrays

_PART = r"(?P<module>.*\.)?(?P<local>(?:weight|bias)[^.]*)"
_FORMS = (
    (re.compile(rf"^{_PART}_g$"), "{module}{local}_v"),
    (re.compile(r"^(?P<module>.*\.)?parametrizations\.(?P<local>[^.]+)\.original0$"),
     "{module}parametrizations.{local}.original1"),
)  # fmt: skip
_RAW = re.compile(rf"^{_PART}_raw$")


def whole(found: Found) -> Found:
    """The arrays with every weight in one piece, under its plain name, and what was done for it."""
    arrays = dict(found.arrays)
    notes = [*_normalised(arrays), *_raw(arrays)]
    return replace(found, arrays=arrays, notes=(*found.notes, *notes)) if notes else found


def _normalised(arrays: Arrays) -> Iterator[str]:
    for name in list(arrays):
        for form, other in _FORMS:
            match = form.match(name)
            parts = {"module": (match["module"] or ""), "local": match["local"]} if match else {}
            if match and (direction := other.format(**parts)) in arrays:
                plain = "{module}{local}".format(**parts)
                arrays[plain] = scaled(arrays.pop(name), arrays.pop(direction))
                yield f"`{plain}` is `{direction}` with the lengths `{name}` (weight normalisation)"


def scaled(lengths: Any, directions: Any) -> Any:
    """Rows of these lengths: a norm is taken over all dimensions in which there is one length."""
    axes = tuple(i for i in range(directions.ndim) if lengths.ndim == 0 or lengths.shape[i] == 1)
    wide = directions.astype(np.float64)
    made = lengths * wide / np.sqrt((wide**2).sum(axis=axes, keepdims=True))
    return made.astype(np.promote_types(directions.dtype, np.float32))


def _raw(arrays: Arrays) -> Iterator[str]:
    """A wrapper's `weight_hh_l0_raw` is the `weight_hh_l0` of what it wraps, which may be called `module`."""
    for name in [n for n in arrays if _RAW.match(n)]:
        plain = name.removesuffix("_raw")
        module, _, local = plain.rpartition(".")
        inside = f"{module}.module.{local}" if module else f"module.{local}"
        wrapped = any(n.startswith(inside.removesuffix(local)) for n in arrays)
        target = inside if wrapped else plain
        stale = " instead of what stood there" if target in arrays else ""
        arrays[target] = arrays.pop(name)
        yield f"`{target}` is taken from `{name}`{stale}"
