"""Data: arrays from files, and whether they fit what a model declares."""
