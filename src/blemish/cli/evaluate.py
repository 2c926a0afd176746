"""`blemish evaluate`: how good is a model?"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blemish.cli import options
from blemish.cli.console import console, counting, say
from blemish.cli.messages import SOME_UNREADABLE, quoted

if TYPE_CHECKING:
    from blemish.data.dataset import Dataset
    from blemish.evaluation.scorecard import Scorecard
    from blemish.inspector import Inspector

_SHOWN = 5
_LISTED = 40  # shots that are named where all normal images are among them


def evaluate(
    model: options.Model,
    data: options.Data,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="HTML report to write.", show_default=False)
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="JSON scorecard to write, all images in it.", show_default=False),
    ] = None,
    protocol: Annotated[
        options.Protocol,
        typer.Option(
            help="honest: each image on its own; paper: fused over the whole test set as in the release of OneNIP, "
            "for comparison with published figures."
        ),
    ] = options.Protocol.honest,
    shots: Annotated[
        str | None,
        typer.Option(
            metavar="KN,KA",
            help="Few-shot: learn from KN normal images of every product (or 'all' that the model has seen) and KA "
            "labelled defects of every category, drawn by seed, and test on the rest.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="With --shots: so many draws, mean ± deviation.")] = 3,
    priors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --shots: descriptions of the categories.")
    ] = None,
    split: options.Split = options.SplitRule.group,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of that split; by default the model's.", rich_help_panel=options.DATA),
    ] = None,
    engine: options.RuntimeEngine = options.Engine.auto,
    device: options.Device = "auto",
    offline: options.Offline = False,
) -> None:
    """Compare verdicts and maps with the truth: a scorecard per product, and an HTML report.

    The model is not told which product an image shows. Data without a split of its own is split again as for
    training: give the same --split.

    Examples:

        blemish evaluate line.blemish images/ --report report.html

        blemish evaluate line.blemish bottles/ caps/ --json scorecard.json

        blemish evaluate line.blemish images/ --protocol paper

        blemish evaluate line.blemish images/ --shots all,2 --seeds 3
    """
    from blemish.cli.inputs import load_inspector
    from blemish.data.dataset import Dataset
    from blemish.evaluation.evaluate import evaluate as evaluate_model
    from blemish.evaluation.scorecard_tables import scorecard_tables

    inspector = load_inspector(model, engine, device, offline)
    dataset = Dataset.from_folder(*data, split=split.value, seed=inspector.config.seed if seed is None else seed)
    meta: dict[str, object] = {
        "model": model,
        "data": [str(path) for path in data],
        "split": split.value,
        "command": " ".join(["blemish", *map(quoted, sys.argv[1:])]),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    if shots is not None:
        _few_shot(inspector, dataset, shots, seeds, split, priors, protocol, report, json_file, meta)
        return
    with counting("Inspecting", len(dataset.test())) as progress:
        card = evaluate_model(
            inspector,
            dataset,
            protocol=protocol.value,
            report=report,
            meta=meta,
            progress=lambda done, _: progress(done),
        )
    if json_file is not None:
        card.save(json_file)
    console().print(*scorecard_tables(card))
    _print_remarks(card)
    for name, path in (("Report", report), ("Scorecard", json_file)):
        if path is not None:
            say(f"{name}: {path}", style="bold")
    if card.meta["unreadable"]:
        raise typer.Exit(SOME_UNREADABLE)


def _few_shot(
    inspector: Inspector,
    dataset: Dataset,
    shots: str,
    seeds: int,
    split: options.SplitRule,
    priors: Path | None,
    protocol: options.Protocol,
    report: Path | None,
    json_file: Path | None,
    meta: dict[str, object],
) -> None:
    """Draw, learn and test once for every seed, then print mean and spread."""
    from blemish.cli.console import training_progress
    from blemish.data.priors import Priors
    from blemish.evaluation.spread import Spread
    from blemish.evaluation.spread_tables import spread_tables
    from blemish.few_shot import ShotCounts, evaluate_few_shot

    counts = ShotCounts.of(shots)
    described = None if priors is None else Priors.load(priors)
    cards = []
    with training_progress() as progress:
        for run in evaluate_few_shot(
            inspector,
            dataset,
            counts,
            range(seeds),
            rule=split.value,
            priors=described,
            protocol=protocol.value,
            report=report,
            meta=meta,
            progress=progress,
        ):
            say(f"Seed {run.shots.seed}:")
            for line in run.shots.lines() if counts.normals is not None else run.shots.lines()[-_LISTED:]:
                say(f"  {line}")
            for problem in run.shots.problems:
                say(f"  {problem.message}", style="yellow", stderr=True)
            cards.append(run.card)
    spread = Spread.of(cards, meta={**meta, "shots": shots})
    console().print(*spread_tables(spread))
    if json_file is not None:
        spread.save(json_file)
    for name, path in (("Report of the first seed", report), ("Scorecard", json_file)):
        if path is not None:
            say(f"{name}: {path}", style="bold")
    if any(card.meta["unreadable"] for card in cards):
        raise typer.Exit(SOME_UNREADABLE)


def _print_remarks(card: Scorecard) -> None:
    """What limits the meaning of the figures."""
    if card.protocol != "honest":
        say("Transductive: an image's score depends on the other test images. Verdicts are the model's own.")
    unreadable = [f"Left out: {entry['reason']}" for entry in card.meta["unreadable"]]
    for remarks in (card.meta["warnings"], unreadable):
        for remark in remarks[:_SHOWN]:
            say(remark, style="yellow", stderr=True)
        if len(remarks) > _SHOWN:
            say(f"… and {len(remarks) - _SHOWN} more: --json FILE has all of them.", style="yellow", stderr=True)
