"""Running an ONNX file in onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.exchange.importing.description import Read

_TYPES = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(int64)": "i8", "tensor(int32)": "i4",
          "tensor(bool)": "?", "tensor(float16)": "f2", "tensor(int8)": "i1", "tensor(uint8)": "u1",
          "tensor(int16)": "i2"}  # fmt: skip


def run_onnx(path: str, made: Read, data: Mapping[str, Any]) -> list[Any] | str:
    """Its outputs in order; why not, where onnxruntime is missing, or lacks an operator for the file's numbers."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return "that takes the package `onnxruntime`"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        ports = [*session.get_inputs(), *session.get_overridable_initializers()]
        given = {i.name: np.asarray(data[i.name], _TYPES[i.type]) for i in ports if i.name in data}
        return list(session.run([p.theirs for p in made.outputs], given))
    except Exception:
        return "onnxruntime itself does not run the file"
