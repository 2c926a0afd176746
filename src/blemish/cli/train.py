"""`blemish train`: from folders of normal images to a model."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish.cli import options
from blemish.cli.console import duration, plain_table, say
from blemish.cli.messages import SOME_UNREADABLE, quoted
from blemish.errors import ConfigError, DataError

if TYPE_CHECKING:
    from blemish.config import TrainConfig
    from blemish.data.dataset import Dataset
    from blemish.inspection import Failure
    from blemish.inspector import Inspector

_OPTIONS = {
    "preset": "--preset",
    "seed": "--seed",
    "steps": "--steps",
    "init": "--init",
    "false_alarm_rate": "--false-alarm-rate",
    "precision": "--precision",
    "backbone.name": "--backbone",
    "backbone.weights": "--backbone-weights",
    "model.tiles": "--tiles",
    "pseudo_anomalies.textures": "--textures",
}


def train(
    data: options.Data,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL", help="Model folder to write.", show_default=False)
    ],
    preset: Annotated[
        options.Preset, typer.Option(help="fast: minutes on a CPU; accurate: longer; paper: OneNIP's own setting.")
    ] = options.Preset.fast,
    false_alarm_rate: options.FalseAlarmRate = None,
    defects: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DEFECTS",
            help="Labelled defects, from which the model learns names afterwards, as by blemish teach; repeatable.",
            show_default=False,
        ),
    ] = None,
    priors: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Descriptions of categories, likewise.", show_default=False),
    ] = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    restart: options.Restart = False,
    split: options.Split = options.SplitRule.group,
    roi: options.Roi = None,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed gives the same model.", rich_help_panel=options.TRAINING)
    ] = 0,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Optimiser steps; by default the preset's.", rich_help_panel=options.TRAINING),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="embedded, timm:<model>, or transformers:<folder>; by default the preset's.",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    backbone_weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The backbone's weights (safetensors), for machines without internet.",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Start from the weights of this model folder, or of shipped: the model that comes with Blemish, "
            "which was trained on procedural products. By default from random weights.",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    tiles: Annotated[
        str,
        typer.Option(
            metavar="auto|N",
            help="Cut images into N × N overlapping tiles and look at each at the network's resolution, for small "
            "defects on large images; auto: as many as their size asks for. Inspecting takes N × N times as long.",
            rich_help_panel=options.TRAINING,
        ),
    ] = "1",
    textures: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Texture images for the pseudo-anomalies, such as DTD; by default procedural ones.",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    values: options.Values = None,
    devices: options.Devices = "auto",
    precision: Annotated[
        options.Precision | None, typer.Option(help="By default the preset's.", rich_help_panel=options.RUNTIME)
    ] = None,
    offline: options.Offline = False,
) -> None:
    """Train one model for all products, from their normal images alone.

    Defective and test images in DATA are not looked at; from --defects the model learns names afterwards. A run that
    was stopped continues with --resume.

    Examples:

        blemish train images/ -o line.blemish

        blemish train bottles/ caps/ line3.csv -o line.blemish --false-alarm-rate 0.005

        blemish train images/ -o line.blemish --roi bottle=bottle-mask.png --resume

        blemish train images/ -o line.blemish --defects defects/

        blemish train boards/ -o boards.blemish --tiles auto

        blemish train images/ -o line.blemish --init shipped --steps 100

        blemish train images/ -o line.blemish --set model.prompt_patches=60000 --set pseudo_anomalies.painted=0.5
    """
    from blemish.cli.console import training_progress
    from blemish.cli.inputs import read_rois, read_values
    from blemish.cli.teach import read_lessons, teach_model
    from blemish.config import TrainConfig
    from blemish.config.base import merged
    from blemish.data.dataset import Dataset
    from blemish.files import check_target
    from blemish.model_folder import CONFIG
    from blemish.training.train import train as train_model

    started = time.monotonic()
    # Further processes of one training repeat this command; one of them speaks for all.
    quiet = os.environ.get("LOCAL_RANK", "0") != "0"
    changes = _changes(seed, steps, init, false_alarm_rate, precision, backbone, backbone_weights, textures)
    config = TrainConfig.of(preset.value, **merged(changes, read_values(values or [], _OPTIONS)))
    check_target(output, overwrite=overwrite, marker=CONFIG)
    dataset = Dataset.from_folder(*data, split=split.value, seed=seed)
    refuse_fatal(dataset)
    config = _tiled(config, tiles, dataset)
    rois = read_rois(roi or [], dataset.products)
    sets, described = read_lessons(defects or [], priors)
    if described is not None:
        described.check_products(dataset.products)
    if not quiet:
        _announce(dataset, config)
    failures: list[Failure] = []
    try:
        with training_progress(quiet=quiet) as progress:
            inspector = train_model(
                dataset,
                config,
                output=output,
                overwrite=overwrite,
                resume=resume,
                restart=restart,
                devices=devices,
                offline=offline,
                rois=rois,
                progress=progress,
                left_out=failures.append,
            )
    except KeyboardInterrupt:
        say(f"\nThe run so far lies in {output}.run: continue it with --resume.", stderr=True)
        raise
    if sets or described is not None:
        inspector = teach_model(
            inspector,
            sets,
            described,
            output,
            preset=preset,
            changes={"seed": seed},
            overwrite=True,
            restart=True,
            devices=devices,
        )
    if not quiet:
        say(f"Trained in {duration(time.monotonic() - started)}: {output}", style="bold")
        print_calibration(inspector)
        _print_next(output, data, bool(dataset.test()), split)
        for failure in failures:
            say(f"Left out: {failure.error.message}", style="yellow", stderr=True)
        if failures:
            raise typer.Exit(SOME_UNREADABLE)


def refuse_fatal(dataset: Dataset) -> None:
    """Raises DataError when training on this data set cannot give what was asked for; no image is opened."""
    fatal = [problem for problem in dataset.problems if problem.severity == "fatal"]
    if fatal:
        raise DataError("\n  ".join(problem.message for problem in fatal), fatal[0].remedy)
    if missing := [product for product in dataset.products if not dataset.train_normals(product)]:
        raise DataError(
            f"There are no normal training images of {', '.join(missing)}.", "Add some, or leave the product out."
        )


def print_calibration(inspector: Inspector, products: Iterable[str] | None = None) -> None:
    """What each product's verdicts promise; `products`: only theirs."""
    for name in inspector.products if products is None else products:
        say(f"  {name}: false-alarm rate {inspector.calibration[name].statement()}.")


def _changes(
    seed: int,
    steps: int | None,
    init: str | None,
    false_alarm_rate: float | None,
    precision: options.Precision | None,
    backbone: str | None,
    backbone_weights: Path | None,
    textures: Path | None,
) -> dict[str, Any]:
    """What the command line changes in the preset."""
    changes: dict[str, Any] = {"seed": seed, "steps": steps, "init": init, "false_alarm_rate": false_alarm_rate}
    changes["precision"] = precision.value if precision else None
    changes["pseudo_anomalies"] = {"textures": Path(os.path.abspath(textures))} if textures else None
    given = {name: value for name, value in changes.items() if value is not None}
    network: dict[str, Any] = {}
    if backbone is not None:
        network = {"name": backbone, "levels": None}
    if backbone_weights is not None:
        network["weights"] = Path(os.path.abspath(backbone_weights))
    return given | ({"backbone": network} if network else {})


def _tiled(config: TrainConfig, tiles: str, dataset: Dataset) -> TrainConfig:
    from blemish.config import MOST_TILES
    from blemish.training.images import suitable_tiles

    if tiles == "auto":
        count = suitable_tiles(dataset, config.model.size)
    elif tiles.isdecimal() and 1 <= int(tiles) <= MOST_TILES:
        count = int(tiles)
    else:
        raise ConfigError(f"Images cannot be cut into '{tiles}' tiles.", f"Say auto, or 1 to {MOST_TILES} per axis.")
    return config.model_copy(update={"model": config.model.model_copy(update={"tiles": count})})


def print_data(dataset: Dataset) -> None:
    """How folders were understood, and the normal images of each product."""
    from blemish.cli.console import console

    for one in dataset.layouts:
        say(f"{one.root}: {one.sentence}")
    rows = [(product, len(dataset.train_normals(product))) for product in dataset.products]
    console().print(plain_table(("product", "normal images"), rows))
    if warnings := sum(problem.severity == "warning" for problem in dataset.problems):
        say(f"{warnings} warnings about this data: see blemish check.", style="yellow")


def _announce(dataset: Dataset, config: TrainConfig) -> None:
    print_data(dataset)
    tiling = config.model.tiling
    if tiling.count > 1:
        say(f"Images are scaled to {tiling.side} px and cut into {tiling.count} × {tiling.count} overlapping tiles.")
    if config.init is not None:
        say(f"The network starts from the weights of {config.init}.")


def _print_next(output: Path, data: list[Path], has_test: bool, split: options.SplitRule) -> None:
    model = quoted(output)
    say("Next:")
    if has_test:
        rule = f" --split {split.value}" if split is not options.SplitRule.group else ""
        say(f"  blemish evaluate {model} {' '.join(map(quoted, data))}{rule} --report report.html")
    say(f"  blemish inspect {model} new-images/ -o inspections")
