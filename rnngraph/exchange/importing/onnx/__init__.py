"""ONNX models: nodes one after the other, a rule for each operator."""
