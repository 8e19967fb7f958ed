"""The language: from text to a graph with loops."""
