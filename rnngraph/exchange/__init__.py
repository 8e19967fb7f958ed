"""Exchange: weights from and to other tools, models out as ONNX or NumPy."""
