"""`blemish init-defects`: a priors file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blemish.cli import options
from blemish.cli.console import say
from blemish.cli.messages import quoted


def init_defects(
    data: options.Data,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Priors file to write.")] = Path(
        "defects.yaml"
    ),
    overwrite: options.Overwrite = False,
) -> None:
    """Write a commented file in which you describe what the defects of your products look like.

    It lists the products of DATA and every defect category found there. No image is opened.

    Examples:

        blemish init-defects images/

        blemish init-defects bottles/ caps/ -o line3.yaml --overwrite
    """
    from blemish.data.dataset import Dataset
    from blemish.data.priors import Priors, starter
    from blemish.errors import BlemishError
    from blemish.files import replaced

    if output.exists() and not (overwrite and output.is_file()):
        raise BlemishError(f"{output} exists already.", "Choose another name, or say --overwrite.")
    dataset = Dataset.from_folder(*data)
    with replaced(output) as temporary:
        temporary.write_text(starter(dataset), encoding="utf-8", newline="\n")
    priors = Priors.load(output)
    categories = sum(len(one) for one in priors.products.values())
    say(f"{output}: {len(priors.products)} products, {categories} defect categories.")
    say("Edit it to say what your defects look like. Next:")
    say(f"  blemish synthesize {' '.join(map(quoted, data))} --priors {quoted(output)} -o synthetic")
