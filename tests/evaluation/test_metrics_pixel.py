from __future__ import annotations

from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from blemish.evaluation.metrics import PixelAccumulator, PixelMetrics, pixel_metrics

reference = pytest.importorskip("sklearn.metrics")


def flood(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """8-connected regions by flood fill: lists of pixels."""
    todo = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while todo:
        region, edge = [], [todo.pop()]
        while edge:
            y, x = edge.pop()
            region.append((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & todo
            todo -= near
            edge.extend(near)
        found.append(region)
    return found


def slow_aupro(maps: np.ndarray, masks: np.ndarray, rois: np.ndarray, limit: float) -> float:
    """Every threshold, every region, point by point."""
    normal = maps[rois & ~masks]
    overlaps = [
        [float(one[pixel]) for pixel in region]
        for one, mask, roi in zip(maps, masks, rois, strict=True)
        for region in flood(mask & roi)
    ]
    points = [(0.0, 0.0)]
    for threshold in sorted({float(value) for value in maps[rois]}, reverse=True):
        rate = float(np.mean(normal >= threshold))
        points.append((rate, float(np.mean([np.mean(np.array(scores) >= threshold) for scores in overlaps]))))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 > limit:
            if x0 < limit:
                area += (limit - x0) * (y0 + (y0 + (y1 - y0) * (limit - x0) / (x1 - x0))) / 2
            break
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


@st.composite
def product(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps, masks and regions of interest of one product with both kinds of pixels, small and full of ties."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(2, 6)))
    tied = st.sampled_from([0.0, -0.0, 0.5, 1.0, 2.0, 3.0]).map(np.float32)
    distinct = st.floats(-100, 100, width=32)
    maps = draw(hnp.arrays(np.float32, shape, elements=draw(st.sampled_from([tied, distinct])), fill=st.nothing()))
    masks = draw(hnp.arrays(np.bool_, shape, fill=st.nothing()))
    rois = draw(st.one_of(st.just(np.ones(shape, dtype=np.bool_)), hnp.arrays(np.bool_, shape, fill=st.nothing())))
    masks[0, 0, :2] = True, False
    rois[0, 0, :2] = True
    return maps, masks, rois


@settings(max_examples=200, deadline=None)
@given(product())
def test_equal_to_scikit_learn_and_brute_force(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    maps, masks, rois = case
    scores, labels = maps[rois], masks[rois]
    precision, recall, _ = reference.precision_recall_curve(labels, scores)
    metrics = pixel_metrics(maps, masks, rois)
    assert metrics.p_auroc == pytest.approx(reference.roc_auc_score(labels, scores), abs=1e-9)
    assert metrics.p_ap == pytest.approx(reference.average_precision_score(labels, scores), abs=1e-9)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert metrics.p_f1max == pytest.approx(f1.max(), abs=1e-9)
    called = scores >= metrics.f1_threshold
    assert metrics.p_f1max == pytest.approx(2 * (called & labels).sum() / (called.sum() + labels.sum()), abs=1e-12)
    assert metrics.aupro_30 == pytest.approx(slow_aupro(maps, masks, rois, 0.3), abs=1e-9)
    assert metrics.aupro_05 == pytest.approx(slow_aupro(maps, masks, rois, 0.05), abs=1e-9)


@settings(deadline=None)
@given(product(), st.data())
def test_nothing_outside_the_region_of_interest_matters(
    case: tuple[np.ndarray, np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    maps, masks, rois = case
    other_maps, other_masks = maps.copy(), masks.copy()
    other_maps[~rois] = data.draw(st.sampled_from([np.nan, -np.inf, 50.0]))
    other_masks[~rois] ^= True
    assert pixel_metrics(maps, masks, rois) == pixel_metrics(other_maps, other_masks, rois)


def test_every_region_weighs_the_same() -> None:
    # A 9-pixel and a 1-pixel region; only the small one is found, before any false positive.
    anomaly_map, mask = np.zeros((8, 8), dtype=np.float32), np.zeros((8, 8), dtype=np.bool_)
    mask[:3, :3] = mask[6, 6] = True
    anomaly_map[6, 6] = 1.0
    anomaly_map[:3, :3] = -1.0
    metrics = pixel_metrics([anomaly_map], [mask])
    assert metrics.aupro_30 == pytest.approx(0.5)
    assert metrics.aupro_05 == pytest.approx(0.5)


def test_diagonal_neighbours_are_one_region() -> None:
    mask = np.zeros((4, 6), dtype=np.bool_)
    mask[0, 0] = mask[1, 1] = mask[3, 5] = True
    anomaly_map = np.zeros((4, 6), dtype=np.float32)
    anomaly_map[0, 0] = 1.0
    anomaly_map[1, 1] = anomaly_map[3, 5] = -1.0
    # One of the two pixels of one of two regions: 1/4, not 1/3 as it were with three regions.
    assert pixel_metrics([anomaly_map], [mask]).aupro_30 == pytest.approx(0.25)


def test_pixels_of_normal_images_count_as_defect_free() -> None:
    mask = np.array([[True, False]])
    defective = np.array([[0.5, 0.0]], dtype=np.float32)
    normal = np.array([[1.0, 1.0]], dtype=np.float32)
    assert pixel_metrics([defective], [mask]).p_auroc == 1.0
    assert pixel_metrics([defective, normal], [mask, None]).p_auroc == pytest.approx(1 / 3)
    assert pixel_metrics([defective, normal], [mask, np.zeros_like(mask)]).p_auroc == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("maps", "masks"),
    [
        ([], []),
        ([np.ones((2, 2))], [np.zeros((2, 2), dtype=bool)]),
        ([np.ones((2, 2))], [None]),
        ([np.ones((2, 2))], [np.ones((2, 2), dtype=bool)]),
        ([np.ones((1, 1))], [np.ones((1, 1), dtype=bool)]),
    ],
    ids=["nothing", "no defective pixel", "no mask", "no defect-free pixel", "one pixel"],
)
def test_undefined_is_none(maps: list, masks: list) -> None:
    assert pixel_metrics(maps, masks) == PixelMetrics()


def test_a_constant_map_is_chance() -> None:
    mask = np.zeros((10, 10), dtype=np.bool_)
    mask[2, 3:5] = True
    metrics = pixel_metrics([np.full((10, 10), 7.0)], [mask])
    assert astuple(metrics) == pytest.approx((0.5, 0.02, 2 * 2 / 102, 7.0, 0.15, 0.025))


def test_maps_of_several_sizes_one_shared_roi_and_streaming_agree() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((3, 9, 7), dtype=np.float32)
    masks = rng.random((3, 9, 7)) > 0.8
    roi = rng.random((9, 7)) > 0.3
    accumulator = PixelAccumulator()
    for anomaly_map, mask in zip(maps, masks, strict=True):
        buffer = anomaly_map.copy()
        accumulator.add(buffer, mask, roi)
        buffer[:] = 0  # a caller may reuse its buffer
    assert accumulator.compute() == pixel_metrics(maps, masks, roi) == pixel_metrics(maps, masks, [roi] * 3)
    assert accumulator.compute() == accumulator.compute()
    accumulator.add(np.zeros((2, 5)))
    assert accumulator.compute() != pixel_metrics(maps, masks, roi)


@pytest.mark.parametrize(
    ("anomaly_map", "mask", "roi", "message"),
    [
        (np.ones((2, 2, 1)), None, None, "two dimensions"),
        (np.array([[np.nan, 1.0]]), None, None, "not finite"),
        (np.array([[np.inf, 1.0]]), np.array([[True, False]]), None, "not finite"),
        (np.ones((2, 2)), np.ones((2, 3), dtype=bool), None, "mask has the shape"),
        (np.ones((2, 2)), np.full((2, 2), 255, dtype=np.uint8), None, "mask must be boolean"),
        (np.ones((2, 2)), None, np.ones((1, 2), dtype=bool), "roi has the shape"),
        (np.ones((2, 2)), None, np.ones((2, 2)), "roi must be boolean"),
    ],
)
def test_bad_input_is_refused_and_leaves_no_trace(
    anomaly_map: np.ndarray, mask: np.ndarray | None, roi: np.ndarray | None, message: str
) -> None:
    accumulator = PixelAccumulator()
    accumulator.add(np.array([[1.0, 0.0]]), np.array([[True, False]]))
    before = accumulator.compute()
    with pytest.raises(ValueError, match=message):
        accumulator.add(anomaly_map, mask, roi)
    assert accumulator.compute() == before


@pytest.mark.parametrize("counts", [(2, 1, 2), (2, 2, 1), (1, 2, 2)])
def test_unequal_numbers_are_refused(counts: tuple[int, int, int]) -> None:
    maps, masks, rois = ([np.ones((1, 1), dtype=bool)] * count for count in counts)
    with pytest.raises(ValueError, match="zip"):
        pixel_metrics(maps, masks, rois)
