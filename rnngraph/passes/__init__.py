"""Passes: graph to graph, the gradient among them; `pipeline` is their order."""
