"""Seconds and memory of the pixel metrics on one product of 1,725 images at 224 x 224 (86 million pixels).

    python benchmarks/metrics.py                  # Blemish alone
    python benchmarks/metrics.py --scikit-learn   # scikit-learn on the same pixels in the same run, and the difference

The maps are random and the masks rectangles: time depends on the number of pixels and on the share of defective
ones, not on what they show. Memory is the peak beyond the maps and masks themselves, as NumPy reports it to
`tracemalloc`.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from blemish.evaluation.metrics import pixel_metrics

DEFECTIVE_SHARE = 1258 / 1725  # of the images, as in the test set of MVTec AD

Result = TypeVar("Result")


def make_product(images: int, size: int, coverage: float, seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Maps and masks; `coverage` is the defective share of a defective image, in three rectangles."""
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal((images, size, size), dtype=np.float32)
    masks = np.zeros(maps.shape, dtype=np.bool_)
    side = max(1, round(size * (coverage / 3) ** 0.5))
    for image in range(round(images * DEFECTIVE_SHARE)):
        for top, left in rng.integers(0, size - side + 1, (3, 2)):
            masks[image, top : top + side, left : left + side] = True
    maps[masks] += 1.5
    return maps, masks


def scikit_learn_metrics(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> tuple[float, float, float]:
    """P-AUROC, P-AP and P-F1max, each by its own call, as evaluation scripts usually do."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    scores, labels = maps.ravel(), masks.ravel()
    p_auroc, p_ap = roc_auc_score(labels, scores), average_precision_score(labels, scores)
    precision, recall, _ = precision_recall_curve(labels, scores)
    p_f1max = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-300))
    return float(p_auroc), float(p_ap), float(p_f1max)


def measured(name: str, function: Callable[[], Result]) -> Result:
    """Run once for time and print it with the peak memory of the same run."""
    tracemalloc.start()
    start = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{name:<13} {seconds:7.1f} s   {peak / 1e9:6.2f} GB   {result}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1725)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--coverage", type=float, default=0.05, help="defective share of a defective image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scikit-learn", action="store_true", help="also run scikit-learn (minutes, many GB)")
    arguments = parser.parse_args()

    maps, masks = make_product(arguments.images, arguments.size, arguments.coverage, arguments.seed)
    print(f"{maps.size / 1e6:.1f} million pixels, {100 * masks.mean():.1f} % defective")
    ours = measured("Blemish", lambda: pixel_metrics(maps, masks))
    if arguments.scikit_learn:
        theirs = measured("scikit-learn", lambda: scikit_learn_metrics(maps, masks))
        mine = (ours.p_auroc or 0.0, ours.p_ap or 0.0, ours.p_f1max or 0.0)
        difference = max(abs(a - b) for a, b in zip(mine, theirs, strict=True))
        print(f"largest difference of P-AUROC, P-AP and P-F1max: {difference:.1e}")


if __name__ == "__main__":
    main()
