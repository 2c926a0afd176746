"""Inspecting on a Ray of this machine's, with two workers."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
ray = pytest.importorskip("ray")
pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

from blemish.cli.app import app  # noqa: E402
from blemish.data.dataset import Dataset  # noqa: E402
from blemish.errors import BlemishError, ConfigError, DataError, ModelError  # noqa: E402
from blemish.inspection import Failure  # noqa: E402
from blemish.inspector import Inspector  # noqa: E402
from blemish.scale.ray_runner import RayJob, inspect_on_ray  # noqa: E402
from blemish.scale.rows import COLUMNS  # noqa: E402

# Ray has warnings of its own
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def job(tiny_taught: tuple[Inspector, Path]) -> RayJob:
    return RayJob(str(tiny_taught[1]), engine="torch", device="cpu", batch=4, workers=2)


def images(dataset: Dataset, tmp_path: Path) -> list[Path]:
    """All images, and two that cannot be read."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    return [*(sample.path for sample in dataset.samples), broken, tmp_path / "missing.png"]


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    rows = parquet.read_table(folder).to_pylist()
    found = {row["source"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def test_rows_are_what_this_machine_finds(
    job: RayJob, tiny_taught: tuple[Inspector, Path], tiny_dataset: Dataset, tmp_path: Path
) -> None:
    paths = images(tiny_dataset, tmp_path)
    summary = inspect_on_ray(job, paths, tmp_path / "table", overwrite=False)
    rows = rows_of(tmp_path / "table")
    assert set(rows) == {str(path) for path in paths}
    assert list(next(iter(rows.values()))) == list(COLUMNS)
    for path, here in zip(paths, tiny_taught[0].inspect_many(paths), strict=True):
        row = rows[str(path)]
        if isinstance(here, Failure):
            assert row["error"].startswith(here.error.message)
            assert row["score"] is row["defective"] is row["inspection"] is None
            continue
        assert row["error"] is None
        assert (row["product"], row["defective"], row["category"]) == (here.product, here.defective, here.category)
        assert row["score"] == pytest.approx(here.score, rel=1e-4)
        assert (row["width"], row["height"], row["regions"]) == (*here.size, len(here.regions))
        assert json.loads(row["inspection"])["p_value"] == row["p_value"]
    defective = sum(bool(row["defective"]) for row in rows.values())
    assert summary == {"inspected": len(paths) - 2, "defective": defective, "unreadable": 2}
    told = json.loads((tmp_path / "table" / "_summary.json").read_text())
    assert told["inspected"] == len(paths) - 2
    with pytest.raises(BlemishError, match="exists already"):
        inspect_on_ray(job, paths[:2], tmp_path / "table", overwrite=False)


def test_what_names_no_images_is_refused(job: RayJob, tiny_dataset: Dataset, tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"file": [str(tiny_dataset.samples[0].path)]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="no column 'path'"):
        inspect_on_ray(job, tmp_path / "other.parquet", tmp_path / "new", overwrite=False)
    with pytest.raises(DataError, match="no images"):
        inspect_on_ray(job, [], tmp_path / "new", overwrite=False)
    assert not (tmp_path / "new").exists()


def test_what_a_worker_lacks_is_told_without_its_layers(tiny_dataset: Dataset, tmp_path: Path) -> None:
    paths = [sample.path for sample in tiny_dataset.samples[:2]]
    with pytest.raises(ModelError, match="no model folder"):
        inspect_on_ray(RayJob(str(tmp_path / "none.blemish"), workers=1), paths, tmp_path / "out", overwrite=False)
    with pytest.raises(ConfigError, match="room for 0 workers"):
        inspect_on_ray(RayJob("any", cpus=64), paths, tmp_path / "out", overwrite=False)
    assert not (tmp_path / "out").exists()


def test_the_command_line(tiny_taught: tuple[Inspector, Path], tiny_dataset: Dataset, tmp_path: Path) -> None:
    """Images are named by a table."""
    model, image, table = str(tiny_taught[1]), str(tiny_dataset.samples[0].path), str(tmp_path / "in.parquet")
    named = [image, str(tmp_path / "missing.png")]
    parquet.write_table(pyarrow.table({"path": named, "line": [1, 2]}), table)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["inspect", model, *arguments, "--runner", "ray"], env={"COLUMNS": "120"})

    result = run(table, "-o", str(tmp_path / "out"), "--workers", "1", "--json")
    assert result.exit_code == 3, result.output
    assert json.loads(result.stdout)["inspected"] == 1
    assert set(rows_of(tmp_path / "out")) == set(named)
    for arguments, words in (
        ((image,), "Add: -o OUT"),
        ((image, "-o", str(tmp_path / "out")), "exists already"),
        ((image, "-o", str(tmp_path / "new"), "--product", "spoon"), "knows no product"),
        ((image, "-o", str(tmp_path / "new"), "--roi", "spots=mask.png"), "calibrate"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert words in " ".join(result.output.split())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are found in /proc")
def test_a_killed_worker_loses_nothing(job: RayJob, tiny_dataset: Dataset, tmp_path: Path) -> None:
    paths = []
    for number in range(400):
        paths.append(tmp_path / f"{number}.png")
        os.link(tiny_dataset.samples[number % 20].path, paths[-1])
    killed: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            time.sleep(0.05)
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    name = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                if name.startswith(b"ray::MapWorker") and b"MapBatches" in name:
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(int(process.name))
                    break

    killer = threading.Thread(target=kill)
    killer.start()
    summary = inspect_on_ray(job, paths, tmp_path / "out", overwrite=False)
    killer.join()
    assert killed
    assert summary["inspected"] == 400
    assert set(rows_of(tmp_path / "out")) == {str(path) for path in paths}
