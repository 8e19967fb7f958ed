"""A model as a function for JAX; see docs/frameworks.md."""

from rnngraph.diagnostics.optional import needed

with needed("jax", "E747", "`pip install 'rnngraph[jax]'` brings it"):
    from rnngraph.frameworks.jax_function import function

__all__ = ["function"]
