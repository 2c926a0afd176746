"""One model for all real products: OneNIP beside UniAD and a memory bank, on the same features and images.

    python benchmarks/real.py --shared ../shared --variants bank uniad fast --seeds 0 1 2
    python benchmarks/real.py --page

Appends one JSON line per (variant, seed, product, part) to docs/results/real.jsonl and skips what is finished;
`--page` writes docs/results/real.md from it. `part` is `all`, or one of two halves of the test set, divided by a hash
of the file name (of the group, where images show one part): variants were chosen on `choose`, though `report` was seen
between rounds (docs/results/onenip.md says when).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from backbones import IMAGENET, backbone_config, open_backbone
from numpy.typing import NDArray
from torch.nn import functional as F

from blemish.backbones.backbone import Backbone
from blemish.config import TrainConfig
from blemish.config.base import merged
from blemish.data.dataset import Dataset
from blemish.data.decode import load_square
from blemish.data.masks import read_mask, resize_mask
from blemish.data.sample import Sample
from blemish.evaluation.record import ImageRecord
from blemish.evaluation.scorecard import ProductScore
from blemish.evaluation.scorecard_builder import ScorecardBuilder
from blemish.inspection import Failure
from blemish.procedural.seeding import generator
from blemish.scoring import image_score
from blemish.training.train import TrainProgress, train

ROOT = Path(__file__).parents[1]
LINES = ROOT / "docs" / "results" / "real.jsonl"
FOLDERS = ("magnetic_tile", "mvtec_subset", "printed_circuit", "solar_cell")
PARTS = ("all", "choose", "report")
METRICS = ("i_auroc", "i_ap", "i_f1max", "p_auroc", "p_ap", "p_f1max", "aupro_30", "aupro_05", "retrieval_accuracy")
BANK_PATCHES = 20_000
SIZE = 224

Scores = dict[str, list[ProductScore]]


SMALL = {"principal_start": True, "width": 128, "heads": 4, "encoder_layers": 1, "decoder_layers": 1,
         "feedforward": 512, "dropout": 0.0}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "bank": {"backbone": {"strides": (8, 16)}},
    "fast": {},
    "fast, maps added": {"fusion_exponent": 1},
    "fast, averages over 5 × 5": {"model": {"neighbourhood": 5, "error_smoothing": 5}},
    "fast, 60,000 patches": {"model": {"prompt_patches": 60_000}},
    "accurate": {"preset": "accurate"},
    "fast, with transformer": {"model": {"decoder": "dynamic", **SMALL}, "restoration": True},
    "fast, one image as prompt": {"model": {"decoder": "dynamic", "prompt_patches": 0, **SMALL}, "restoration": True},
    "uniad": {
        "backbone": {"strides": (8, 16)},
        "model": {"decoder": "uniad", "prompt_patches": 0, "refiner": False, **SMALL},
    },
}


def part_of(sample: Sample) -> str:
    key = f"{sample.product}/{sample.group or sample.path.parent.name + '/' + sample.path.name}"
    return "choose" if hashlib.sha256(key.encode()).digest()[0] % 2 else "report"


class Scoring:
    """Scorecards of all parts at once, from one pass over the test images."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._builders = {part: ScorecardBuilder() for part in PARTS}

    def add(self, sample: Sample, record: ImageRecord, anomaly_map: NDArray[np.float32]) -> None:
        mask = None if sample.mask is None else resize_mask(read_mask(sample.mask), self.size)
        for part in ("all", part_of(sample)):
            self._builders[part].add(record, anomaly_map, mask)

    def finish(self) -> Scores:
        return {part: list(builder.finish({}).products) for part, builder in self._builders.items()}


def unjudged(sample: Sample, score: float) -> ImageRecord:
    """The score of a method that gives no verdict and is told the product."""
    return ImageRecord(
        source=str(sample.path),
        product=sample.product,
        label=sample.label,
        defect=sample.defect,
        score=score,
        p_value=1.0,
        defective=False,
        predicted_product=None,
        similarity=1.0,
    )


def memory_bank(
    extractor: Backbone, normals: Sequence[Sample], test: Sequence[Sample], seed: int, scoring: Scoring
) -> None:
    """PatchCore-like: distance to the nearest of at most 20,000 random patches of a product's normal images.

    Patches are 3×3-averaged features at stride 8 of the extractor's levels.
    """
    size, product = scoring.size, normals[0].product
    side = size // 8

    def patches(path: Path) -> torch.Tensor:
        levels = extractor.levels(torch.from_numpy(load_square(path, size)[np.newaxis]))
        cells = [F.interpolate(F.avg_pool2d(level, 3, 1, 1), (side, side), mode="bilinear") for level in levels]
        return torch.cat(cells, dim=1).flatten(2).transpose(1, 2)[0]

    count = -(-BANK_PATCHES // len(normals))
    rng = generator(seed, f"memory bank {product}")
    bank = torch.cat([patches(sample.path)[rng.permutation(side * side)[:count]] for sample in normals])
    keys, half_norms = bank.T.contiguous(), bank.square().sum(1) / 2
    for sample in test:
        query = patches(sample.path)
        squared = query.square().sum(1) - 2 * (query @ keys - half_norms).amax(1)
        distance = squared.clamp(min=0).sqrt().view(1, 1, side, side)
        anomaly_map = F.interpolate(distance, (size, size), mode="bilinear")[0, 0].numpy()
        scoring.add(sample, unjudged(sample, image_score(anomaly_map)), anomaly_map)


def trained(dataset: Dataset, config: TrainConfig, backbone: Backbone) -> tuple[Scores, float, dict[str, bool]]:
    """Train on everything, inspect every test image without telling its product.

    Returns:
        The scores, the seconds of the training, and of each product whether its training images set its threshold too.
    """
    started = time.monotonic()
    inspector = train(dataset, config, backbone=backbone, progress=printer())
    seconds = time.monotonic() - started
    print(f"  trained in {seconds:.0f} s, {inspector.calibration.products[dataset.products[0]].fusion}", flush=True)
    scoring = Scoring(inspector.size)
    samples = dataset.test()
    for sample, found in zip(samples, inspector.inspect_many([s.path for s in samples]), strict=True):
        if isinstance(found, Failure):
            raise found.error
        scoring.add(sample, ImageRecord.of(sample, found), found.anomaly_map)
    compared = {product: inspector.calibration[product].compared for product in dataset.products}
    return scoring.finish(), seconds, compared


def printer(every: float = 30) -> Callable[[TrainProgress], None]:
    last = 0.0

    def show(progress: TrainProgress) -> None:
        nonlocal last
        if time.monotonic() - last > every:
            last = time.monotonic()
            losses = " ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
            left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
            print(f"  {progress.stage} {progress.done}/{progress.total}{left} {losses}", flush=True)

    return show


def finished(path: Path) -> set[tuple[str, int]]:
    """Variants and seeds of which there are results."""
    if not path.is_file():
        return set()
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {(line["variant"], line["seed"]) for line in lines}


def peak_megabytes() -> int | None:
    """Most memory that this process has held since `forget_peak`; None where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) // 1024


def forget_peak() -> None:
    """Start measuring the peak anew, where the system allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def machine() -> str:
    """Processor, threads and torch."""
    return f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def commit() -> str:
    """The commit that runs, with `-dirty` where the code differs from it."""
    command = ["git", "describe", "--always", "--exclude", "*", "--dirty"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/ and weights/")
    parser.add_argument("--variants", nargs="+", default=["bank", "uniad", "fast"], help=", ".join(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--backbone", default="resnet18", help=f"embedded, {', '.join(IMAGENET)}, or weights of a candidate (a file)"
    )
    parser.add_argument("--split", choices=["group", "image"], default="group", help="of the magnetic tiles")
    parser.add_argument("--steps", type=int, help="instead of the preset's")
    parser.add_argument("--size", type=int, default=SIZE, help="side of the squashed images (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--lines", type=Path, default=LINES, help="where results go (default: %(default)s)")
    parser.add_argument("--page", action="store_true", help="write docs/results/real.md and do nothing else")
    arguments = parser.parse_args()
    if arguments.page:
        from real_page import write_page

        write_page(arguments.lines)
        return
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    dataset = Dataset.from_folder(*(arguments.shared / "data" / name for name in FOLDERS), split=arguments.split)
    code = commit()
    for seed in arguments.seeds:
        for name in arguments.variants:
            label = name if arguments.backbone == "resnet18" else f"{name}, {Path(arguments.backbone).stem}"
            label += "" if arguments.split == "group" else ", split by image"
            label += f", {arguments.steps} steps" if arguments.steps else ""
            label += "" if arguments.size == SIZE else f", {arguments.size} px"
            if (label, seed) in finished(arguments.lines):
                continue
            print(f"{label}, seed {seed}", flush=True)
            changes: dict[str, Any] = {"seed": seed, "model": {"size": arguments.size}}
            changes |= {"steps": arguments.steps} if arguments.steps else {}
            started = time.monotonic()
            forget_peak()
            variant = VARIANTS[name]
            strides = variant.get("backbone", {}).get("strides", (4, 8, 16))
            extractor = open_backbone(arguments.backbone, arguments.shared, strides, arguments.size)
            if name == "bank":
                scoring, seconds, compared = Scoring(arguments.size), 0.0, {}
                for product in dataset.products:
                    memory_bank(extractor, dataset.train_normals(product), dataset.test(product), seed, scoring)
                    print(f"  {product}", flush=True)
                scores = scoring.finish()
            else:
                changes["backbone"] = backbone_config(arguments.backbone, arguments.shared, strides).model_dump(
                    include={"name", "weights", "strides"}
                )
                config = TrainConfig.of(**merged({"preset": "fast", **variant}, changes))
                scores, seconds, compared = trained(dataset, config, extractor)
            append(arguments.lines, label, seed, code, scores, compared, seconds, time.monotonic() - started)


def append(
    path: Path,
    variant: str,
    seed: int,
    code: str,
    scores: Scores,
    compared: dict[str, bool],
    train_seconds: float,
    seconds: float,
) -> None:
    """Write one run's lines at once, so that a killed run leaves none.

    `compared` has the products that have a threshold: whether training images set it as well.
    """
    common = {
        "variant": variant,
        "seed": seed,
        "train_seconds": round(train_seconds, 1),
        "seconds": round(seconds, 1),
        "peak_megabytes": peak_megabytes(),
        "command": shlex.join(["python", *sys.argv]),
        "commit": code,
        "machine": machine(),
    }
    rows = []
    for part, products in scores.items():
        for score in products:
            metrics = {name: getattr(score, name) for name in METRICS}
            rates = {name: rate and [rate.count, rate.total] for name, rate in
                     (("false_alarms", score.false_alarms), ("recall", score.recall))}  # fmt: skip
            place = {"part": part, "product": score.product, "compared": compared.get(score.product)}
            rows.append({**common, **place, **metrics, **rates})
            if part == "choose":
                values = " ".join(f"{n} {100 * v:.1f}" for n, v in metrics.items() if v is not None)
                print(f"  {part} {score.product}: {values}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="utf-8") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
