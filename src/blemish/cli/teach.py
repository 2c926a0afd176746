"""`blemish teach`: names for what a model finds."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blemish.cli import options
from blemish.cli.console import console, duration, plain_table, say, training_progress
from blemish.cli.messages import quoted
from blemish.errors import ConfigError

if TYPE_CHECKING:
    from blemish.data.defects.read import DefectSet
    from blemish.data.priors import Priors
    from blemish.inspector import Inspector

_SHOWN = 5
_OPTIONS = {name: f"--{name}" for name in ("preset", "seed", "steps", "images", "embeddings")}


def teach(
    model: options.Model,
    defects: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DEFECTS",
            help="Labelled defects: folders per category, COCO, LabelMe, YOLO, manifests, or any known data set.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="NEW", help="Model folder to write.", show_default=False)
    ] = None,
    priors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Descriptions of categories, with or without examples; see blemish init-defects."
        ),
    ] = None,
    preset: Annotated[
        options.Preset, typer.Option(help="fast: minutes on a CPU; accurate: longer; paper: UniADC's own setting.")
    ] = options.Preset.fast,
    product: options.Product = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    restart: options.Restart = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="By default the model's.", rich_help_panel=options.TRAINING)
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Optimiser steps; by default the preset's.", rich_help_panel=options.TRAINING),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1, help="Synthetic images per category; by default the preset's.", rich_help_panel=options.TRAINING
        ),
    ] = None,
    embeddings: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of the categories: anchors (no text model), clip:FOLDER or file:FILE.safetensors.",
            rich_help_panel=options.TRAINING,
        ),
    ] = None,
    values: options.Values = None,
    engine: options.RuntimeEngine = options.Engine.auto,
    devices: options.Devices = "auto",
    offline: options.Offline = False,
) -> None:
    """Teach a model the names of defects, from one or two examples of each, or from descriptions.

    What the model learned before stays: its OneNIP half is not touched, and earlier categories are kept. Examples
    without a mask get one from the anomaly map. Descriptions without examples are painted procedurally, and so are some
    defects of categories with examples, where the name or description says how.

    Examples:

        blemish teach line.blemish defects/ -o line2.blemish

        blemish teach line.blemish labels.json --product bottle -o line2.blemish

        blemish teach line.blemish --priors defects.yaml -o line2.blemish
    """
    from blemish.cli.inputs import load_inspector, read_values
    from blemish.files import check_target
    from blemish.model_folder import CONFIG

    started = time.monotonic()
    if output is None:
        raise ConfigError("It is not said where the new model goes.", "Add: -o NEW")
    if not defects and priors is None:
        raise ConfigError("There is nothing to learn from.", "Name labelled defects, or descriptions: --priors FILE.")
    check_target(output, overwrite=overwrite, marker=CONFIG)
    further = read_values(values or [], _OPTIONS)
    sets, described = read_lessons(defects or [], priors, product)
    inspector = load_inspector(model, engine, "auto", offline)
    taught = teach_model(
        inspector,
        sets,
        described,
        output,
        preset=preset,
        changes={**given(seed=seed, steps=steps, images=images, embeddings=embeddings), **further},
        overwrite=overwrite,
        resume=resume,
        restart=restart,
        devices=devices,
    )
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return
    say(f"Taught in {duration(time.monotonic() - started)}: {output}", style="bold")
    for name in taught.categories:
        say(f"  {name}: false-alarm rate {taught.calibration[name].statement()}.")
    say("Next:")
    say(f"  blemish inspect {quoted(output)} new-images/ -o inspections")


def given(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def read_lessons(
    defects: list[Path], priors: Path | None, product: str | None = None
) -> tuple[list[DefectSet], Priors | None]:
    """Labelled defects and descriptions, read before any long work starts."""
    from blemish.data.defects.read import read_defects
    from blemish.data.priors import Priors

    return [read_defects(path, product=product) for path in defects], None if priors is None else Priors.load(priors)


def teach_model(
    inspector: Inspector,
    sets: list[DefectSet],
    described: Priors | None,
    output: Path,
    *,
    preset: options.Preset = options.Preset.fast,
    changes: dict[str, Any] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    restart: bool = False,
    devices: str = "auto",
) -> Inspector:
    """Announce labelled defects and descriptions, and teach with a progress bar."""
    from blemish.config import TeachConfig
    from blemish.training.teach import teach as teach_categories

    quiet = os.environ.get("LOCAL_RANK", "0") != "0"
    if not quiet:
        _announce(sets, described, inspector)
    config = TeachConfig.of(preset.value, **{"seed": inspector.config.seed, **(changes or {})})
    with training_progress(quiet=quiet) as progress:
        taught, problems = teach_categories(
            inspector,
            [example for one in sets for example in one.examples],
            config,
            priors=described,
            output=output,
            overwrite=overwrite,
            resume=resume,
            restart=restart,
            devices=devices,
            progress=progress,
        )
    if not quiet:
        found = [*(problem for one in sets for problem in one.problems), *problems]
        for problem in found[:_SHOWN]:
            say(f"{problem.message} {problem.remedy}", style="yellow", stderr=True)
        if len(found) > _SHOWN:
            say(f"… and {len(found) - _SHOWN} more.", style="yellow", stderr=True)
    return taught


def _announce(sets: list[DefectSet], priors: Priors | None, inspector: Inspector) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    exact: Counter[tuple[str, str]] = Counter()
    for one in sets:
        say(f"{len(one.examples)} labelled images: {one.format}")
        for example in one.examples:
            for category in example.categories:
                where = example.product or "(to be found out)"
                counts[where, category] += 1
                exact[where, category] += all(m.exact for m in example.markings if m.category == category)
    for name in inspector.products if priors is not None else ():
        for category in priors.for_product(name) if priors is not None else ():
            counts.setdefault((name, category), 0)
    rows = [
        (product, category, count or "described only", exact[product, category])
        for (product, category), count in sorted(counts.items())
    ]
    console().print(plain_table(("product", "category", "examples", "with a mask"), rows, text_columns=(0, 1)))
