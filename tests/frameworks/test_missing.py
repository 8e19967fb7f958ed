"""Without PyTorch and JAX."""

from __future__ import annotations

import re
import sys
from importlib import import_module

import pytest

import rnngraph as rg


def test_a_framework_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "jax"):
        for known in [m for m in sys.modules if m.startswith((f"rnngraph.{name}", f"rnngraph.frameworks.{name}"))]:
            monkeypatch.delitem(sys.modules, known)
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(rg.CannotDo, match=re.escape(f"rnngraph[{name}]")):
            import_module(f"rnngraph.{name}")
