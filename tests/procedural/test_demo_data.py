"""The demo data set: layout, masks, repeatability, refusal to overwrite."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

import blemish
from blemish.errors import BlemishError, DataError
from blemish.procedural.demo import _photograph, defective_image, make_demo, normal_image
from blemish.procedural.products import PRODUCTS, Product
from blemish.procedural.seeding import generator

pytestmark = pytest.mark.core

PACKAGE = Path(blemish.__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "new" / "demo"
    make_demo(folder, train=2, test_normal=1, test_defective=6, examples=1, size=96)
    return folder


def test_layout(folder: Path) -> None:
    assert [path.name for path in folder.parent.iterdir()] == ["demo"]
    assert len(PRODUCTS) >= 4
    for product in PRODUCTS:
        assert len(product.defects) >= 3
        root = folder / product.name
        assert len(list((root / "train" / "good").iterdir())) == 2
        assert len(list((root / "test" / "good").iterdir())) == 1
        for kind in product.defects:
            masks = root / "ground_truth" / kind
            (shown,) = (path.stem for path in (root / "train" / kind).iterdir())
            tested = [path.stem for path in (root / "test" / kind).iterdir()]
            assert tested
            assert shown not in tested  # one flaw is never drawn for both
            stems = sorted([shown, *tested])
            assert sorted(path.name for path in masks.iterdir()) == [f"{stem}_mask.png" for stem in stems]
        assert sum(1 for kind in product.defects for _ in (root / "test" / kind).iterdir()) == 6


def test_every_file_opens_and_masks_are_binary_and_small(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            pixels = np.asarray(image)
        assert pixels.shape[:2] == (96, 96)
        if "ground_truth" in path.parts:
            assert set(np.unique(pixels)) == {0, 255}
            # at this size a knot of the fabric may have a few pixels only
            assert 0.0005 <= (pixels > 0).mean() < 0.2


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.name)
def test_a_flaw_changes_nothing_outside_its_mask(product: Product) -> None:
    for index, kind in enumerate(product.defects):
        pixels, mask, named = defective_image(product, 96, 0, index)
        assert named == kind
        stream = f"demo {product.name} defective"
        whole = _photograph(
            product.draw(96, generator(0, stream, index), None), generator(0, f"{stream} camera", index)
        )
        change = np.abs(pixels.astype(int) - whole).max(axis=2)
        # the camera's blur reaches three pixels
        near = np.asarray(Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(7))) > 0
        assert change[~near].max() <= 0.05 * 255 * 1.2 + 1
        assert change[mask].mean() > 10
        again, same_mask, _ = defective_image(product, 96, 0, index)
        np.testing.assert_array_equal(pixels, again)
        np.testing.assert_array_equal(mask, same_mask)


def test_images_depend_on_seed_split_and_index(folder: Path) -> None:
    product = PRODUCTS[0]
    with Image.open(folder / product.name / "train" / "good" / "001.png") as image:
        np.testing.assert_array_equal(np.asarray(image), normal_image(product, 96, 0, "train", 1))
    draws = [
        normal_image(product, 96, *key) for key in ((0, "train", 1), (1, "train", 1), (0, "test", 1), (0, "train", 2))
    ]
    assert len({draw.tobytes() for draw in draws}) == 4


def test_only_a_demo_data_set_is_overwritten(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BlemishError, match="exists already"):
        make_demo(folder)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"dear")
    with pytest.raises(BlemishError, match="is not replaced"):
        make_demo(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "holiday.jpg").exists()
    small = {"train": 1, "test_normal": 0, "test_defective": 0, "size": 64}
    (tmp_path / "demo").mkdir()
    make_demo(tmp_path / "demo", **small)
    make_demo(tmp_path / "demo", overwrite=True, seed=1, **small)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "photos"]
    with pytest.raises(DataError, match="too small"):
        make_demo(tmp_path / "tiny", size=16)


def test_a_failed_run_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(BlemishError, match="No space"):
        make_demo(tmp_path / "demo", train=1, size=64)
    assert list(tmp_path.iterdir()) == []


def test_demo_defects_share_no_function_with_the_pseudo_anomalies() -> None:
    drawn = _imports(PACKAGE / "procedural" / "defects.py")
    for path in [*(PACKAGE / "procedural" / "products").glob("*.py"), PACKAGE / "procedural" / "demo.py"]:
        drawn |= _imports(path)
    synthesised = set[str]()
    for path in (PACKAGE / "synthesis").rglob("*.py"):
        synthesised |= _imports(path)
    seeding = {"blemish.procedural.seeding.generator"}
    shared = {name for name in drawn & synthesised if name.startswith("blemish.procedural")}
    assert shared <= seeding
    apart = tuple(f"blemish.procedural.{part}" for part in ("defects", "products", "demo"))
    assert not [name for name in synthesised if name.startswith(apart)]
    everything = set[str]().union(*(_imports(path) for path in (PACKAGE / "procedural").rglob("*.py")))
    assert not [name for name in everything if name.startswith(("blemish.synthesis", "torch", "scipy"))]


def _imports(path: Path) -> set[str]:
    """Everything that a file imports, as module.name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found
