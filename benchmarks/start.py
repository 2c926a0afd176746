"""What minutes of training give: from the weights that ship, from random ones, and beside a memory bank.

    python benchmarks/start.py --images 32 --steps 50 100 200 400 --seeds 0 1 2

One model for all real products, from some normal images of each, drawn by seed, of different parts where these are
known. The test images are those of the half that chose no variant (`report` of real.py), and their product is told. The
model that ships is also judged as it is, with these images as prompts. Appends one JSON line per (start, images, steps,
seed, product) to docs/results/start.jsonl and skips what is finished.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from real import FOLDERS, ROOT, SIZE, Scoring, commit, machine, memory_bank, part_of, printer, unjudged
from shipped import METRICS, draw_prompts, with_share

from blemish.backbones.backbone import load_backbone
from blemish.config import BackboneConfig, TrainConfig
from blemish.data.dataset import Dataset
from blemish.inspection import Failure
from blemish.inspector import Inspector
from blemish.model_folder import SHIPPED
from blemish.scoring import image_score
from blemish.training.add_product import add_products
from blemish.training.train import train

LINES = ROOT / "docs" / "results" / "start.jsonl"
RANDOM, BANK = "random", "bank"


def few_normals(dataset: Dataset, count: int, seed: int) -> Dataset:
    """So many normal images of each product."""
    normals = (draw_prompts(dataset.train_normals(product), count, seed) for product in dataset.products)
    return replace(dataset, samples=tuple(sample for product in normals for sample in product))


def judged(inspector: Inspector, dataset: Dataset, part: str, share: float | None = None) -> dict[str, Scoring]:
    """Scores of the test images of each product; `share`: of the refiner, instead of the model's own."""
    found = {}
    for product in dataset.products:
        scoring = found[product] = Scoring(inspector.size)
        fusion = inspector.calibration[product].fusion
        if share is not None:
            fusion = with_share(fusion, inspector.config.refiner_share, share)
        samples = [sample for sample in dataset.test(product) if part_of(sample) == part]
        raws = inspector.raw_maps([sample.path for sample in samples], product=product)
        for sample, raw in zip(samples, raws, strict=True):
            if isinstance(raw, Failure):
                raise raw.error
            fused = inspector.fused(raw, fusion)
            scoring.add(sample, unjudged(sample, image_score(fused)), fused)
    return found


def banked(few: Dataset, dataset: Dataset, part: str, seed: int) -> dict[str, Scoring]:
    """A memory bank of each product's images."""
    extractor = load_backbone(BackboneConfig(strides=(8, 16)), SIZE)
    found = {}
    for product in dataset.products:
        samples = [sample for sample in dataset.test(product) if part_of(sample) == part]
        found[product] = Scoring(SIZE)
        memory_bank(extractor, few.train_normals(product), samples, seed, found[product])
    return found


def runs(options: argparse.Namespace) -> Iterator[tuple[str, int, int]]:
    """Start, steps and seed of all that is wanted."""
    for seed in options.seeds:
        for start in options.starts:
            for steps in [0] if start == BANK else [0, *options.steps] if start == SHIPPED else options.steps:
                yield start, steps, seed


def one_run(start: str, steps: int, seed: int, dataset: Dataset, options: argparse.Namespace) -> None:
    few = few_normals(dataset, options.images, seed)
    started, minutes = time.monotonic(), 0.0
    if start == BANK:
        found = {start: banked(few, dataset, options.part, seed)}
    elif not steps:
        grown, _, _ = add_products(Inspector.load(SHIPPED, offline=True), few)
        minutes = (time.monotonic() - started) / 60
        found = {start: judged(grown, dataset, options.part)}
    else:
        init = start if start == SHIPPED else None
        changes = {"steps": steps, "init": init, "seed": seed, "fusion_exponent": 1}  # as the model that ships has it
        if options.learning_rate is not None:
            changes["learning_rate"] = options.learning_rate
        trained = train(few, TrainConfig.of("fast", **changes), progress=printer())
        minutes = (time.monotonic() - started) / 60
        found = {start: judged(trained, dataset, options.part)}
        for share in options.shares:
            found[f"{start}, share {share:g}"] = judged(trained, dataset, options.part, share)
    common = {
        "images": options.images,
        "steps": steps,
        "seed": seed,
        "part": options.part,
        "minutes": round(minutes, 2),
        "command": shlex.join(["python", *sys.argv]),
        "commit": commit(),
        "machine": machine(),
    }
    lines = []
    for name, products in found.items():
        for product, scoring in products.items():
            score = scoring.finish()[options.part][0]
            values = {metric: getattr(score, metric) for metric in METRICS}
            lines.append({"start": name, "product": product, **common, **values})
            shown = " ".join(f"{m} {100 * v:.1f}" for m, v in values.items() if v is not None)
            print(f"  {name}, {product}: {shown}", flush=True)
    with open(options.lines, "a", encoding="utf-8") as file:  # at once, so that a killed run leaves none
        file.write("".join(json.dumps(line) + "\n" for line in lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/")
    add("--starts", nargs="+", choices=[BANK, SHIPPED, RANDOM], default=[BANK, SHIPPED, RANDOM])
    add("--images", type=int, default=32, help="normal images of each product (default: %(default)s)")
    add("--steps", nargs="+", type=int, default=[50, 100, 200, 400], help="(default: 50 100 200 400)")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--part", choices=["choose", "report"], default="report", help="of the test images (default: %(default)s)")
    add("--learning-rate", type=float, help="instead of the preset's")
    add("--shares", nargs="*", type=float, default=[], help="of the refiner, beside the preset's")
    add("--lines", type=Path, default=LINES, help="where results go (default: %(default)s)")
    add("--threads", type=int, default=2)
    options = parser.parse_args()
    if (options.shares or options.learning_rate is not None) and options.lines == LINES:
        parser.error("what differs from the preset belongs in lines of its own: --lines FILE")
    torch.set_num_threads(options.threads)
    dataset = Dataset.from_folder(*(options.shared / "data" / name for name in FOLDERS))
    done = set()
    if options.lines.is_file():
        rows = map(json.loads, options.lines.read_text(encoding="utf-8").splitlines())
        done = {(row["start"], row["images"], row["steps"], row["seed"], row["part"]) for row in rows}
    for start, steps, seed in runs(options):
        if (start, options.images, steps, seed, options.part) not in done:
            print(f"{start}, {options.images} images, {steps} steps, seed {seed}", flush=True)
            one_run(start, steps, seed, dataset, options)


if __name__ == "__main__":
    main()
