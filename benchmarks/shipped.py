"""A product never seen, from a few normal images as prompts, without training, beside a memory bank.

    python tools/train_shipped.py --output shipped.blemish
    python benchmarks/shipped.py --model shipped.blemish --prompts 1 4 8 --seeds 0 1 2
    python benchmarks/shipped.py --model shipped.blemish --prompts 1 4 8 --seeds 0 1 2 --bank

Prompts are drawn by seed from the normal training images, of different parts where these are known. Both variants see
the same images and are told the product. Appends one JSON line per (variant, product, prompts, seed) to
docs/results/shipped.jsonl and skips what is finished.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from real import FOLDERS, ROOT, Scoring, commit, machine, memory_bank

from blemish.backbones.backbone import load_backbone
from blemish.config import BackboneConfig
from blemish.data.dataset import Dataset
from blemish.data.sample import Sample
from blemish.evaluation.record import ImageRecord
from blemish.inspection import Failure
from blemish.inspector import Inspector
from blemish.procedural.seeding import generator
from blemish.training.add_product import add_products

LINES = ROOT / "docs" / "results" / "shipped.jsonl"
METRICS = ("i_auroc", "p_ap", "p_auroc", "aupro_30")


def draw_prompts(normals: tuple[Sample, ...], count: int, seed: int) -> tuple[Sample, ...]:
    """Normal images of different parts."""
    order = generator(seed, f"prompts of {normals[0].product}").permutation(len(normals))
    found: dict[str, Sample] = {}
    for row in order:
        found.setdefault(normals[row].group or str(normals[row].path), normals[row])
    return tuple(list(found.values())[:count])


def shipped(model: Inspector, dataset: Dataset, product: str, prompts: tuple[Sample, ...]) -> Scoring:
    """Add the product to the model and inspect its test images."""
    inspector, _, _ = add_products(model, replace(dataset, samples=prompts))
    scoring = Scoring(inspector.size)
    samples = dataset.test(product)
    found = inspector.inspect_many([sample.path for sample in samples], product=product)
    for sample, one in zip(samples, found, strict=True):
        if isinstance(one, Failure):
            raise one.error
        scoring.add(sample, ImageRecord.of(sample, one), one.anomaly_map)
    return scoring


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/")
    add("--model", required=True, help="that tools/train_shipped.py wrote")
    add("--name", default="shipped", help="of the variant (default: %(default)s)")
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
    name, code = "bank" if options.bank else options.name, commit()
    for product in options.products or dataset.products:
        for count in options.prompts:
            for seed in options.seeds:
                if (name, product, count, seed) in done:
                    continue
                started = time.monotonic()
                prompts = draw_prompts(dataset.train_normals(product), count, seed)
                if options.bank:
                    scoring = Scoring(model.size)
                    memory_bank(extractor, prompts, dataset.test(product), seed, scoring)
                else:
                    scoring = shipped(model, dataset, product, prompts)
                for part, scores in scoring.finish().items():
                    row = {
                        "variant": name,
                        "product": product,
                        "prompts": count,
                        "seed": seed,
                        "part": part,
                        **{metric: getattr(scores[0], metric) for metric in METRICS},
                        "seconds": round(time.monotonic() - started, 1),
                        "command": shlex.join(["python", *sys.argv]),
                        "commit": code,
                        "machine": machine(),
                    }
                    with open(options.lines, "a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
                    if part == "all":
                        values = " ".join(f"{m} {100 * row[m]:.1f}" for m in METRICS if row[m] is not None)
                        print(f"{name} {product} {count} {seed}: {values}, {row['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
