"""Smaller numbers in an ONNX graph: weights in half precision, convolutions in 8-bit integers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.engines.onnx_engine import INPUTS

_WORTH_HALVING = 1024  # numbers in a weight
_BATCH = 4


def halve_weights(path: Path) -> None:
    """Store large weights in half precision; they are widened when the graph is loaded, and computed with as before."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < _WORTH_HALVING or np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + ".half"))
        casts.append(helper.make_node("Cast", [name + ".half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def quantise(path: Path, images: NDArray[np.uint8], *, symmetric: bool) -> None:
    """Compute convolutions in 8-bit integers, scaled so that `images` keep what they need (static, per channel).

    Weights use 7 of their bits. Processors without instructions for such products (VNNI) add them up in pairs in 16
    bits, where the products of 8 bits are cut off at the largest number, and the answers would be others.

    Args:
        path: of the graph, which is replaced.
        images: uint8 N×S×S×3, normal and defective.
        symmetric: zero stays zero, which OpenVINO needs; otherwise the range is used whole.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = self._all()

        def _all(self) -> Iterator[dict[str, Any]]:
            for start in range(0, len(images), _BATCH):
                part = images[start : start + _BATCH]
                yield dict(zip(INPUTS, (part, np.full(len(part), -1, np.int64)), strict=True))

        def get_next(self) -> dict[str, Any] | None:
            return next(self._batches, None)

    prepared = path.with_suffix(".prepared.onnx")
    log, level = logging.getLogger(), logging.getLogger().level
    log.setLevel(logging.ERROR)
    try:
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
            extra_options={"ActivationSymmetric": symmetric},
        )
    finally:
        log.setLevel(level)
        prepared.unlink(missing_ok=True)
