"""Running an ONNX file in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.diagnostics.errors import UserError
from rnngraph.exchange.importing.description import Read

_TYPES = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(int64)": "i8", "tensor(int32)": "i4", "tensor(bool)": "?",
          "tensor(float16)": "f2", "tensor(int8)": "i1", "tensor(uint8)": "u1", "tensor(int16)": "i2"}  # fmt: skip


def run_onnx(path: str, made: Read, data: Mapping[str, Any]) -> list[Any] | None:
    """Its outputs in order; None where onnxruntime is missing."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        given = {i.name: np.asarray(data[i.name], _TYPES[i.type]) for i in session.get_inputs() if i.name in data}
        given |= {i.name: np.asarray(data[i.name], _TYPES[i.type]) for i in session.get_overridable_initializers() if i.name in data}
        return list(session.run([p.theirs for p in made.outputs], given))
    except Exception as error:
        raise UserError(f"onnxruntime does not run `{path}`, so that it cannot be checked", "E743") from error
