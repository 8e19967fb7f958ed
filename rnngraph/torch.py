"""A model as a `torch.nn.Module`; see docs/frameworks.md."""

from rnngraph.frameworks.needed import needed

with needed("torch", "torch"):
    from rnngraph.frameworks.torch_module import Module
from rnngraph.frameworks.results import Results

__all__ = ["Module", "Results"]
