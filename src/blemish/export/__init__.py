"""Out of PyTorch: models for ONNX Runtime and OpenVINO, checked against the model they come from."""

from blemish.export.export import export, looked_at
from blemish.export.parity import Parity

__all__ = ["Parity", "export", "looked_at"]
