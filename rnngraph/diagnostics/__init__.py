"""Diagnostics: mistakes as data with their places in the text, and how they are printed."""
