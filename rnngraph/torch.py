"""A model as a `torch.nn.Module`; see docs/frameworks.md."""

from rnngraph.diagnostics.optional import needed

with needed("torch", "E747", "`pip install 'rnngraph[torch]'` brings it"):
    from rnngraph.frameworks.torch_module import Module
from rnngraph.frameworks.results import Results

__all__ = ["Module", "Results"]
