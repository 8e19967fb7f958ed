"""Models in other formats, from the compiled graph."""
