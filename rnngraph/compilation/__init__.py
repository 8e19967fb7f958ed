"""Compilation: how a model is to be compiled, and the program that each kind of call needs."""
