"""`blemish init-defects` and `blemish synthesize`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from blemish.data import Dataset
from blemish.data.decode import image_size
from blemish.data.priors import Priors


@pytest.fixture
def priors(run: Any, parts: Path, tmp_path: Path) -> Path:
    file = tmp_path / "defects.yaml"
    result = run("init-defects", parts, "-o", file)
    assert result.exit_code == 0, result.output
    assert "2 products, 2 defect categories" in result.output
    return file


@pytest.mark.core
def test_a_starter_is_never_overwritten_by_mistake(run: Any, parts: Path, priors: Path) -> None:
    priors.write_text("mine")
    result = run("init-defects", parts, "-o", priors)
    assert (result.exit_code, priors.read_text()) == (2, "mine")
    assert "say --overwrite" in result.output
    assert run("init-defects", parts, "-o", priors, "--overwrite").exit_code == 0
    assert set(Priors.load(priors).products) == {"bolt", "nut"}


@pytest.mark.core
def test_the_default_name_of_the_starter(
    run: Any, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init-defects", parts).exit_code == 0
    assert (tmp_path / "defects.yaml").is_file()


def test_from_a_starter_to_a_data_set(run: Any, parts: Path, priors: Path, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    output = tmp_path / "synthetic"
    arguments = ("synthesize", parts, "--priors", priors, "-o", output, "--size", "48")

    result = run(*arguments, "--count", "2", "--foreground", "none")

    assert result.exit_code == 0, result.output
    assert "painted procedurally" in result.output
    assert "4 images in" in result.output
    dataset = Dataset.from_folder(output)
    assert [(sample.product, sample.defect) for sample in dataset] == [("bolt", "spot")] * 2 + [("nut", "spot")] * 2
    assert all(sample.mask is not None for sample in dataset)
    assert min(image_size(output / "sheet.png")) > 300

    again = run(*arguments, "--count", "2", "--foreground", "none")
    assert (again.exit_code, "exists already" in again.output) == (2, True)
    other = run(*arguments, "--count", "2", "--foreground", "auto", "--resume")
    assert (other.exit_code, "other settings: foreground" in other.output) == (2, True)
    before = (output / "images" / "nut" / "spot" / "0001.png").read_bytes()
    more = run(*arguments, "--count", "3", "--foreground", "none", "--resume")
    assert (more.exit_code, "2 images in" in more.output) == (0, True), more.output
    assert (output / "images" / "nut" / "spot" / "0001.png").read_bytes() == before
    assert len(Dataset.from_folder(output)) == 6
    anew = run(*arguments, "--count", "1", "--overwrite")
    assert (anew.exit_code, len(Dataset.from_folder(output))) == (0, 2)


def test_all_shapes(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    result = run("synthesize", "--show-shapes", tmp_path / "shapes.png", "--size", "64")
    assert result.exit_code == 0, result.output
    assert min(image_size(tmp_path / "shapes.png")) > 600


@pytest.mark.parametrize("missing", ["data", "output", "priors"])
def test_what_is_needed(run: Any, parts: Path, tmp_path: Path, missing: str) -> None:
    given = {
        "data": [parts],
        "output": ["-o", tmp_path / "out"],
        "priors": ["--priors", tmp_path / "defects.yaml"],
    }
    result = run("synthesize", *(part for name, parts in given.items() if name != missing for part in parts))
    assert result.exit_code == 2
    assert "DATA, --output and --priors are needed" in result.output


def test_an_error_in_the_priors_file_names_its_line(run: Any, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text("nut:\n  hole:\n    shape: line\n")
    result = run("synthesize", parts, "--priors", tmp_path / "d.yaml", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "line 3: 'shape' is no key of a category" in result.output
    assert "Did you mean 'shapes'" in result.output
    assert not (tmp_path / "out").exists()
