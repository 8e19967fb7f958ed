"""Compilation: how a model is to be compiled, and the program that each call of it needs."""
