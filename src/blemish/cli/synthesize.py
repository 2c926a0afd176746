"""`blemish synthesize`: images of defects that nobody has seen yet."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish.cli import options
from blemish.cli.console import console, counting, duration, plain_table, say
from blemish.cli.messages import quoted
from blemish.errors import ConfigError

if TYPE_CHECKING:
    from blemish.data.dataset import Dataset
    from blemish.synthesis.task import Key

SHEET = "sheet.png"


class ForegroundName(str, Enum):
    none = "none"
    auto = "auto"


def synthesize(
    data: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DATA", help="Normal images: folders in any known layout, or manifests."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where images, masks and manifest go.")
    ] = None,
    priors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What the defects look like; see blemish init-defects.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Images per product and category.")] = 16,
    size: Annotated[int, typer.Option(min=32, help="Side of the images in pixels.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same images.")] = 0,
    foreground: Annotated[
        ForegroundName,
        typer.Option(help="Where defects may be: auto finds products before a plain background; none: everywhere."),
    ] = ForegroundName.auto,
    overwrite: options.Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an unfinished run.")] = False,
    show_shapes: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw all mask shapes with their names to this file, and nothing else."),
    ] = None,
) -> None:
    """Make images of defects from their descriptions, with masks, to train on.

    Without a diffusion model the defects are painted procedurally on normal training images: plain likenesses, and
    marked as painted in the manifest. OUTPUT is a data set; sheet.png in it shows what was made.

    Examples:

        blemish synthesize images/ --priors defects.yaml -o synthetic

        blemish synthesize images/ --priors defects.yaml -o synthetic --count 64 --seed 1 --resume

        blemish synthesize --show-shapes shapes.png
    """
    if show_shapes is not None:
        _draw_shapes(show_shapes, size, seed)
        return
    if not data or output is None or priors is None:
        raise ConfigError(
            "Nothing says what to make: DATA, --output and --priors are needed.",
            "Write: blemish synthesize DATA --priors defects.yaml -o FOLDER.",
        )
    from blemish.data.dataset import Dataset
    from blemish.data.priors import Priors
    from blemish.synthesis.folder import SyntheticFolder
    from blemish.synthesis.synthesize import synthesize as make
    from blemish.synthesis.task import plan

    started = time.monotonic()
    known = Priors.load(priors)
    dataset = Dataset.from_folder(*data)
    tasks = plan(dataset, known, count)
    settings = {"mode": "painter", "size": size, "seed": seed, "foreground": foreground.value}
    folder = SyntheticFolder(output, settings, overwrite=overwrite, resume=resume)
    say("The defects are painted procedurally: likenesses, not photographs.", style="yellow")
    before = len(folder)
    made = make(
        dataset, known, count=count, size=size, seed=seed, foreground=foreground.value, mode="painter", done=folder
    )
    waiting = sum(task.key not in folder for task in tasks)
    try:
        with counting("Painting", waiting) as progress:
            for number, (task, item) in enumerate(made, start=1):
                folder.add(item, task.number)
                progress(number)
    except KeyboardInterrupt:
        say(f"\n{len(folder)} images lie in {output}: continue with --resume.", stderr=True)
        raise
    _report(output, [task.key for task in tasks])
    say(f"{len(folder) - before} images in {duration(time.monotonic() - started)}: {output}", style="bold")
    say(f"Look at {quoted(output / SHEET)}; the manifest says how each was made.")


def _draw_shapes(file: Path, size: int, seed: int) -> None:
    from blemish.files import replaced
    from blemish.synthesis.shapes import contact_sheet

    with replaced(file) as temporary:
        contact_sheet(size, seed).save(temporary, format="PNG")
    say(f"All shapes: {file}")


def _report(output: Path, keys: list[Key]) -> None:
    """A table of what there is now, and the same as a picture."""
    from collections import Counter

    from blemish.data.dataset import Dataset
    from blemish.files import replaced
    from blemish.synthesis.overview import overview

    dataset: Dataset = Dataset.from_folder(output)
    with replaced(output / SHEET) as temporary:
        picture = overview(dataset, title="Synthetic defects", note="Painted procedurally; the masks are outlined.")
        picture.save(temporary, format="PNG")
    counts = Counter((sample.product, sample.defect or "") for sample in dataset)
    kinds = dict.fromkeys((product, category) for product, category, _ in keys)
    rows = [(product, category, counts[product, category]) for product, category in kinds]
    console().print(plain_table(("product", "category", "images"), rows, text_columns=(0, 1)))
