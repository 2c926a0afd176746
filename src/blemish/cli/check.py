"""`blemish check`: is a data set fit for training?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from blemish.cli import options
from blemish.cli.messages import NOTHING_DONE, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from blemish.data.check import CheckReport, ProductCheck
    from blemish.data.dataset import Dataset

_SHOWN = 20
_COLOURS = {"fatal": "bold red", "warning": "yellow", "info": "cyan"}


def check(
    data: options.Data,
    as_json: options.AsJson = False,
    split: options.Split = options.SplitRule.group,
    seed: Annotated[int, typer.Option(help="Seed of that split.", min=0, rich_help_panel=options.DATA)] = 0,
) -> None:
    """Look at every image before training: counts, sizes, masks, duplicates, outliers, unreadable files.

    Exits with 2 after a fatal problem, such as a product without normal images.

    Examples:

        blemish check images/

        blemish check bottles/ caps/ line3.csv

        blemish check images/ --json > report.json
    """
    import json

    from blemish.data.check import check as look_at
    from blemish.data.dataset import Dataset

    dataset = Dataset.from_folder(*data, split=split.value, seed=seed)
    if as_json:
        report = look_at(dataset)
        typer.echo(json.dumps(report.to_dict(), indent=2))
    else:
        report = _look_and_print(dataset)
    if report.fatal:
        raise typer.Exit(NOTHING_DONE)


def _look_and_print(dataset: Dataset) -> CheckReport:
    from rich.text import Text

    from blemish.cli.console import console as standard_output
    from blemish.cli.console import counting
    from blemish.data.check import check as look_at

    console = standard_output()
    for one in dataset.layouts:
        console.print(Text(printable(f"{one.root}: {one.sentence}")), soft_wrap=True)
    with counting("Reading images", len(dataset)) as progress:
        report = look_at(dataset, lambda done, _: progress(done))
    console.print(_table(report))
    for product in report.products:
        if details := _details(product):
            console.print(Text(printable(f"{product.product}: {'; '.join(details)}")))
    _print_problems(console, report)
    return report


def _table(report: CheckReport) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    table.add_column("\nproduct", overflow="fold")
    for heading in (
        "train\nnormal",
        "test\nnormal",
        "defec-\ntive",
        "\nmasks",
        "commonest\nsize",
        "\nbits",
        "train\n= test",
        "bad\nfiles",
    ):
        table.add_column(heading, justify="right")
    for product in report.products:
        defective = sum(product.train_defective.values()) + sum(product.test_defective.values())
        table.add_row(
            Text(printable(product.product)),
            str(product.train_normal),
            str(product.test_normal),
            str(defective),
            str(product.masks) if product.masks else "–",
            _size(product.sizes.common) if product.sizes else "–",
            ", ".join(map(str, product.depths)) or "–",
            str(product.leaks),
            str(len(product.unreadable)),
        )
    return table


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _details(product: ProductCheck) -> list[str]:
    """What does not fit into the table: defect categories, and the range of sizes where there is one."""
    train, test = product.train_defective, product.test_defective
    lines = []
    if train or test:
        counts = (
            f"{name} {train[name]} + {test.get(name, 0)}" if name in train else f"{name} {test[name]}"
            for name in sorted(train.keys() | test.keys())
        )
        lines.append(f"defective{' (train + test)' if train else ''}: {', '.join(counts)}")
    if product.sizes and product.sizes.smallest != product.sizes.largest:
        lines.append(f"sizes from {_size(product.sizes.smallest)} to {_size(product.sizes.largest)}")
    return lines


def _print_problems(console: Console, report: CheckReport) -> None:
    """The first problems of each severity, those with one remedy together; the JSON form has all of them."""
    from rich.text import Text

    for severity, heading in (("fatal", "Fatal"), ("warning", "Warnings"), ("info", "Notes")):
        problems = [problem for problem in report.problems if problem.severity == severity]
        if not problems:
            continue
        console.print(Text(f"\n{heading} ({len(problems)})", style=_COLOURS[severity]))
        shown = problems[:_SHOWN]
        for remedy in dict.fromkeys(problem.remedy for problem in shown):
            for problem in shown:
                if problem.remedy == remedy:
                    console.print(Text(f"  {printable(problem.message)}"), soft_wrap=True)
            if remedy:
                console.print(Text(f"  → {remedy}", style="dim"), soft_wrap=True)
        if len(problems) > _SHOWN:
            console.print(f"  … and {len(problems) - _SHOWN} more: --json shows all of them.")
    if not report.problems:
        console.print("\nNo problems found.")
