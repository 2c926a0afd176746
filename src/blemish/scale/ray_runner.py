"""Batch inspection on Ray Data: paths in, Parquet out, one model per actor.

Ray decides how much is under way at once, starts anew what is killed, and hands its work to others.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blemish import errors
from blemish.errors import BlemishError, ConfigError, DataError, MissingExtraError
from blemish.files import replaced_folder, write_json
from blemish.inspector import Inspector
from blemish.scale.rows import COLUMNS, table_of

MARKER = "_summary.json"  # readers of Parquet folders pass over such names
PATH = "path"
_BLOCK = 512  # images that are written together
_SPARE = 1  # CPUs that the workers leave for reading and writing paths


@dataclass(frozen=True)
class RayJob:
    """What shall be inspected, and on what.

    Attributes:
        model: folder or hub id, as every worker finds it.
        engine, device, offline: as for `Inspector.load`.
        product: what the images show; None: the model finds out.
        batch: images at a time.
        address: of a cluster; None: one is started on this machine.
        workers: actors; None: as many as the cluster has CPUs, or GPUs with `gpus`.
        cpus: of each actor.
        gpus: of each actor.
    """

    model: str
    engine: str = "auto"
    device: str = "auto"
    offline: bool = False
    product: str | None = None
    batch: int = 16
    address: str | None = None
    workers: int | None = None
    cpus: float = 1
    gpus: float = 0


class Worker:
    """One model at work on one actor. It is loaded with the first images: Ray starts an actor again whose start fails,
    but reports what fails at work.

    Args:
        job: with the model.
    """

    def __init__(self, job: RayJob) -> None:
        self._job = job
        self._inspector: Inspector | None = None

    def __call__(self, batch: dict[str, Any]) -> Any:
        """Inspect the images that the column `path` names."""
        import pyarrow

        job = self._job
        if self._inspector is None:
            device = "cpu" if job.device == "auto" and not job.gpus else job.device  # whoever asked for none has none
            self._inspector = Inspector.load(job.model, engine=job.engine, device=device, offline=job.offline)
        paths = [str(path) for path in batch[PATH]]
        columns = table_of(self._inspector.inspect_many(paths, product=job.product, batch=job.batch))
        return pyarrow.table(columns, schema=_schema())


def inspect_on_ray(
    job: RayJob, images: Iterable[str | Path] | Path, output: Path, *, overwrite: bool
) -> dict[str, int]:
    """Inspect images on a cluster and write a folder of Parquet files.

    Args:
        job: the model, and where it runs.
        images: paths, or a Parquet file or folder whose column `path` holds them; as the workers see them.
        output: the folder: `*.parquet`, columns `rows.COLUMNS`, and `_summary.json`. It appears when all is done.
        overwrite: whether an earlier result may be replaced.

    Returns:
        Numbers of images: `inspected`, `defective`, `unreadable`.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: there is no cluster at `address`, or it lacks what the workers need.
        DataError: the table has no column `path`, or there are no images.
        BlemishError: the model cannot be loaded, or the folder not be written.
    """
    ray = _started(job)
    data, workers = ray.data, _workers(ray, job)
    if isinstance(images, Path):
        _check_table(images)
        table = data.read_parquet(str(images.resolve()), columns=[PATH])
    else:
        rows = [{PATH: os.path.abspath(path)} for path in images]
        if not rows:
            raise DataError("There are no images.", "Check the paths.")
        table = data.from_items(rows)
    inspected = table.map_batches(
        Worker,
        fn_constructor_args=(job,),
        compute=data.ActorPoolStrategy(size=workers),
        batch_size=max(job.batch, 1),
        num_cpus=job.cpus,
        num_gpus=job.gpus,
    )
    with replaced_folder(output, overwrite=overwrite, marker=MARKER) as folder:
        try:
            inspected.write_parquet(str(folder.resolve()), min_rows_per_file=_BLOCK)
        except Exception as error:  # whatever a worker raised, in several layers of Ray's own
            raise _cause(error) from error
        summary = _counted(folder)
        write_json(folder / MARKER, {**summary, "model": job.model, "columns": COLUMNS})
    return summary


def _started(job: RayJob) -> Any:
    """Ray, connected. What it would report about its use stays here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise MissingExtraError("ray", "scale", "The runner ray") from None
    if not ray.is_initialized():
        options: dict[str, Any] = {}
        if job.address is None:
            options = {"include_dashboard": False, "num_cpus": (os.cpu_count() or 1) + _SPARE}
        try:
            ray.init(address=job.address, logging_level=logging.WARNING, log_to_driver=False, **options)
        except ConnectionError as error:
            raise ConfigError(f"There is no Ray cluster at {job.address}: {error}.", "Check --address.") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = os.isatty(2)
    return ray


def _check_table(path: Path) -> None:
    import pyarrow
    from pyarrow import dataset

    try:
        names = dataset.dataset(path, format="parquet").schema.names
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}.", "Check the file.") from error
    if PATH not in names:
        raise DataError(f"{path} has no column '{PATH}'.", "Name the column of the images' paths so.")


def _workers(ray: Any, job: RayJob) -> int:
    """How many actors: those asked for, or as many as fit. Ray would wait for ever for what it has not."""
    there = ray.cluster_resources()
    cpus, gpus = there.get("CPU", 0) - _SPARE, there.get("GPU", 0)
    fitting = [int(has // each) for has, each in ((cpus, job.cpus), (gpus, job.gpus)) if each]
    most = min(fitting)
    if most < (job.workers or 1):
        raise ConfigError(
            f"The cluster has room for {most} workers: {max(cpus, 0):g} CPUs besides one for reading, {gpus:g} GPUs.",
            "Ask for fewer workers, or for less for each.",
        )
    return job.workers or most


def _counted(folder: Path) -> dict[str, int]:
    import pyarrow.compute as compute
    import pyarrow.dataset as dataset

    table = dataset.dataset(folder, format="parquet").to_table(columns=["defective", "error"])
    unreadable = len(table) - table["error"].null_count
    return {
        "inspected": len(table) - unreadable,
        "defective": int(compute.sum(table["defective"]).as_py() or 0),
        "unreadable": unreadable,
    }


def _cause(error: Exception) -> BlemishError:
    """The error of ours that a worker raised; of what went through Ray only its text is left."""
    if isinstance(error, BlemishError):
        return error
    text = str(error)
    if found := re.findall(r"^(?:.*\s)?blemish\.errors\.(\w+): (.*)$", text, re.MULTILINE):
        name, message = found[-1]
        kind = getattr(errors, name, BlemishError)
        return BlemishError(message) if kind is MissingExtraError else kind(message)
    last = text.strip().splitlines() or [type(error).__name__]
    return BlemishError(f"Ray stopped: {last[-1]}", "Look into Ray's logs, or run without --runner ray.")


def _schema() -> Any:
    import pyarrow

    kinds = {"defective": pyarrow.bool_(), "score": pyarrow.float64(), "p_value": pyarrow.float64()}
    kinds |= dict.fromkeys(("regions", "width", "height"), pyarrow.int32())
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
