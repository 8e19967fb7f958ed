"""Keras models: calls of layers from the configuration, a rule for each layer."""
