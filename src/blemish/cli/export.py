"""`blemish export`: a trained model for ONNX Runtime or OpenVINO."""

from __future__ import annotations

import json
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish.cli import options
from blemish.cli.messages import SOME_UNREADABLE, quoted
from blemish.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from blemish.export import Parity
    from blemish.inspector import Inspector


class Format(str, Enum):
    onnx = "onnx"
    openvino = "openvino"


class Precision(str, Enum):
    float32 = "float32"
    half = "half"
    int8 = "int8"


def export(
    model: options.Model,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OK_IMAGES",
            help="Normal images with which both models are compared and integers are scaled; otherwise those that "
            "stayed with the model.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="The new folder.", show_default=False)
    ] = None,
    format: Annotated[Format, typer.Option(help="Whose format; OpenVINO also runs models for onnx.")] = Format.onnx,
    precision: Annotated[
        Precision,
        typer.Option(
            help="float32: as trained. half: smaller files, and with OpenVINO faster on processors that compute so. "
            "int8: convolutions in integers."
        ),
    ] = Precision.float32,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    offline: options.Offline = False,
) -> None:
    """Write a model that runs without PyTorch: `pip install 'blemish[runtime]'` inspects with it.

    OUT is a model folder like any other, with thresholds, p-values and categories. Before it is written, both models
    inspect the same images, normal ones and ones with artificial defects; the largest differences are printed, and
    nothing is written when they are larger than the precision explains.

    Examples:

        blemish export line.blemish -o line-onnx.blemish

        blemish export line.blemish ok-images/ -o line-int8.blemish --precision int8

        blemish export line.blemish -o line-openvino.blemish --format openvino --precision half
    """
    from blemish.cli.console import console, duration, plain_table, say
    from blemish.cli.inputs import load_inspector
    from blemish.export import export as export_model

    started = time.monotonic()
    if output is None:
        raise ConfigError("It is not said where the new model goes.", "Add: -o OUT")
    inspector = load_inspector(model, options.Engine.auto, "cpu", offline)
    shown, unreadable = _pixels(inspector, images)
    parity = export_model(inspector, output, format.value, precision.value, images=shown, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps({"model": str(output), **_plain(parity), "unreadable": unreadable}, indent=2))
    else:
        say(f"Exported in {duration(time.monotonic() - started)}: {quoted(output)}", style="bold")
        rows = [
            (one.name, f"{one.largest:.2g}", "–" if one.allowed is None else f"{one.allowed:.2g}")
            for one in parity.differences
        ]
        heads = (f"largest difference, {parity.images} images", "found", "allowed")
        console().print(plain_table(heads, rows))
        say("Scores and maps are in units of the threshold; product, verdict and category are numbers of images.")
        say("Next:")
        say(f"  blemish inspect {quoted(output)} new-images/ -o inspections")
    if unreadable:
        raise typer.Exit(SOME_UNREADABLE)


def _pixels(inspector: Inspector, names: list[str] | None) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """Images as the network sees them, as many as an export looks at, and the files that cannot be read."""
    from blemish.cli.console import say
    from blemish.cli.inputs import named_images
    from blemish.errors import ImageError
    from blemish.export import looked_at

    shown: list[NDArray[np.uint8]] = []
    unreadable: list[str] = []
    for path in looked_at(inspector, list(named_images(names)[0])) if names else ():
        try:
            shown.append(inspector.seen_pixels(path))
        except ImageError as error:
            say(f"Left out: {error.message}", style="yellow", stderr=True)
            unreadable.append(str(path))
    if names and not shown:
        raise ConfigError("None of these images can be read.", "Name others, or none at all.")
    return shown, unreadable


def _plain(parity: Parity) -> dict[str, object]:
    differences = {one.name: {"largest": one.largest, "allowed": one.allowed} for one in parity.differences}
    return {"images": parity.images, "differences": differences}
