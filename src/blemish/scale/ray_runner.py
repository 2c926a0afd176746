"""Batch inspection on Ray Data: paths in, Parquet out, one model per actor.

Ray decides how much is under way at once, starts anew what is killed, and hands its work to others.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blemish.errors import BlemishError, ConfigError, DataError, MissingExtraError
from blemish.files import replaced_folder, write_json
from blemish.scale.rows import COLUMNS, table_of

MARKER = "summary.json"
PATH = "path"
_BLOCK = 512  # images that are written together


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
    """One model at work on one actor.

    Args:
        job: with the model.
    """

    def __init__(self, job: RayJob) -> None:
        from blemish.inspector import Inspector

        self._job = job
        self._inspector = Inspector.load(job.model, engine=job.engine, device=job.device, offline=job.offline)

    def __call__(self, batch: dict[str, Any]) -> Any:
        """Inspect the images that the column `path` names."""
        import pyarrow

        paths = [str(path) for path in batch[PATH]]
        columns = table_of(self._inspector.inspect_many(paths, product=self._job.product, batch=self._job.batch))
        return pyarrow.table(columns, schema=_schema())


def inspect_on_ray(
    job: RayJob, images: Iterable[str | Path] | Path, output: Path, *, overwrite: bool
) -> dict[str, int]:
    """Inspect images on a cluster and write a folder of Parquet files.

    Args:
        job: the model, and where it runs.
        images: paths, or a Parquet file or folder whose column `path` holds them; as the workers see them.
        output: the folder: `*.parquet`, columns `rows.COLUMNS`, and `summary.json`. It appears when all is done.
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
    data = ray.data
    if isinstance(images, Path):
        table = data.read_parquet(str(images.resolve()))
        if PATH not in table.columns():
            raise DataError(f"{images} has no column '{PATH}'.", "Name the column of the images' paths so.")
        table = table.select_columns([PATH])
    else:
        rows = [{PATH: os.path.abspath(path)} for path in images]
        if not rows:
            raise DataError("There are no images.", "Check the paths.")
        table = data.from_items(rows)
    workers = job.workers or _as_many_as_fit(ray, job)
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
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise MissingExtraError("ray", "scale", "The runner ray") from None
    if not ray.is_initialized():
        options: dict[str, Any] = {} if job.address else {"include_dashboard": False}
        try:
            ray.init(address=job.address, logging_level=logging.WARNING, log_to_driver=False, **options)
        except ConnectionError as error:
            raise ConfigError(f"There is no Ray cluster at {job.address}: {error}.", "Check --address.") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = os.isatty(2)
    return ray


def _as_many_as_fit(ray: Any, job: RayJob) -> int:
    there = ray.cluster_resources()
    fitting = [int(there.get(name, 0) // each) for name, each in (("CPU", job.cpus), ("GPU", job.gpus)) if each]
    found = min(fitting)
    if not found:
        raise ConfigError(
            f"The cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs: not enough for a worker.",
            "Ask for less.",
        )
    return found


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


def _cause(error: BaseException) -> BlemishError:
    """The error of ours that lies under Ray's."""
    seen: list[BaseException] = []
    now: BaseException | None = error
    while now is not None and now not in seen:
        if isinstance(now, BlemishError):
            return now
        seen.append(now)
        now = getattr(now, "cause", None) or now.__cause__ or now.__context__
    last = str(error).strip().splitlines() or [type(error).__name__]
    return BlemishError(f"Ray stopped: {last[-1]}", "Look into Ray's logs, or run without --runner ray.")


def _schema() -> Any:
    import pyarrow

    kinds = {"defective": pyarrow.bool_(), "score": pyarrow.float64(), "p_value": pyarrow.float64()}
    kinds |= dict.fromkeys(("regions", "width", "height"), pyarrow.int32())
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
