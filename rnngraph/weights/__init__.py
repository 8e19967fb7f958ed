"""Weights: how they begin, how they are stored, whether they fit a model."""
