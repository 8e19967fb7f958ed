"""Tensors of PyTorch as NumPy arrays over the same memory, and what is said where they cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from rnngraph.data.lengths import LENGTHS
from rnngraph.diagnostics.errors import CannotDo, UserError

DTYPES = {torch.float32: "float32", torch.float64: "float64"}


def as_tensor(name: str, value: Any) -> torch.Tensor:
    """What is given as a tensor; UserError where it cannot be one. What is none is copied: PyTorch sees no change of an
    array between a call and its backward pass."""
    if isinstance(value, torch.Tensor):
        return value
    try:
        return torch.tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"`{name}` is no tensor and cannot be made one: {error}", "E745") from error


def array_of(name: str, tensor: torch.Tensor) -> np.ndarray[Any, Any]:
    """The array over a tensor's memory; CannotDo where it is not on the CPU."""
    if not tensor.is_cpu:
        raise CannotDo(
            f"`{name}` is on the device `{tensor.device}`, and the module computes on the CPU",
            "E742",
            "move it with `.cpu()`; for a GPU compile the model with `backend='cupy'`, outside of PyTorch",
        )
    if tensor.layout != torch.strided:
        raise UserError(f"`{name}` is {tensor.layout}, not a dense tensor", "E742", f"give `{name}.to_dense()`")
    array: np.ndarray[Any, Any] = tensor.numpy(force=True)
    return array


def float_array(name: str, tensor: torch.Tensor, dtype: torch.dtype) -> np.ndarray[Any, Any]:
    """The array of a tensor of this type of floats; UserError where it has another."""
    if tensor.dtype.is_floating_point and tensor.dtype != dtype:
        raise UserError(
            f"`{name}` is {tensor.dtype}, but the weights are {dtype}",
            "E743",
            f"convert it with `{name}.to({dtype})`, or the module with `.to({tensor.dtype})`"
            if tensor.dtype in DTYPES
            else f"convert it with `{name}.to({dtype})`",
        )
    return array_of(name, tensor)


def dtype_of(weights: Mapping[str, torch.Tensor], default: torch.dtype) -> torch.dtype:
    """The one type of floats that all weights have; UserError where there are two, or it is none to compute with."""
    found = {tensor.dtype: name for name, tensor in weights.items()}
    for dtype, name in found.items():
        if dtype not in DTYPES:
            told = f"the weight `{name}` is {dtype}, which is not a number type to compute with"
            raise UserError(told, "E743", "choose `module.float()` or `module.double()`")
    if len(found) > 1:
        (one, first), (other, second), *_ = found.items()
        told = f"the weight `{first}` is {one} and `{second}` is {other}: all must have one type"
        raise UserError(told, "E743", "choose `module.float()` or `module.double()`")
    return next(iter(found), default)


def tensors_of(results: Mapping[str, Any]) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in results.values()]


# --- packed sequences -------------------------------------------------------------------------------------------------


def unpacked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The data with packed sequences as padded ones beside their lengths."""
    found = dict(given)
    for name, value in given.items():
        if isinstance(value, PackedSequence):
            if name + LENGTHS in given:
                told = f"`{name}` is packed, and has its lengths already"
                raise UserError(told, "E745", f"leave `{name}{LENGTHS}` out")
            found[name], found[name + LENGTHS] = pad_packed_sequence(value, batch_first=True)
    return found


def packed(
    results: Mapping[str, torch.Tensor], names: Iterable[str], like: PackedSequence, lengths: torch.Tensor
) -> dict[str, torch.Tensor | PackedSequence]:
    """The results, those of these names packed as the data were."""
    found: dict[str, torch.Tensor | PackedSequence] = dict(results)
    for name in names:
        sort = like.sorted_indices is not None
        found[name] = pack_padded_sequence(results[name], lengths, batch_first=True, enforce_sorted=not sort)
    return found
