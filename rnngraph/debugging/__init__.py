"""Debugging: where a nan, or an index outside of its table, first appeared."""
