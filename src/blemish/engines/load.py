"""Which engine runs a model folder."""

from __future__ import annotations

from pathlib import Path

from blemish.engines.engine import Engine
from blemish.errors import ConfigError
from blemish.model_folder import Exported, Header, check_embedded


def load_engine(folder: Path, header: Header, name: str, device: str) -> Engine:
    """The engine `name` for a model folder; `auto`: the one it was written for.

    Raises:
        ConfigError: there is no such engine, or the folder is not for it.
        ModelError: the folder is incomplete or damaged.
        MissingExtraError: the engine is not installed.
    """
    exported = header.exported
    chosen = name if name != "auto" else "torch" if exported is None else exported.engine
    if chosen not in ("torch", "onnx", "openvino"):
        raise ConfigError(f"There is no engine '{name}'.", "Choose auto, torch, onnx or openvino.")
    if exported is None and chosen != "torch":
        raise ConfigError(f"{folder} is a model for torch.", f"Export it: blemish export {folder} --format {chosen}")
    if chosen == "torch":
        if exported is not None:
            raise ConfigError(f"{folder} was exported for {exported.engine}.", "Say --engine auto.")
        from blemish.engines.torch_engine import TorchEngine

        check_embedded(folder, header)
        train = header.train
        return TorchEngine.load(folder, train.backbone, train.model, len(header.products), device, header.teach)
    assert exported is not None
    return load_exported(folder, exported, chosen, device)


def load_exported(folder: Path, exported: Exported, name: str, device: str) -> Engine:
    """The engine `onnx` or `openvino` for exported files. Raises as `load_engine`."""
    if name == "onnx":
        if exported.engine != "onnx":
            raise ConfigError(f"{folder} was exported for {exported.engine}.", "Export it with --format onnx.")
        from blemish.engines.onnx_engine import GRAPH, OnnxEngine

        return OnnxEngine(folder / GRAPH, device)
    from blemish.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(folder, device, exact=exported.precision != "half")
