"""The verb `export`: a trained model for another runtime, in a folder of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from blemish.engines.load import load_exported
from blemish.engines.torch_engine import TorchEngine
from blemish.errors import BlemishError, ConfigError
from blemish.export.network import write_network
from blemish.export.parity import Parity, compare
from blemish.files import check_target
from blemish.inspector import Inspector
from blemish.model_folder import CONFIG, Exported, ExportFormat, ExportPrecision
from blemish.procedural.scenes import scene
from blemish.procedural.seeding import generator
from blemish.synthesis.pseudo import PseudoAnomalies

# Allowed differences of scores and of maps, in units of the product's threshold. A map differs more where two normal
# patches are equally near and rounding decides between them.
_ALLOWED: dict[str, tuple[float, float]] = {"float32": (1e-3, 2e-2), "half": (0.25, 1.0), "int8": (0.5, 2.0)}
_COMPARED = 4  # images of each product, and as many pseudo-anomalous ones
_CALIBRATING = 64  # images in all
_SCENES = 8
_T = TypeVar("_T")


def export(
    inspector: Inspector,
    output: str | Path,
    format: ExportFormat = "onnx",
    precision: ExportPrecision = "float32",
    *,
    images: Sequence[NDArray[np.uint8]] = (),
    overwrite: bool = False,
) -> Parity:
    """Write a model folder that runs without PyTorch, after comparing it with the model itself.

    Args:
        inspector: with the engine torch.
        output: the folder.
        format: `onnx` or `openvino`.
        precision: `float32`; `half`: weights are stored in half precision, and OpenVINO also computes in it where the
            device is faster so; `int8`: convolutions in 8-bit integers.
        images: normal images uint8 M×M×3 (`Inspector.seen_pixels`); with evenly spread ones of them the two are
            compared and integers are scaled. Those that stayed with the model unless given.
        overwrite: whether an existing model may be replaced.

    Raises:
        BlemishError: the two differ more than the precision explains, and nothing is written; or the folder exists, or
            cannot be written.
        ConfigError: the model is an exported one already.
        MissingExtraError: a package that writes the format is not installed.
    """
    if not isinstance(inspector.engine, TorchEngine):
        raise ConfigError("The model was exported already.", "Name the folder that `train` or `teach` wrote.")
    check_target(Path(output), overwrite=overwrite, marker=CONFIG)
    with tempfile.TemporaryDirectory(prefix="blemish-") as temporary:
        folder = Path(temporary)
        few = _calibrating(inspector, images) if precision == "int8" else None
        write_network(inspector.engine.network, folder, format, precision, few)
        header = Exported(engine=format, precision=precision)
        exported = replace(
            inspector,
            engine=load_exported(folder, header, format, "cpu"),
            exported=header,
            kept={},
            examples={},
        )
        shown = _shown(inspector, images, _COMPARED)
        parity = compare(inspector, exported, shown, *_ALLOWED[precision])
        if not parity.holds:
            wrong = "; ".join(
                f"{one.name} {one.largest:.2g}, allowed {one.allowed:.2g}"
                for one in parity.differences
                if not one.holds
            )
            raise BlemishError(
                f"The exported model differs from the model itself: {wrong} (in units of the threshold).",
                "Nothing was written. Choose a finer --precision, or the other --format.",
            )
        exported.save(output, overwrite=overwrite)
    return parity


def looked_at(inspector: Inspector, images: Sequence[_T]) -> Sequence[_T]:
    """Of all that may be shown to `export`, evenly spread, as many as it has a use for."""
    return _spread(images, max(_CALIBRATING // 2, _COMPARED * len(inspector.products)))


def _spread(images: Sequence[_T], count: int) -> Sequence[_T]:
    return images if len(images) <= count else [images[number * len(images) // count] for number in range(count)]


def _calibrating(inspector: Inspector, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Tiles by which integers are scaled."""
    shown = _shown(inspector, images, _CALIBRATING // (2 * len(inspector.products)) or 1)
    tiles = np.concatenate([inspector.tiling.cut(image) for image in shown])
    return tiles[:: max(1, len(tiles) // _CALIBRATING)]


def _shown(inspector: Inspector, images: Sequence[NDArray[np.uint8]], count: int) -> list[NDArray[np.uint8]]:
    """Normal images, `count` of each product, and as many with pseudo-anomalies."""
    normal = list(_spread(images, count * len(inspector.products)))
    if not normal:
        for kept in inspector.kept.values():
            normal += [*kept.train, *kept.held][:count]  # those that calibrated lie on the threshold themselves
    if not normal:
        normal = [scene(inspector.size, generator(0, "exported scene", number)) for number in range(_SCENES)]
    stacked = np.stack(normal)
    anomalous, _ = PseudoAnomalies(inspector.size, 0).make(stacked, range(len(stacked)))
    return [*stacked, *anomalous]
