"""Models of other tools as text and weights: readers (`keras`, `onnx`) describe a model, one writer makes the text."""
