"""Whatever an annotation file holds, it is read or refused politely, and every marking that is read can be drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blemish.data.decode import image_size
from blemish.data.defects import rasterise, read_defects
from blemish.errors import BlemishError, DataError

pytestmark = pytest.mark.core

NUMBERS = st.one_of(
    st.integers(-20, 40), st.floats(-20, 40), st.sampled_from([10**400, -1, 1e308, float("nan"), float("inf"), True])
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=4))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FLAT = st.lists(NUMBERS, max_size=8)


def sometimes(good: Any) -> Any:
    """Mostly as it should be, at times anything."""
    return st.one_of(good, good, good, VALUES)


RLE = st.fixed_dictionaries(
    {"size": sometimes(st.just([12, 16])), "counts": sometimes(st.just([100, 5, 87]) | st.text("0123PQX`", max_size=6))}
)
COCO = st.fixed_dictionaries(
    {
        "images": sometimes(
            st.lists(
                sometimes(
                    st.fixed_dictionaries(
                        {
                            "id": sometimes(st.integers(0, 2)),
                            "file_name": sometimes(st.sampled_from(["a.png", "b.png"])),
                        },
                        optional={"width": NUMBERS, "height": NUMBERS},
                    )
                ),
                max_size=3,
            )
        ),
        "annotations": sometimes(
            st.lists(
                sometimes(
                    st.fixed_dictionaries(
                        {"image_id": sometimes(st.integers(0, 2)), "category_id": sometimes(st.integers(0, 2))},
                        optional={
                            "id": VALUES,
                            "bbox": sometimes(FLAT),
                            "segmentation": sometimes(st.lists(FLAT, max_size=3) | RLE),
                        },
                    )
                ),
                max_size=4,
            )
        ),
    },
    optional={
        "categories": sometimes(
            st.lists(sometimes(st.fixed_dictionaries({"id": st.integers(0, 2), "name": SCALARS})), max_size=3)
        )
    },
)
POINTS = st.lists(sometimes(st.lists(NUMBERS, min_size=2, max_size=2)), max_size=5)
KINDS = st.sampled_from(["polygon", "rectangle", "circle", "line", "linestrip", "point", "points", "mask"])
LABELME = st.fixed_dictionaries(
    {
        "shapes": st.lists(
            sometimes(
                st.fixed_dictionaries(
                    {"label": sometimes(st.text(max_size=3)), "points": sometimes(POINTS)},
                    optional={"shape_type": sometimes(KINDS), "mask": SCALARS},
                )
            ),
            max_size=4,
        )
    },
    optional={
        "imagePath": sometimes(st.just("b.png")),
        "imageWidth": NUMBERS,
        "imageHeight": NUMBERS,
        "flags": sometimes(st.dictionaries(st.text(max_size=3), st.booleans(), max_size=2)),
    },
)
YOLO = st.lists(
    st.lists(st.one_of(st.floats(0, 1), st.integers(-1, 3), st.sampled_from(["x", "nan", "1e999"])), max_size=9).map(
        lambda cells: " ".join(map(str, cells))
    ),
    max_size=4,
).map("\n".join)


@pytest.fixture
def root(tree: Any) -> Path:
    folder: Path = tree("d/a.png", "d/b.png") / "d"
    return folder


def read_or_refused(root: Path) -> None:
    try:
        found = read_defects(root)
    except DataError as error:
        if not error.remedy:
            raise AssertionError("a refusal says what to do") from error
        return
    assert found.examples
    for example in found.examples:
        for marking in example.markings:
            mask = rasterise(marking, image_size(example.path), 8)
            assert mask is None or mask.any()
            assert mask is not None or not (marking.box or marking.runs)
    for problem in found.problems:
        assert problem.message


hostile = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@hostile
@given(data=COCO | LABELME | VALUES)
def test_json(root: Path, data: Any) -> None:
    (root / "a.json").write_text(json.dumps(data))

    read_or_refused(root)


@hostile
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@pytest.mark.parametrize("name", ["a.json", "a.txt", "data.yaml", "classes.txt", "manifest.csv", "manifest.jsonl"])
def test_any_bytes(root: Path, name: str, content: bytes) -> None:
    (root / "a.txt").write_text("0 0.5 0.5 0.2 0.2")
    (root / name).write_bytes(content)

    read_or_refused(root)


@hostile
@given(text=YOLO)
def test_yolo(root: Path, text: str) -> None:
    (root / "a.txt").write_text(text)
    (root / "b.txt").write_text("0 0.5 0.5 0.2 0.2")

    assert "b.png" in [example.path.name for example in read_defects(root).examples]


def test_json_too_deep_to_read(root: Path) -> None:
    (root / "a.json").write_text("[" * 200_000)

    with pytest.raises(BlemishError, match="no labelled defects"):
        read_defects(root)
