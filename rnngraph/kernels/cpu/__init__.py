"""Kernels for CPUs: machine code by LLVM, matrices in panels, tables for threads."""
