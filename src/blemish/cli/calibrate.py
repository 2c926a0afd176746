"""`blemish calibrate`: other verdicts from the same network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish.cli import options
from blemish.cli.messages import SOME_UNREADABLE, quoted
from blemish.errors import ConfigError

if TYPE_CHECKING:
    from blemish.inspection import Failure


def calibrate(
    model: options.Model,
    ok_images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OK_IMAGES",
            help="Normal images that did not train the model: files, folders, patterns, or - for a list.",
            show_default=False,
        ),
    ] = None,
    false_alarm_rate: options.FalseAlarmRate = None,
    product: options.Product = None,
    roi: options.Roi = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write another model instead of replacing MODEL.", show_default=False),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    device: options.Device = "auto",
    offline: options.Offline = False,
) -> None:
    """Set the thresholds anew, without training: from fresh normal images, or for another false-alarm rate.

    With OK_IMAGES they take the place of the product's calibration images; without, only the rate changes.

    Examples:

        blemish calibrate line.blemish --false-alarm-rate 0.002

        blemish calibrate line.blemish ok-images/ --false-alarm-rate 0.01 --product bottle

        blemish calibrate line.blemish ok-images/ --product bottle --roi bottle-mask.png
    """
    from blemish.calibration import check_rate
    from blemish.cli.console import say, training_progress
    from blemish.cli.inputs import load_inspector, named_images, read_rois
    from blemish.cli.train import print_calibration
    from blemish.files import check_target
    from blemish.model_folder import CONFIG

    if not ok_images and false_alarm_rate is None:
        raise ConfigError("There is nothing to change.", "Name normal images, or give --false-alarm-rate.")
    if roi and not ok_images:
        raise ConfigError("A region of interest needs calibration anew.", "Name normal images of the product, too.")
    target = Path(model) if output is None else output
    if output is None and not target.is_dir():
        raise ConfigError(f"{model} is no folder that could be changed.", "Name a folder to write to with --output.")
    check_target(target, overwrite=overwrite or output is None, marker=CONFIG)
    if false_alarm_rate is not None:
        check_rate(false_alarm_rate)
    inspector = load_inspector(model, options.Engine.auto, device, offline)
    failures: list[Failure] = []
    if ok_images:
        from blemish.training.calibrate import calibrate as calibrate_model

        for name, mask in read_rois(roi or [], inspector.products, product).items():
            inspector = inspector.with_roi(name, mask)
        images, _ = named_images(ok_images)
        with training_progress(quiet=as_json) as progress:
            inspector, failures = calibrate_model(
                inspector, images, product=product, false_alarm_rate=false_alarm_rate, progress=progress
            )
    elif false_alarm_rate is not None:
        inspector = inspector.with_calibration(inspector.calibration.with_rate(false_alarm_rate, product))
    inspector.save(target, overwrite=overwrite or output is None)
    for failure in failures:
        say(f"Left out: {failure.error.message}", style="yellow", stderr=True)
    if as_json:
        products = {
            name: {
                "images": one.images or one.n,
                "parts": one.n,
                "requested_rate": one.false_alarm_rate,
                "effective_rate": one.effective_rate,
                "expected_rate": one.expected_rate,
                "promised": one.promised_rate is not None,
                "threshold": one.threshold if one.n else None,
            }
            for name, one in inspector.calibration.products.items()
        }
        unreadable = [failure.source for failure in failures]
        typer.echo(json.dumps({"model": str(target), "products": products, "unreadable": unreadable}, indent=2))
    else:
        say(f"Calibrated: {quoted(target)}", style="bold")
        print_calibration(inspector)
    if failures:
        raise typer.Exit(SOME_UNREADABLE)
