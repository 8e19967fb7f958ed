"""Clipping of gradients: all of them together are made shorter where their norm is larger than a limit.

Pascanu, Mikolov, Bengio: On the difficulty of training recurrent neural networks, ICML 2013.
"""

from __future__ import annotations

from rnngraph.training.config import FitConfig


def clip_factor(norm: float, limit: float, epsilon: float = 0.0) -> float:
    """By what to multiply gradients of this norm together, for a norm of at most `limit`. PyTorch has an epsilon of
    1e-6."""
    return min(1.0, limit / (norm + epsilon)) if norm > 0 else 1.0


def factor_by(config: FitConfig, norm: float) -> float:
    """The factor that a training asks for: 1 where it has no limit."""
    return 1.0 if config.clip_norm is None else clip_factor(norm, config.clip_norm, config.clip_epsilon)
