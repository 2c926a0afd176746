"""A trained model on disk: one self-contained folder without pickle."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from blemish.calibration import Calibration
from blemish.config import HUB_ID, TeachConfig, TrainConfig
from blemish.data.masks import read_mask
from blemish.errors import ModelError
from blemish.files import replaced_folder
from blemish.kept.examples import KeptExamples, write_examples
from blemish.kept.images import KeptImages, write_kept

CONFIG, CALIBRATION, CARD = "config.json", "calibration.json", "README.md"
CURVE, SEEN = "curve.jsonl", "seen.txt"
FORMAT = 3
SHIPPED = "shipped"  # the model that comes with the package; a folder of that name goes first


ExportFormat = Literal["onnx", "openvino"]
ExportPrecision = Literal["float32", "half", "int8"]


class Exported(BaseModel):
    """What an exported model runs on.

    Attributes:
        engine: whose format its graph has.
        precision: of its numbers, see `blemish.export.export`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: ExportFormat
    precision: ExportPrecision


class Header(BaseModel):
    """Contents of `config.json`.

    Attributes:
        format: version of the folder's layout.
        products: names, in the order of the prompts.
        train: how the model was trained.
        categories: product → names of its defects, in the order in which they were learned.
        teach: how they were learned; None while there are none.
        embedded: digest of the embedded backbone's weights, which do not travel with the model; None with another one.
        exported: for which runtime it was exported; None: it is PyTorch's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    products: tuple[str, ...]
    train: TrainConfig
    categories: dict[str, tuple[str, ...]] = {}
    teach: TeachConfig | None = None
    embedded: str | None = None
    exported: Exported | None = None

    @classmethod
    def of(
        cls,
        products: tuple[str, ...],
        train: TrainConfig,
        categories: Mapping[str, tuple[str, ...]] | None = None,
        teach: TeachConfig | None = None,
        exported: Exported | None = None,
    ) -> Header:
        """The header of a model trained with this package; paths of the machine that trained it stay there."""
        backbone = train.backbone.portable()
        start = train.init and Path(train.init).resolve().name
        anomalies = train.pseudo_anomalies.model_copy(update={"textures": None})
        return cls(
            products=products,
            train=train.model_copy(update={"init": start, "backbone": backbone, "pseudo_anomalies": anomalies}),
            categories=dict(categories or {}),
            teach=teach if teach is None else teach.portable(),
            embedded=_digest() if backbone.name == "embedded" and exported is None else None,
            exported=exported,
        )


def locate(model: str | Path, *, offline: bool) -> Path:
    """The folder of a model.

    `shipped` is the package's own unless there is such a folder; a hub id, which no folder `owner` nor the ending
    `.blemish` makes look like a path, is downloaded to the hub's own cache.

    Raises:
        ModelError: there is none.
    """
    folder = Path(model)
    if folder.is_dir():
        return folder
    if model == SHIPPED:
        return Path(str(files("blemish") / "shipped"))
    mistyped = folder.suffix == ".blemish" or folder.parent.is_dir()
    if offline or mistyped or not re.fullmatch(HUB_ID, str(model)):
        raise ModelError(f"There is no model folder {model}.", "Check the path, or train one: blemish train --help.")
    try:
        from huggingface_hub import snapshot_download

        return Path(
            snapshot_download(
                str(model),
                allow_patterns=[
                    "*.json",
                    "*.jsonl",
                    "*.txt",
                    "*.safetensors",
                    "*.onnx",
                    "*.xml",
                    "*.bin",
                    "*.md",
                    "rois/*.png",
                    "*/*.png",
                ],
            )
        )
    except Exception as error:  # the hub client raises errors of a dozen libraries
        raise ModelError(
            f"There is no model folder {model}, and the hub gave none of that name: {error}.", "Check the name."
        ) from error


def read_header(folder: Path) -> Header:
    """Read `config.json`. Raises ModelError."""
    path = folder / CONFIG
    if not path.is_file():
        raise ModelError(f"{folder} has no {CONFIG}, so it is not a model.", "Name a folder that `train` wrote.")
    try:
        header = Header.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is damaged or of another version: {error}.", "Copy the model folder again.") from None
    if header.format != FORMAT:
        raise ModelError(f"{path} has format {header.format}, not {FORMAT}.", "Install the matching Blemish.")
    return header


def check_embedded(folder: Path, header: Header) -> None:
    """Raises ModelError when the model was trained with another version of the embedded backbone."""
    if header.embedded is not None and header.embedded != _digest():
        raise ModelError(
            f"{folder} was trained with another version of the embedded backbone.",
            "Install the Blemish that trained it, or train anew.",
        )


def _digest() -> str:
    weights = files("blemish.backbones").joinpath("embedded.safetensors")
    return sha256(weights.read_bytes()).hexdigest()


def read_curve(folder: Path) -> str:
    """The loss curve of the training, JSON lines; empty when there is none."""
    path = folder / CURVE
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def read_seen(folder: Path) -> frozenset[str]:
    """Fingerprints of the images that trained or calibrated the model."""
    path = folder / SEEN
    return frozenset(path.read_text(encoding="ascii", errors="replace").split()) if path.is_file() else frozenset()


def read_rois(folder: Path, header: Header) -> dict[str, NDArray[np.bool_]]:
    """Regions of interest per product."""
    paths = ((product, _roi_path(folder, index)) for index, product in enumerate(header.products))
    return {product: read_mask(path) for product, path in paths if path.is_file()}


def write(
    path: Path,
    header: Header,
    calibration: Calibration,
    rois: Mapping[str, NDArray[np.bool_]],
    curve: str,
    seen: Iterable[str],
    kept: Mapping[str, KeptImages],
    examples: Mapping[str, KeptExamples],
    write_weights: Callable[[Path], None],
    *,
    overwrite: bool,
) -> Path:
    """Write a model folder atomically. Raises BlemishError."""
    with replaced_folder(path, overwrite=overwrite, marker=CONFIG) as folder:
        (folder / CONFIG).write_text(header.model_dump_json(indent=2) + "\n", encoding="utf-8", newline="\n")
        calibration.save(folder / CALIBRATION)
        for product, roi in rois.items():
            target = _roi_path(folder, header.products.index(product))
            target.parent.mkdir(exist_ok=True)
            Image.fromarray(roi.astype(np.uint8) * 255).save(target)
        if curve:
            (folder / CURVE).write_text(curve, encoding="utf-8", newline="\n")
        if fingerprints := sorted(seen):
            (folder / SEEN).write_text("\n".join([*fingerprints, ""]), encoding="utf-8", newline="\n")
        write_kept(folder, header.products, kept)
        write_examples(folder, header.products, examples)
        write_weights(folder)
        (folder / CARD).write_text(_card(header, calibration), encoding="utf-8", newline="\n")
    return path


def _roi_path(folder: Path, index: int) -> Path:
    return folder / "rois" / f"{index}.png"


def _names(header: Header) -> list[str]:
    if header.teach is None:
        return []
    named = "; ".join(f"{product}: {', '.join(names)}" for product, names in header.categories.items())
    return ["", f"It names defects (UniADC, embeddings `{header.teach.embeddings}`) of {named}."]


def _runtime(header: Header) -> list[str]:
    if header.exported is None:
        return []
    names = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}
    return [f"It runs on {names[header.exported.engine]}, {header.exported.precision}, without PyTorch."]


def _sizes(train: TrainConfig) -> str:
    tiling = train.model.tiling
    if tiling.count == 1:
        return f"{tiling.size} px"
    return f"{tiling.side} px in {tiling.count} × {tiling.count} overlapping tiles of {tiling.size} px"


def _card(header: Header, calibration: Calibration) -> str:
    train = header.train
    lines = [
        "---",
        "library_name: blemish",
        "tags: [anomaly-detection, defect-detection]",
        "---",
        f"# A Blemish model for {len(header.products) or 'any'} product{'s' * (len(header.products) > 1)}",
        "",
        f"OneNIP, preset `{train.preset}`, decoder `{train.model.decoder}`, backbone `{train.backbone.name}`, "
        f"{_sizes(train)}, seed {train.seed}.",
        *([f"Its training started from the weights of `{train.init}`."] if train.init else []),
        "It was trained on normal images alone.",
        *_runtime(header),
        *_names(header),
        "",
        *(_use(header, calibration) if header.products else _PROMPT),
    ]
    return "\n".join(lines) + "\n"


def _use(header: Header, calibration: Calibration) -> list[str]:
    """How the model is loaded, and what its verdicts promise."""
    rows = [(name.replace("|", "/"), calibration[name]) for name in header.products]
    return [
        "```python",
        "from blemish import Inspector",
        "",
        'inspection = Inspector.load("this folder").inspect("image.png")',
        "```",
        "",
        "| product | calibration images | false-alarm rate |",
        "|---|---|---|",
        *(f"| {name} | {one.images or one.n} | {one.statement()} |" for name, one in rows),
    ]


_PROMPT = [
    "It knows no product yet. Show it one or a few normal images:",
    "",
    "```",
    "blemish inspect THIS_FOLDER new/ --prompt good.png",
    "```",
]
