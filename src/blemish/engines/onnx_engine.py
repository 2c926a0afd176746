"""The ONNX Runtime engine: an exported network, without PyTorch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.config import BackboneConfig
from blemish.engines.engine import EngineMaps
from blemish.errors import ConfigError, MissingExtraError, ModelError

GRAPH = "model.onnx"
INPUTS = ("images", "product")
OUTPUTS = ("similarities", "products", "reconstruction", "refiner", "categories")
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxEngine:
    """Runs a graph that `blemish export` wrote.

    Args:
        path: of the graph.
        device: `auto` (CUDA where this build of ONNX Runtime has it), `cpu` or `cuda`.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        ConfigError: there is no such device.
        ModelError: the file is missing, damaged or no graph of Blemish.
    """

    def __init__(self, path: Path, device: str = "auto") -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise MissingExtraError("onnxruntime", "runtime", "An exported model") from None
        if not path.is_file():
            raise ModelError(f"{path.parent} has no {path.name}.", "Is the model folder complete?")
        there = onnxruntime.get_available_providers()
        if device == "auto":
            providers = [name for name in reversed(_PROVIDERS.values()) if name in there]
        elif _PROVIDERS.get(device) in there:
            providers = [_PROVIDERS[device]]
        else:
            raise ConfigError(
                f"ONNX Runtime has no device '{device}' here.", "Choose auto, cpu or, with onnxruntime-gpu, cuda."
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads()
        try:
            self._session: Any = onnxruntime.InferenceSession(path, options, providers=providers)
        except Exception as error:  # the runtime has a dozen classes of errors without a common ancestor
            raise ModelError(f"{path} is damaged: {error}.", "Copy the model folder again, or export anew.") from error
        self._path = path
        self._outputs = [one.name for one in self._session.get_outputs()]
        if {one.name for one in self._session.get_inputs()} != set(INPUTS) or not set(OUTPUTS[:3]) <= {*self._outputs}:
            raise ModelError(f"{path} was not exported by Blemish.", "Export the model: blemish export MODEL -o OUT")

    def run(self, images: NDArray[np.uint8], product: int | None = None) -> EngineMaps:
        """See `Engine.run`."""
        chosen = np.full(len(images), -1 if product is None else product, dtype=np.int64)
        answers = self._session.run(None, {"images": images, "product": chosen})
        return maps_of(dict(zip(self._outputs, answers, strict=True)))

    def save(self, folder: Path, _: BackboneConfig) -> None:
        """Copy the graph into a model folder."""
        shutil.copyfile(self._path, folder / GRAPH)


def threads() -> int:
    """As many as OMP_NUM_THREADS says, as other libraries understand it; 0: the runtime decides."""
    number = os.environ.get("OMP_NUM_THREADS", "")
    return int(number) if number.isdecimal() else 0


def maps_of(answers: dict[str, NDArray[Any]]) -> EngineMaps:
    """What a graph answered, by name."""
    refiner, categories = answers.get("refiner"), answers.get("categories")
    return EngineMaps(
        answers["similarities"],
        answers["products"],
        answers["reconstruction"],
        refiner,
        categories,
    )
