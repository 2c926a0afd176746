"""The real images beside the project, where they are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blemish.data import Dataset

SHARED = Path(os.environ.get("BLEMISH_SHARED", Path(__file__).parents[3] / "shared")) / "data"

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real images in {SHARED}"),
]


def test_all_real_products() -> None:
    roots = ("magnetic_tile", "mvtec_subset", "solar_cell", "printed_circuit")

    data = Dataset.from_folder(*(SHARED / root for root in roots))

    assert [layout.sentence for layout in data.layouts] == [
        "MTD, 1 product",
        "MVTec AD, 3 products",
        "MVTec AD, 2 products",
        "MVTec AD, 1 product",
    ]
    assert data.products == ("hazelnut", "magnetic_tile", "mono", "pcb", "poly", "screw", "transistor")
    assert data.problems == ()
    assert len(data.select(product="pcb", split="train", label="defective")) == 48


@pytest.mark.parametrize(("rule", "shared_groups"), [("group", False), ("image", True)])
def test_magnetic_tiles(rule: str, shared_groups: bool) -> None:
    data = Dataset.from_folder(SHARED / "magnetic_tile", split=rule)  # type: ignore[arg-type]

    assert len(data.select(label="normal")) == 952
    assert {s.defect for s in data if s.defective} == {"blowhole", "break", "crack", "fray", "uneven"}
    assert len(data.select(split="test", label="defective")) == 392
    assert all((s.mask is not None) == s.defective for s in data)
    assert bool({s.group for s in data.train_normals()} & {s.group for s in data.test()}) == shared_groups
