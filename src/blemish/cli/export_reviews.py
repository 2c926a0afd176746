"""`blemish export-reviews`: what people said at the line, as a data set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from blemish.cli import options
from blemish.cli.console import console, plain_table, say
from blemish.cli.messages import quoted
from blemish.errors import DataError


def export_reviews(
    data: Annotated[Path, typer.Argument(metavar="FOLDER", help="The --data of blemish serve.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="NEW", help="Data set to write.", show_default=False)
    ],
    database: options.Database = None,
    hold_out: Annotated[
        float,
        typer.Option(min=0, max=0.9, help="Share of each product's category that tests and does not train."),
    ] = 1 / 3,
    overwrite: options.Overwrite = False,
) -> None:
    """Write all reviewed images with their masks and categories as a data set.

    Images that reviews call no defect are its normal ones. Reviews count as they are now: the newest of each image that
    was not taken back. The service may go on meanwhile.

    Examples:

        blemish export-reviews blemish-data -o reviewed

        blemish export-reviews blemish-data -o reviewed --hold-out 0 --database postgresql://line@db/line

        blemish teach line.blemish reviewed -o line2.blemish
    """
    from blemish.files import check_target, replaced_folder
    from blemish.serving.reviewed import MANIFEST, held_out, reviewed_images, write_dataset
    from blemish.serving.store import open_store

    check_target(output, overwrite=overwrite, marker=MANIFEST)
    store = open_store(data, database, create=False)
    try:
        images = reviewed_images(store)
        known = [one for one in images if one.product is not None]
        if not known:
            raise DataError(f"Nothing in {data} has been reviewed.", "Review findings in the page of blemish serve.")
        test = held_out(known, hold_out)
        with replaced_folder(output, overwrite=overwrite, marker=MANIFEST) as folder:
            samples = write_dataset(store, known, test, folder)
    finally:
        store.close()
    counts: Counter[tuple[str, str, str]] = Counter()
    for sample in samples:
        counts[sample.product, sample.defect or ("no name" if sample.defective else "no defect"), sample.split] += 1
    rows = [
        (product, name, counts[product, name, "train"], counts[product, name, "test"])
        for product, name in sorted({key[:2] for key in counts})
    ]
    console().print(plain_table(("product", "category", "train", "test"), rows, text_columns=(0, 1)))
    if left := len(images) - len(known):
        say(f"{left} images of no known product were left out.", style="yellow", stderr=True)
    say(f"{len(samples)} images: {output}", style="bold")
    say("Next:")
    say(f"  blemish teach MODEL {quoted(output)} -o NEW")
