"""`blemish demo`: the whole way, on images that it draws itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish.cli import options
from blemish.cli.console import console, counting, duration, plain_table, say, training_progress
from blemish.cli.messages import quoted
from blemish.errors import BlemishError

if TYPE_CHECKING:
    from blemish.data.dataset import Dataset

IMAGES, MODEL, REPORT, SCORECARD = "images", "demo.blemish", "report.html", "scorecard.json"
# 24 of 60 normal images calibrate: the fewest that can nearly promise the rate that is asked for, 1/25 for 5 %.
_NORMAL, _HOLD_OUT, _FALSE_ALARM_RATE = 60, 0.4, 0.05
_EXAMPLES = 2  # labelled examples of each category
# A quarter of the preset's: drawn parts vary less than real ones, and a demo should not take longer than a coffee.
_STEPS = 100


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where images, model and report go.")
    ] = Path("blemish-demo"),
    overwrite: options.Overwrite = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same images and the same model.")] = 0,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
) -> None:
    """Draw products with and without defects, train one model for all of them, teach it the names of the defects from
    two examples each, and test it on unseen images.

    Takes a few minutes on two CPU cores; needs no GPU, no download and no data.

    Examples:

        blemish demo

        blemish demo --output /tmp/demo --overwrite --seed 1 --open
    """
    started = time.monotonic()
    dataset = _draw(output, overwrite, seed)
    _check(dataset)
    _train(dataset, output, seed)
    _teach(output)
    _evaluate(dataset, output)
    report = output / REPORT
    say(f"\nDone in {duration(time.monotonic() - started)}. Report: {report}", style="bold")
    _print_next(output)
    if open_report:
        import webbrowser

        webbrowser.open(report.resolve().as_uri())


def _draw(output: Path, overwrite: bool, seed: int) -> Dataset:
    from blemish.data.dataset import Dataset
    from blemish.procedural.demo import MARKER, make_demo

    started = time.monotonic()
    images = output / IMAGES
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        if not overwrite:
            raise BlemishError(f"{output} exists already.", "Choose another folder with --output, or say --overwrite.")
        if not (images / MARKER).is_file():
            raise BlemishError(f"{output} holds no earlier demo, so it is not replaced.", "Choose another folder.")
    say(f"1. Drawing images to {images}", style="bold")
    make_demo(images, seed=seed, train=_NORMAL, examples=_EXAMPLES, overwrite=overwrite)
    dataset = Dataset.from_folder(images)
    say(f"   {len(dataset)} images in {duration(time.monotonic() - started)}")
    return dataset


def _check(dataset: Dataset) -> None:
    from blemish.cli.train import refuse_fatal

    say("2. Looking at the data", style="bold")
    refuse_fatal(dataset)
    rows = []
    for product in dataset.products:
        train, test = dataset.train_normals(product), dataset.test(product)
        defects = sorted({sample.defect or "" for sample in test if sample.defective})
        bad = sum(sample.defective for sample in test)
        rows.append((product, len(train), len(test) - bad, bad, ", ".join(defects)))
    heads = ("product", "train normal", "test normal", "test defective", "defects")
    console().print(plain_table(heads, rows, text_columns=(0, 4)))


def _train(dataset: Dataset, output: Path, seed: int) -> None:
    from blemish.cli.train import print_calibration
    from blemish.config import TrainConfig
    from blemish.training.train import train

    started = time.monotonic()
    say("3. Training one model for all products, from the normal images alone", style="bold")
    config = TrainConfig.of("fast", seed=seed, steps=_STEPS, hold_out=_HOLD_OUT, false_alarm_rate=_FALSE_ALARM_RATE)
    with training_progress() as progress:
        inspector = train(
            dataset, config, output=output / MODEL, overwrite=True, restart=True, offline=True, progress=progress
        )
    say(f"   trained in {duration(time.monotonic() - started)}")
    print_calibration(inspector)


def _teach(output: Path) -> None:
    from blemish.cli.teach import read_lessons, teach_model
    from blemish.inspector import Inspector

    started = time.monotonic()
    say(f"4. Teaching it the names of the defects, from {_EXAMPLES} examples of each", style="bold")
    inspector = Inspector.load(output / MODEL, offline=True)
    sets, _ = read_lessons([output / IMAGES], None)
    teach_model(inspector, sets, None, output / MODEL, overwrite=True, restart=True)
    say(f"   taught in {duration(time.monotonic() - started)}")


def _evaluate(dataset: Dataset, output: Path) -> None:
    from blemish.evaluation.evaluate import evaluate
    from blemish.evaluation.scorecard_tables import scorecard_tables
    from blemish.inspector import Inspector

    started = time.monotonic()
    say("5. Evaluating on unseen images", style="bold")
    meta = {"model": str(output / MODEL), "data": str(output / IMAGES), "command": "blemish demo"}
    with counting("Inspecting", len(dataset.test())) as progress:
        card = evaluate(
            Inspector.load(output / MODEL, offline=True),
            dataset,
            report=output / REPORT,
            meta=meta,
            progress=lambda done, _: progress(done),
        )
    card.save(output / SCORECARD)
    say(f"   {len(card.records)} images in {duration(time.monotonic() - started)}")
    console().print(*scorecard_tables(card))
    mean = card.mean("i_auroc")
    if mean is not None:
        say(f"Image AUROC, mean of {len(card.products)} products: {100 * mean:.1f} %", style="bold")
    if (accuracy := card.mean("accuracy")) is not None:
        say(f"Defects and normal images named rightly: {100 * accuracy:.1f} %", style="bold")


def _print_next(output: Path) -> None:
    model, images = quoted(output / MODEL), quoted(output / IMAGES)
    say("Next:")
    say(f"  blemish inspect {model} {images} -o {quoted(output / 'inspections')}")
    say("And with your own images, one folder of normal ones per product:")
    say("  blemish check my-images/")
    say("  blemish train my-images/ -o line.blemish")
