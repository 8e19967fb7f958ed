"""Compiled kernels: from groups of steps to machine code, and tables that walk them."""
