"""Models inside other frameworks: `programs` (what is compiled for a call), `results`, and PyTorch and JAX each by its
own files. Nothing here is imported unless it is asked for."""
