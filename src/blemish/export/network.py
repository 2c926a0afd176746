"""A network in another runtime's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.engines import onnx_engine, openvino_engine
from blemish.errors import MissingExtraError
from blemish.export.graph import write_graph
from blemish.export.precision import halve_weights, quantise
from blemish.model_folder import ExportFormat, ExportPrecision
from blemish.models.prompted import PromptedNetwork


def write_network(
    network: PromptedNetwork,
    folder: Path,
    format: ExportFormat,
    precision: ExportPrecision,
    images: NDArray[np.uint8] | None = None,
) -> None:
    """Write a network's files into a folder; see `blemish.export.export`.

    Args:
        network: trained, in evaluation mode, with its prompts encoded.
        folder: exists.
        images: uint8 N×S×S×3, normal and defective, by which integers are scaled; needed for `int8`.

    Raises:
        MissingExtraError: a package that writes the format is not installed.
        BlemishError: the network holds an operation that the format has not.
    """
    graph = folder / onnx_engine.GRAPH
    write_graph(network, graph)
    if precision == "int8":
        assert images is not None
        quantise(graph, images, symmetric=format == "openvino")
    elif precision == "half" and format == "onnx":
        halve_weights(graph)
    if format == "openvino":
        try:
            import openvino
        except ModuleNotFoundError:
            raise MissingExtraError("openvino", "openvino", "Exporting for OpenVINO") from None
        model = openvino.Core().read_model(graph)
        openvino.save_model(model, folder / openvino_engine.GRAPH, compress_to_fp16=precision == "half")
        graph.unlink()
