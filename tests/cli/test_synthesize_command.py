"""`blemish init-defects` and `blemish synthesize`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blemish.data import Dataset
from blemish.data.decode import image_size
from blemish.data.layouts.table import read_rows
from blemish.data.masks import read_mask
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
    assert "DATA, --output, and --priors or --defects are needed" in result.output


def test_an_error_in_the_priors_file_names_its_line(run: Any, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text("nut:\n  hole:\n    shape: line\n")
    result = run("synthesize", parts, "--priors", tmp_path / "d.yaml", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "line 3: 'shape' is no key of a category" in result.output
    assert "Did you mean 'shapes'" in result.output
    assert not (tmp_path / "out").exists()


@pytest.fixture
def spots(draw: Any, tmp_path: Path) -> Path:
    """Labelled defects of one nut with a mask and one without."""
    draw("spots/spot/one.png", "nut", defect=True)
    draw("spots/spot/one_mask.png", mask=True, defect=True)
    draw("spots/spot/two.png", "nut", defect=True)
    return tmp_path / "spots"


def test_transplants_of_examples(run: Any, parts: Path, spots: Path, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    output = tmp_path / "synthetic"
    arguments = ("synthesize", parts, "--defects", spots, "-o", output, "--size", "64", "--count", "3")

    lost = run(*arguments)
    assert (lost.exit_code, "do not say which product they show" in lost.output) == (2, True), lost.output
    assert "nothing to make" in lost.output
    assert not output.exists()

    result = run(*arguments, "--product", "nut", "--blending", "paste")
    assert result.exit_code == 0, result.output
    assert "1 image of 'spot' of nut without an exact mask were left out" in result.output
    assert "transplant: paste 3; of 1 example" in result.output
    assert "painted" not in result.output
    assert [(sample.product, sample.defect) for sample in Dataset.from_folder(output)] == [("nut", "spot")] * 3
    rows = [row.values for row in read_rows(output / "manifest.jsonl")]
    assert {row["example"] for row in rows} == {(spots / "spot" / "one.png").as_posix()}
    assert min(image_size(output / "sheet.png")) > 200


def test_each_category_by_what_is_known_of_it(run: Any, parts: Path, spots: Path, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    (tmp_path / "d.yaml").write_text("nut:\n  scratch:\n  spot:\n")
    arguments = ("synthesize", parts, "--defects", spots, "--product", "nut", "--priors", tmp_path / "d.yaml")
    arguments += ("--size", "64", "--count", "2")

    result = run(*arguments, "-o", tmp_path / "all")
    assert result.exit_code == 0, result.output
    assert "Some defects are painted procedurally" in result.output
    rows = [row.values for row in read_rows(tmp_path / "all" / "manifest.jsonl")]
    assert [(row["defect"], row["mode"]) for row in rows] == [("scratch", "painter")] * 2 + [("spot", "transplant")] * 2

    only = run(*arguments, "-o", tmp_path / "only", "--mode", "transplant")
    assert (only.exit_code, len(Dataset.from_folder(tmp_path / "only"))) == (0, 2), only.output
    assert "left out: scratch (nut)" in only.output


def test_what_cannot_be_made_is_said_and_the_rest_is_there(run: Any, parts: Path, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    for index in range(2):
        (parts / "bolt" / "train" / "good" / f"{index}.png").write_bytes(b"broken")
    (tmp_path / "d.yaml").write_text("'*':\n  scratch:\n")
    arguments = ("synthesize", parts, "--priors", tmp_path / "d.yaml", "--size", "48", "--count", "2")
    result = run(*arguments, "-o", tmp_path / "out")
    assert result.exit_code == 3, result.output
    assert "No normal image of bolt could be read" in result.output
    assert "could not be made" in result.output
    assert len(Dataset.from_folder(tmp_path / "out")) == 2


def test_the_foreground_of_birefnet(run: Any, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy")
    from blemish.synthesis import birefnet

    asked: list[tuple[object, ...]] = []

    class Left:
        """Finds products in the left half."""

        def __init__(self, *arguments: object) -> None:
            asked.append(arguments)

        def __call__(self, image: Any) -> Any:
            return np.broadcast_to(np.arange(image.shape[1]) < image.shape[1] // 2, image.shape[:2]).copy()

    monkeypatch.setattr(birefnet, "BiRefNet", Left)
    (tmp_path / "d.yaml").write_text("nut:\n  stain:\n")
    result = run(
        *("synthesize", parts, "--priors", tmp_path / "d.yaml", "-o", tmp_path / "out", "--size", "64", "--count", "3"),
        *("--foreground", "birefnet", "--birefnet", "here", "--allow-remote-code", "--offline"),
    )
    assert result.exit_code == 0, result.output
    assert asked == [("here", True, True)]
    masks = [read_mask(sample.mask) for sample in Dataset.from_folder(tmp_path / "out") if sample.mask is not None]
    assert len(masks) == 3
    assert not any(mask[:, 32:].any() for mask in masks)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mode", "transplant"], "none are given"),
        (["--mode", "diffusion"], "needs weights"),
        (["--stable-diffusion", "sd"], "takes two folders"),
        (["--clip", "clip"], "takes two folders"),
        (["--stable-diffusion", "sd", "--brushnet", "bn", "--clip", "clip"], "Give both: --clip DIR --alpha-clip FILE"),
        (["--stable-diffusion", "sd", "--brushnet", "bn", "--device", "abacus"], "no device 'abacus'"),
        (["--foreground", "birefnet"], "Give both: --foreground birefnet --birefnet SOURCE"),
        (["--birefnet", "here"], "Give both: --foreground birefnet --birefnet SOURCE"),
        (["--defects", "nowhere"], "There is no file or folder"),
    ],
)
def test_options_that_do_not_go_together(run: Any, parts: Path, tmp_path: Path, options: list[str], words: str) -> None:
    pytest.importorskip("torch")
    (tmp_path / "d.yaml").write_text("nut:\n  stain:\n")
    result = run("synthesize", parts, "--priors", tmp_path / "d.yaml", "-o", tmp_path / "out", *options)
    assert (result.exit_code, words in result.output) == (2, True), result.output
    assert not (tmp_path / "out").exists()
