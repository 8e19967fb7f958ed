"""Arrays of files, which are closed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def arrays(path: str | Path) -> dict[str, Any]:
    """All arrays of an .npz file."""
    with np.load(path) as found:
        return dict(found)
