"""Kernels: which steps of a program run as one, and as what; true of any device."""
