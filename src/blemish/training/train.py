"""The verb `train`: from a data set of normal images to an `Inspector`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blemish.backbones.backbone import Backbone, load_backbone
from blemish.backbones.reduced import ReducedBackbone, reduced
from blemish.config import TrainConfig
from blemish.data.dataset import Dataset
from blemish.data.decode import IntensityRange, intensity_range, load_square
from blemish.data.duplicates import file_hashes
from blemish.engines.torch_engine import TorchEngine
from blemish.errors import DataError, ImageError
from blemish.files import check_target
from blemish.inspection import Failure
from blemish.inspector import Inspector
from blemish.model_folder import CONFIG
from blemish.models.prompted import PromptedNetwork
from blemish.synthesis.pseudo import PseudoAnomalies, PseudoAnomalyConfig
from blemish.synthesis.sources import FolderTextures
from blemish.training.anomalies import AnomalyMaker
from blemish.training.batches import BatchSource
from blemish.training.checkpoint import RunFolder, begin_run, check_run, fingerprint
from blemish.training.features import CHUNK, load_pixels
from blemish.training.fit import fit_calibration
from blemish.training.images import TrainingImage, TrainingSet, without_unreadable
from blemish.training.kept import keep_images
from blemish.training.loop import TrainProgress, optimise
from blemish.training.noise import NoiseTable
from blemish.training.runtime import LeftOut, Report, launch, one_seed, silent, warn_left_out
from blemish.training.start import load_start
from blemish.training.step import TrainingStep
from blemish.training.store import Store, free_megabytes

__all__ = ["TrainProgress", "train"]

_EXAMPLES = 48  # training images that tell the backbone's principal components
_WORTH_FUSING = 3000  # steps


def train(
    dataset: Dataset,
    config: TrainConfig | None = None,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    restart: bool = False,
    devices: str = "auto",
    offline: bool = False,
    rois: dict[str, NDArray[np.bool_]] | None = None,
    backbone: Backbone | None = None,
    progress: Report | None = None,
    left_out: LeftOut = warn_left_out,
) -> Inspector:
    """Train one model for all products of a data set, from its normal training images alone.

    Args:
        dataset: defective and test images in it are not looked at.
        config: None: the preset `fast`.
        output: the model folder to write; the unfinished run lies in `<output>.run` beside it. None: nothing is
            written, nothing can be resumed.
        overwrite: whether an existing model may be replaced.
        resume: continue an unfinished run.
        restart: discard an unfinished run.
        devices: `auto` (one device: a GPU when there is one) or how many.
        offline: never touch the network.
        rois: per product a bool H×W mask, true where defects count.
        backbone: the one that the configuration names, where it is loaded already; a model to start from brings its
            own.
        progress: called often.
        left_out: called with every image that cannot be read; a warning is logged unless given.

    Raises:
        DataError: a product has too few normal images.
        ConfigError: no such devices, backbone or levels, or a model to start from of another architecture.
        ModelError: there is no such model to start from.
        TrainingError: the loss is not finite, or an unfinished run is in the way.
        BlemishError: the output exists, or the disk is full.
    """
    config = TrainConfig.of("fast") if config is None else config
    target = None if output is None else Path(output)
    if target is not None:
        check_target(target, overwrite=overwrite, marker=CONFIG)
    fatal = [problem for problem in dataset.problems if problem.severity == "fatal"]
    if fatal:
        raise DataError(fatal[0].message, fatal[0].remedy)
    dataset, unreadable = without_unreadable(dataset)
    for failure in unreadable:
        left_out(failure)
    training = TrainingSet.of(dataset, config.hold_out, config.seed)
    run = None if target is None else _run_folder(target, config, training)
    if run is not None:
        check_run(run, resume=resume, restart=restart)  # every process does so before the first one may begin
    fabric = launch(config.precision, devices)
    report = progress or silent
    with Store(free_megabytes() / 2 / fabric.world_size, fabric.device) as store, one_seed(config.seed):
        inspector = _train(
            fabric, config, training, run, restart, store, offline, rois or {}, backbone, report, left_out
        )
    if target is not None and fabric.is_global_zero:
        assert run is not None
        inspector = replace(inspector, curve=run.curve())
        inspector.save(target, overwrite=overwrite)
        shutil.rmtree(run.path)
    return inspector


def _train(
    fabric: Any,
    config: TrainConfig,
    training: TrainingSet,
    run: RunFolder | None,
    restart: bool,
    store: Store,
    offline: bool,
    rois: dict[str, NDArray[np.bool_]],
    backbone: Backbone | None,
    report: Report,
    left_out: LeftOut,
) -> Inspector:
    tiling = config.model.tiling
    synthesis = _synthesis(config)
    start = None
    if config.init is not None:
        start, config = load_start(config, offline=offline)
        backbone = start.backbone
    else:
        backbone = backbone or load_backbone(config.backbone, tiling.size, offline=offline)
        backbone = reduced(backbone, config.backbone.components)
    ranges = intensity_ranges(training)
    pixels, images, failures = load_pixels(training.train, tiling, ranges, config.seed, store)
    held = tuple(image for image in training.held if _readable(image, tiling.side, failures))
    training = TrainingSet(training.products, images, held)
    _require_all_products(training, failures)
    for failure in failures:
        left_out(failure)
    seen = file_hashes(image.path for image in images[:: tiling.tiles])
    network = PromptedNetwork(backbone, config.model, len(training.products)).to(fabric.device)
    if start is not None:
        network.start_from(start)
    elif isinstance(backbone, ReducedBackbone):
        backbone.learn(_examples(pixels, synthesis))
    steps = config.steps or config.epochs * -(-len(images) // config.batch)
    source = BatchSource(
        network,
        training,
        pixels,
        AnomalyMaker(pixels, synthesis, fabric.device, store),
        config,
        steps,
        store,
        fabric.global_rank,
        fabric.world_size,
        report,
    )
    if config.model.principal_start and start is None:
        network.model.start_from_principal_components(source.sample(256))
    module = TrainingStep(network.model, config, NoiseTable(config.seed, fabric.device))
    if fabric.device.type == "cuda" and steps >= _WORTH_FUSING:
        module.fuse()
    if run is not None and fabric.is_global_zero:
        begin_run(run, restart)
    fabric.barrier()
    if config.trains:
        optimise(fabric, module, source, config, steps, run, report)
    engine = TorchEngine(network, str(fabric.device))
    inspector, training = fit_calibration(engine, training, config, ranges, rois, seen, report, left_out)
    return replace(inspector, kept=keep_images(training, pixels, tiling, ranges, config.kept, config.seed))


def _readable(image: TrainingImage, size: int, failures: list[Failure]) -> bool:
    """Whether an image decodes; calibration comes after hours of training, too late to find out."""
    try:
        load_square(image.path, size)
    except ImageError as error:
        failures.append(Failure(str(image.path), error))
        return False
    return True


def _require_all_products(training: TrainingSet, failures: list[Failure]) -> None:
    for part, use in ((training.train, "train on"), (training.held, "calibrate with")):
        present = {image.product for image in part}
        if missing := [product for product in training.products if product not in present]:
            reasons = "; ".join(failure.error.message for failure in failures[:3])
            raise DataError(
                f"No image of '{missing[0]}' that can be read is left to {use}. Unreadable: {reasons}",
                "Replace the unreadable files: blemish check DATA names them.",
            )


def intensity_ranges(training: TrainingSet) -> dict[str, IntensityRange | None]:
    """How the grey values of each product's deep images are scaled, from its training images."""
    return {
        product: intensity_range(image.path for image in training.train if image.product == product)
        for product in training.products
    }


def _synthesis(config: TrainConfig) -> PseudoAnomalies:
    shares, size = config.pseudo_anomalies, config.model.size
    return PseudoAnomalies(
        size,
        config.seed,
        None if shares.textures is None else FolderTextures(shares.textures, size),
        PseudoAnomalyConfig(
            self_paste_probability=shares.self_paste,
            photometric_probability=shares.photometric,
            warp_probability=shares.warp,
            blur_probability=shares.blur,
            painted_probability=shares.painted,
            keep_grey=shares.keep_grey,
            minimum_change=shares.minimum_change,
        ),
    )


def _examples(pixels: NDArray[np.uint8], synthesis: PseudoAnomalies) -> Iterator[Tensor]:
    """Some training images and pseudo-anomalous versions of them, spread evenly over all products."""
    rows = np.unique(np.linspace(0, len(pixels) - 1, _EXAMPLES).astype(np.int64))
    for start in range(0, len(rows), CHUNK):
        clean = pixels[rows[start : start + CHUNK]]
        yield torch.from_numpy(clean)
        yield torch.from_numpy(synthesis.make(clean, rows[start : start + CHUNK].tolist())[0])


def _run_folder(target: Path, config: TrainConfig, training: TrainingSet) -> RunFolder:
    images: list[TrainingImage] = [*training.train, *training.held]
    files = ((image.path, image.product) for image in images)
    return RunFolder.beside(
        target,
        fingerprint(config.model_dump(mode="json", exclude={"checkpoint_minutes", "false_alarm_rate"}), files),
    )
