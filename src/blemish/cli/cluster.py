"""`blemish inspect --runner ray`: many images, on many machines."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from blemish.cli.messages import exit_with, quoted
from blemish.errors import ConfigError

if TYPE_CHECKING:
    from blemish.scale.ray_runner import RayJob


def inspect_on_cluster(
    job: RayJob,
    images: list[str],
    output: Path | None,
    *,
    overwrite: bool,
    as_json: bool,
    fail_on_defect: bool,
) -> None:
    """Write a folder of Parquet files and say how many images were defective."""
    from blemish.cli.console import duration, say
    from blemish.cli.inputs import named_images, require_products
    from blemish.files import check_target
    from blemish.model_folder import locate, read_header
    from blemish.scale.ray_runner import MARKER, inspect_on_ray

    if output is None:
        raise ConfigError("It is not said where the table goes.", "Add: -o OUT")
    check_target(output, overwrite=overwrite, marker=MARKER)
    folder = locate(job.model, offline=job.offline)
    products = read_header(folder).products
    require_products(job.model, products)
    if job.product is not None and job.product not in products:
        raise ConfigError(f"The model knows no product '{job.product}'.", f"It knows {', '.join(products)}.")
    job = replace(job, model=str(folder.resolve()))
    started = time.monotonic()
    table = Path(images[0]) if len(images) == 1 and _is_table(Path(images[0])) else None
    found = inspect_on_ray(job, table or named_images(images)[0], output, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps({"output": str(output), **found}))
    else:
        say(
            f"{found['inspected']} images inspected in {duration(time.monotonic() - started)}, "
            f"{found['defective']} defective, {found['unreadable']} unreadable: {quoted(output)}",
            style="bold",
        )
    exit_with(**found, fail_on_defect=fail_on_defect)


def _is_table(path: Path) -> bool:
    """A Parquet file, or a folder of nothing else."""
    if path.is_dir():
        files = [one for one in path.iterdir() if not one.name.startswith((".", "_"))]
        return bool(files) and all(one.suffix == ".parquet" for one in files)
    return path.suffix == ".parquet"
