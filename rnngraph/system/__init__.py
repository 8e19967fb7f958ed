"""The machine and the interpreter: signals, free memory, the garbage collector."""
