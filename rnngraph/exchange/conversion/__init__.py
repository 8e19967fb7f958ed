"""Weights from one layout to another: layers are matched, converted, and verified by running them."""
