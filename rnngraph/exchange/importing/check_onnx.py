"""Running an ONNX file in onnxruntime."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnngraph.exchange.importing.check import NotRun, said
from rnngraph.exchange.importing.description import Read

_TYPES = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(int64)": "i8", "tensor(int32)": "i4",
          "tensor(bool)": "?", "tensor(float16)": "f2", "tensor(int8)": "i1", "tensor(uint8)": "u1",
          "tensor(int16)": "i2"}  # fmt: skip


def run_onnx(path: str, made: Read, data: Mapping[str, Any]) -> list[Any] | NotRun:
    """Its outputs in order; why not, where onnxruntime is missing, or lacks an operator for the file's numbers."""
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return NotRun("that takes the package `onnxruntime`")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        return NotRun(f"onnxruntime does not load the file: {_reason(error)}")
    try:
        ports = [*session.get_inputs(), *session.get_overridable_initializers()]
        given = {i.name: np.asarray(data[i.name], _TYPES[i.type]) for i in ports if i.name in data}
        return list(session.run([p.theirs for p in made.outputs], given))
    except Exception as error:
        return NotRun(f"onnxruntime does not run the file on any data that were tried: {_reason(error)}", True)


def _reason(error: Exception) -> str:
    """Its own words, without its codes."""
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (.*Status Message: )?", "", said(error))
