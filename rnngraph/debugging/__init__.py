"""Debugging: where a nan, or an index that lies outside, first appeared."""
