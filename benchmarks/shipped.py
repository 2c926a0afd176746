"""A product never seen, from a few normal images as prompts, without training, beside a memory bank.

    python benchmarks/shipped.py --prompts 1 4 8 --seeds 0 1 2
    python benchmarks/shipped.py --prompts 1 4 8 --seeds 0 1 2 --bank

Prompts are drawn by seed from the normal training images, of different parts where these are known. All variants see
the same images and are told the product; the shipped model is scored with several shares of its refiner, and its
verdicts are counted at its own. Appends one JSON line per (variant, product, prompts, seed, part of the test images) to
docs/results/shipped.jsonl and skips what is finished.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from real import FOLDERS, ROOT, Scoring, commit, machine, memory_bank, unjudged

from blemish.backbones.backbone import Backbone, load_backbone
from blemish.calibration import FusionWeights
from blemish.config import BackboneConfig
from blemish.data.dataset import Dataset
from blemish.data.sample import Sample
from blemish.evaluation.record import ImageRecord
from blemish.evaluation.scorecard import ProductScore
from blemish.inspection import Failure
from blemish.inspector import Inspector
from blemish.procedural.seeding import generator
from blemish.scoring import image_score
from blemish.training.add_product import add_products
from blemish.training.images import TrainingSet

LINES = ROOT / "docs" / "results" / "shipped.jsonl"
METRICS = ("i_auroc", "p_ap", "p_auroc", "aupro_30")
SHARES = (0, 0.15, 0.3, 0.6)  # of the refiner


def draw_prompts(normals: tuple[Sample, ...], count: int, seed: int) -> tuple[Sample, ...]:
    """Normal images of different parts."""
    order = generator(seed, f"prompts of {normals[0].product}").permutation(len(normals))
    found: dict[str, Sample] = {}
    for row in order:
        found.setdefault(normals[row].group or str(normals[row].path), normals[row])
    return tuple(list(found.values())[:count])


def shipped(
    model: Inspector, dataset: Dataset, product: str, prompts: tuple[Sample, ...]
) -> tuple[dict[str, Scoring], float]:
    """Add the product to the model and inspect its test images, for each share of the refiner.

    Returns:
        What was found by each variant, and the refiner's level on normal images.
    """
    few = replace(dataset, samples=prompts)
    inspector, _, _ = add_products(model, few)
    own = inspector.calibration[product].fusion
    preset = model.config.refiner_share
    weights = {share: with_share(own, preset, share) for share in SHARES}
    found = {share: Scoring(inspector.size) for share in SHARES}
    samples = dataset.test(product)
    for sample, raw in zip(samples, inspector.raw_maps([one.path for one in samples], product=product), strict=True):
        if isinstance(raw, Failure):
            raise raw.error
        for share, scoring in found.items():
            fused = inspector.fused(raw, weights[share])
            score = image_score(fused)
            record = ImageRecord.of(sample, inspector.judge(raw)) if share == preset else unjudged(sample, score)
            scoring.add(sample, record, fused)
    names = {one: "shipped" if one == preset else f"shipped, share {one:g}" for one in SHARES}
    return {names[one]: scoring for one, scoring in found.items()}, refiner_level(inspector, few, product)


def with_share(fusion: FusionWeights, own: float, share: float) -> FusionWeights:
    """Weights of a model whose refiner has the share `own`, as they are for another one."""
    root = 1 / fusion.exponent
    distance = fusion.reconstruction / (1 - own) ** root
    return fusion.model_copy(update={"reconstruction": (1 - share) ** root * distance, "refiner": share**root})


def refiner_level(inspector: Inspector, dataset: Dataset, product: str) -> float:
    """What a normal pixel's evidence rarely exceeds: the mean over held-out images of its 99th percentile."""
    config = inspector.config
    held = TrainingSet.of(dataset, config.hold_out, config.seed).held
    images = [one.load(inspector.size, None, config.seed) for one in held]
    alone = FusionWeights(reconstruction=0, refiner=1, evidence=True)
    raw = inspector.raw_maps(images, product=product)
    return fmean(float(np.quantile(inspector.fused(one, alone), 0.99)) for one in raw if not isinstance(one, Failure))


def verdicts(variant: str, score: ProductScore) -> dict[str, list[int] | None]:
    """False alarms and found defects, each of how many; None where nothing has a threshold."""
    counted = {"false_alarms": score.false_alarms, "recall": score.recall} if variant == "shipped" else {}
    return {
        name: [rate.count, rate.total] if (rate := counted.get(name)) else None for name in ("false_alarms", "recall")
    }


def banked(
    extractor: Backbone, dataset: Dataset, product: str, prompts: tuple[Sample, ...], seed: int, size: int
) -> dict[str, Scoring]:
    """A memory bank of the same images."""
    scoring = Scoring(size)
    memory_bank(extractor, prompts, dataset.test(product), seed, scoring)
    return {"bank": scoring}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/")
    add("--model", default="shipped", help="the package's own, or one that tools/train_shipped.py wrote")
    add("--prompts", nargs="+", type=int, default=[1, 4, 8], help="normal images (default: 1 4 8)")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--products", nargs="+", help="only these")
    add("--bank", action="store_true", help="run the memory bank instead")
    add("--lines", type=Path, default=LINES, help="where results go (default: %(default)s)")
    add("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dataset = Dataset.from_folder(*(options.shared / "data" / name for name in FOLDERS))
    model = Inspector.load(options.model, offline=True)
    extractor = load_backbone(BackboneConfig(strides=(8, 16)), model.size)
    done = set()
    if options.lines.is_file():
        rows = map(json.loads, options.lines.read_text(encoding="utf-8").splitlines())
        done = {(row["variant"], row["product"], row["prompts"], row["seed"]) for row in rows}
    code = commit()
    for product, count, seed in itertools.product(options.products or dataset.products, options.prompts, options.seeds):
        if ("bank" if options.bank else "shipped", product, count, seed) in done:
            continue
        started = time.monotonic()
        prompts = draw_prompts(dataset.train_normals(product), count, seed)
        if options.bank:
            found, level = banked(extractor, dataset, product, prompts, seed, model.size), None
        else:
            found, level = shipped(model, dataset, product, prompts)
        common = {
            "product": product,
            "prompts": count,
            "seed": seed,
            "refiner_level": level,
            "seconds": round(time.monotonic() - started, 1),
            "command": shlex.join(["python", *sys.argv]),
            "commit": code,
            "machine": machine(),
        }
        lines = []
        for variant, scoring in found.items():
            for part, scores in scoring.finish().items():
                values = {metric: getattr(scores[0], metric) for metric in METRICS}
                lines.append({"variant": variant, "part": part, **common, **values, **verdicts(variant, scores[0])})
                if part == "choose":
                    shown = " ".join(f"{m} {100 * v:.1f}" for m, v in values.items() if v is not None)
                    print(f"{variant} {product} {count} {seed}: {shown}, {common['seconds']} s", flush=True)
        with open(options.lines, "a", encoding="utf-8") as file:  # at once, so that a killed run leaves none
            file.write("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
