"""`blemish add-product`: a further product for a trained model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from blemish.cli import options
from blemish.cli.messages import SOME_UNREADABLE, quoted
from blemish.errors import ConfigError


def add_product(
    model: options.Model,
    data: options.Data,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="NEW", help="Model folder to write.", show_default=False)
    ] = None,
    roi: options.Roi = None,
    split: options.Split = options.SplitRule.group,
    overwrite: options.Overwrite = False,
    device: options.Device = "auto",
    offline: options.Offline = False,
) -> None:
    """Let a trained model inspect further products, from normal images of each, without training again.

    The network, and what it says of the products that it knows, stay as they are; only prompts and thresholds are
    added. Which product an image is taken for may change, since there are more to choose from: it is counted and said.
    With the preset fast the new product is inspected as if it had been there from the start, but for the refiner, which
    has not seen it.

    Examples:

        blemish add-product line.blemish images/bracket -o line2.blemish

        blemish add-product line.blemish new-products/ -o line2.blemish --roi bracket=mask.png
    """
    from blemish.cli.console import console, duration, plain_table, say, training_progress
    from blemish.cli.inputs import load_inspector, read_rois
    from blemish.cli.train import print_calibration, print_data, refuse_fatal
    from blemish.data.dataset import Dataset
    from blemish.files import check_target
    from blemish.model_folder import CONFIG
    from blemish.training.add_product import add_products

    started = time.monotonic()
    if output is None:
        raise ConfigError("It is not said where the new model goes.", "Add: -o NEW")
    check_target(output, overwrite=overwrite, marker=CONFIG)
    inspector = load_inspector(model, options.Engine.auto, device, offline, grows=True)
    dataset = Dataset.from_folder(*data, split=split.value, seed=inspector.config.seed)
    refuse_fatal(dataset)
    print_data(dataset)
    with training_progress() as progress:
        grown, confused, failures = add_products(
            inspector, dataset, rois=read_rois(roi or [], dataset.products), progress=progress
        )
    grown.save(output, overwrite=overwrite)
    new = grown.products[len(inspector.products) :]
    say(f"Added {', '.join(new)} in {duration(time.monotonic() - started)}: {quoted(output)}", style="bold")
    print_calibration(grown, new)
    rows = [(one.product, one.images, one.before, one.after) for one in confused]
    heads = ("normal images of", "kept", "taken for another before", "now")
    console().print(plain_table(heads, rows))
    if inspector.config.model.decoder != "none":
        say("Its transformer has not been trained on the new product; train anew if that matters.", style="yellow")
    for failure in failures:
        say(f"Left out: {failure.error.message}", style="yellow", stderr=True)
    say("Next:")
    say(f"  blemish inspect {quoted(output)} new-images/ -o inspections")
    if failures:
        raise typer.Exit(SOME_UNREADABLE)
