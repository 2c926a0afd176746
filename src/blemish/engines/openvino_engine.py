"""The OpenVINO engine: an exported network on Intel's CPUs and GPUs, without PyTorch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.config import BackboneConfig
from blemish.engines.engine import EngineMaps
from blemish.engines.onnx_engine import GRAPH as ONNX_GRAPH
from blemish.engines.onnx_engine import INPUTS, OUTPUTS, maps_of, threads
from blemish.errors import ConfigError, MissingExtraError, ModelError

GRAPH, WEIGHTS = "model.xml", "model.bin"


class OpenVinoEngine:
    """Runs a graph that `blemish export` wrote, for OpenVINO or for ONNX Runtime.

    Args:
        folder: the model's.
        device: `auto` (the CPU), or what OpenVINO calls a device, such as `cpu` or `gpu`.
        exact: compute in float32, also where the device is faster in half precision.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ConfigError: there is no such device.
        ModelError: the graph is missing, damaged or not of Blemish.
    """

    def __init__(self, folder: Path, device: str = "auto", *, exact: bool = True) -> None:
        try:
            import openvino
        except ModuleNotFoundError:
            raise MissingExtraError("openvino", "openvino", "The engine openvino") from None
        core = openvino.Core()
        name = "CPU" if device == "auto" else device.upper()
        if name.partition(".")[0] not in {one.partition(".")[0] for one in core.available_devices}:
            raise ConfigError(
                f"OpenVINO has no device '{device}' here.",
                f"It has {', '.join(one.lower() for one in core.available_devices)}.",
            )
        path = next((folder / one for one in (GRAPH, ONNX_GRAPH) if (folder / one).is_file()), None)
        if path is None:
            raise ModelError(f"{folder} has neither {GRAPH} nor {ONNX_GRAPH}.", "Is the model folder complete?")
        hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if exact:
            hints["INFERENCE_PRECISION_HINT"] = "f32"
        if name.startswith("CPU") and threads():
            hints["INFERENCE_NUM_THREADS"] = threads()
        try:
            self._model: Any = core.compile_model(core.read_model(path), name, hints)
        except RuntimeError as error:
            raise ModelError(f"{path} is damaged: {error}.", "Copy the model folder again, or export anew.") from error
        self._path = path
        self._outputs = [one.get_any_name() for one in self._model.outputs]
        names = {one.get_any_name() for one in self._model.inputs}
        if names != set(INPUTS) or not set(OUTPUTS[:3]) <= {*self._outputs}:
            raise ModelError(f"{path} was not exported by Blemish.", "Export the model: blemish export MODEL -o OUT")

    def run(self, images: NDArray[np.uint8], product: int | None = None) -> EngineMaps:
        """See `Engine.run`."""
        chosen = np.full(len(images), -1 if product is None else product, dtype=np.int64)
        answers = self._model({"images": images, "product": chosen})
        return maps_of({name: np.array(answers[name]) for name in self._outputs})

    def save(self, folder: Path, _: BackboneConfig) -> None:
        """Copy the graph into a model folder."""
        for path in (self._path, self._path.with_name(WEIGHTS)):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
