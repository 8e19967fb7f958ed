"""Elaboration: a model's statements run once, and what they do becomes a graph."""
