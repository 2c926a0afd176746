"""`blemish inspect --runner ray`: many images, on many machines."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from blemish.cli.messages import DEFECTS_FOUND, NOTHING_DONE, SOME_UNREADABLE, quoted
from blemish.errors import ConfigError


@dataclass(frozen=True)
class Cluster:
    """Options of the runner ray.

    Attributes:
        address: of the cluster; None: one is started on this machine.
        workers: None: as many as fit.
        gpus: of each worker.
    """

    address: str | None = None
    workers: int | None = None
    gpus: float = 0


def inspect_on_cluster(
    model: str,
    images: list[str],
    output: Path | None,
    cluster: Cluster,
    *,
    engine: str,
    device: str,
    product: str | None,
    batch: int,
    offline: bool,
    overwrite: bool,
    as_json: bool,
    fail_on_defect: bool,
) -> None:
    """Write a folder of Parquet files and say how many images were defective."""
    from blemish.cli.console import duration, say
    from blemish.cli.inputs import named_images
    from blemish.files import check_target
    from blemish.model_folder import locate, read_header
    from blemish.scale.ray_runner import MARKER, RayJob, inspect_on_ray

    if output is None:
        raise ConfigError("It is not said where the table goes.", "Add: -o OUT")
    check_target(output, overwrite=overwrite, marker=MARKER)
    folder = locate(model, offline=offline)
    products = read_header(folder).products
    if product is not None and product not in products:
        raise ConfigError(f"The model knows no product '{product}'.", f"It knows {', '.join(products)}.")
    job = RayJob(
        model=str(folder.resolve()),
        engine=engine,
        device=device,
        offline=offline,
        product=product,
        batch=batch,
        **asdict(cluster),
    )
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
    if not found["inspected"]:
        raise typer.Exit(NOTHING_DONE)
    if fail_on_defect and found["defective"]:
        raise typer.Exit(DEFECTS_FOUND)
    if found["unreadable"]:
        raise typer.Exit(SOME_UNREADABLE)


def _is_table(path: Path) -> bool:
    """A Parquet file, or a folder of nothing else."""
    if path.is_dir():
        files = [one for one in path.iterdir() if not one.name.startswith((".", "_"))]
        return bool(files) and all(one.suffix == ".parquet" for one in files)
    return path.suffix == ".parquet"
