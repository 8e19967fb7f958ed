"""The layouts of all other tools, by name."""

from __future__ import annotations

from rnngraph.exchange.conversion.keras import KERAS
from rnngraph.exchange.conversion.onnx import ONNX
from rnngraph.exchange.conversion.tf1 import TF1
from rnngraph.exchange.conversion.torch import TORCH

LAYOUTS = {layout.name: layout for layout in (TF1, KERAS, TORCH, ONNX)}
