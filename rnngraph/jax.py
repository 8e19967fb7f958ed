"""A model as a function for JAX; see docs/frameworks.md."""

from rnngraph.frameworks.needed import needed

with needed("jax", "jax"):
    from rnngraph.frameworks.jax_function import function

__all__ = ["function"]
