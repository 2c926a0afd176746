"""`blemish inspect`: verdicts, maps and a report for new images."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish.cli import options
from blemish.cli.messages import exit_with, quoted
from blemish.errors import ConfigError

if TYPE_CHECKING:
    from blemish.cli.outputs import OutputFolder
    from blemish.inspection import Failure, Inspection
    from blemish.inspector import Inspector

DEFAULT_OUTPUT = "inspections"
_PROMPTED = "product"  # its name unless --product says another


def inspect(
    model: options.Model,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Images, folders, patterns such as 'in/*.png', - for a list of paths on standard input, or with "
            "--runner ray a Parquet table with a column 'path'.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help=f"Folder for the results; by default {DEFAULT_OUTPUT}, with --json none.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line per image, and nothing else, on standard output.")
    ] = False,
    overwrite: options.Overwrite = False,
    overlays: Annotated[bool, typer.Option("--overlays/--no-overlays", help="Write images under heat maps.")] = True,
    fail_on_defect: Annotated[
        bool,
        typer.Option("--fail-on-defect", help="Exit with 1 when an image is defective (no verdict is no defect)."),
    ] = False,
    product: options.Product = None,
    prompt: Annotated[
        list[Path] | None,
        typer.Option(
            "--prompt",
            metavar="FILE",
            help="A normal image of a product that the model does not know, which all images then show; may be "
            "repeated. Named by --product.",
            show_default=False,
        ),
    ] = None,
    roi: options.Roi = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Images at a time; changes no result.", rich_help_panel=options.RUNTIME)
    ] = 16,
    engine: options.RuntimeEngine = options.Engine.auto,
    device: options.Device = "auto",
    offline: options.Offline = False,
    runner: Annotated[
        options.Runner, typer.Option(help="ray: on a cluster, to Parquet.", rich_help_panel=options.CLUSTER)
    ] = options.Runner.local,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Of the Ray cluster, such as ray://head:10001; by default one on this machine.",
            rich_help_panel=options.CLUSTER,
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Models at work; by default as many as fit.",
            rich_help_panel=options.CLUSTER,
            show_default=False,
        ),
    ] = None,
    worker_gpus: Annotated[
        float, typer.Option(min=0, help="GPUs of each of them; 0.25 shares one.", rich_help_panel=options.CLUSTER)
    ] = 0,
) -> None:
    """Inspect images: score, p-value, verdict, anomaly map and defect regions for each.

    OUT holds inspections.jsonl (one line per image, written at once), maps/ (float32 .npy at model resolution), masks/,
    overlays/ and report.html. Any number of images runs in constant memory. With --runner ray it holds Parquet files,
    one row per image, instead.

    Exit codes: 0 done; 1 defects found, with --fail-on-defect; 3 done, but some images were unreadable; 2 none was
    readable. 1 goes before 3.

    Examples:

        blemish inspect line.blemish new/ -o inspections

        blemish inspect line.blemish part.png --json --fail-on-defect

        blemish inspect shipped new/ --prompt good-part.png

        find /camera -name '*.png' | blemish inspect line.blemish - -o today

        blemish inspect line.blemish paths.parquet -o table --runner ray --address ray://head:10001 --worker-gpus 1
    """
    if runner is options.Runner.ray:
        from blemish.cli.cluster import inspect_on_cluster
        from blemish.scale.ray_runner import RayJob

        if roi:
            raise ConfigError("Regions of interest are part of the model here.", "Set them: blemish calibrate --roi")
        if prompt:
            raise ConfigError("Prompts are part of the model here.", "Add the product to it: blemish add-product")
        job = RayJob(
            model, engine.value, device, offline, product, batch, address=address, workers=workers, gpus=worker_gpus
        )
        inspect_on_cluster(job, images, output, overwrite=overwrite, as_json=as_json, fail_on_defect=fail_on_defect)
        return
    from blemish.cli.console import counting
    from blemish.cli.inputs import load_inspector, named_images, read_rois
    from blemish.cli.summary import Summary

    started = time.monotonic()
    paths, total = named_images(images)
    inspector = load_inspector(model, engine, device, offline, grows=bool(prompt))
    if prompt:
        inspector, product = _prompted(inspector, prompt, product)
    for name, mask in read_rois(roi or [], inspector.products, product).items():
        inspector = inspector.with_roi(name, mask)
    if product is not None:
        inspector.calibration[product]  # a mistyped name is refused before anything is written
    if output is None and not as_json:
        output = Path(DEFAULT_OUTPUT)
    summary = Summary(inspector.calibration)
    results = inspector.inspect_many(paths, product=product, batch=batch)
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(
                _folder(output, inspector, model, overwrite, overlays) if output is not None else nullcontext()
            )
            progress = stack.enter_context(counting("Inspecting", total))
            for done, result in enumerate(results, start=1):
                _write(result, folder, as_json)
                summary.add(result)
                progress(done)
    except KeyboardInterrupt:
        summary.print(time.monotonic() - started, output, to_stderr=True)
        raise
    summary.print(time.monotonic() - started, output, to_stderr=as_json)
    exit_with(summary.inspected.total(), summary.defective.total(), summary.unreadable, fail_on_defect=fail_on_defect)


def _prompted(inspector: Inspector, prompt: list[Path], product: str | None) -> tuple[Inspector, str]:
    """The model with a product more, and that product's name."""
    from blemish.cli.console import duration, say
    from blemish.training.add_product import prompted

    started, name = time.monotonic(), product or _PROMPTED
    inspector = prompted(inspector, prompt, name)
    say(
        f"Prompted with {len(prompt)} normal image{'s' * (len(prompt) > 1)} in {duration(time.monotonic() - started)}; "
        f"false-alarm rate {inspector.calibration[name].statement()}.",
        stderr=True,
    )
    return inspector, name


def _folder(path: Path, inspector: Inspector, model: str, overwrite: bool, overlays: bool) -> OutputFolder:
    from blemish import __version__
    from blemish.cli.outputs import OutputFolder

    command = " ".join(["blemish", *map(quoted, sys.argv[1:])])
    details = {"model": model, "command": command, "blemish": __version__}
    return OutputFolder(path, inspector.calibration, details, overwrite=overwrite, overlays=overlays)


def _write(result: Inspection | Failure, folder: OutputFolder | None, as_json: bool) -> None:
    from blemish.cli.outputs import json_line

    line = json_line(result) if folder is None else folder.add(result)
    if as_json:
        print(json.dumps(line), flush=True)
